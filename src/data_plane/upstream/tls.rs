//! TLS as a client of upstreams.

use crate::tls::{AnyServerVerifier, provider};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, RootCertStore};
use std::sync::Arc;

/// Which upstreams are believed to be who they say.
pub enum Trust {
    /// Those with a certificate from one of these authorities, for the server name.
    Verify(Arc<RootCertStore>),
    /// Kong's default.
    Anyone,
}

/// A configuration that shows the certificate, if there is one, to upstreams that ask.
///
/// # Errors
/// There are no authorities to verify with.
pub fn client_config(
    trust: Trust,
    certificate: Option<&Arc<CertifiedKey>>,
) -> Result<ClientConfig, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Verify(roots) => WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?,
        Trust::Anyone => Arc::new(AnyServerVerifier),
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match certificate {
        Some(key) => builder.with_client_cert_resolver(resolver(key)),
        None => builder.with_no_client_auth(),
    })
}

fn resolver(key: &Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(CertifiedKey::clone(key)))
}
