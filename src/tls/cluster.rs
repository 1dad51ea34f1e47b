//! TLS configurations of the cluster link, for both ends.

use super::pki::PkiServerVerifier;
use super::shared::PinnedVerifier;
use super::{Identity, TlsError, provider};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// SNI, and name, of the cluster link with `cluster_mtls = shared`.
pub const CLUSTER_SERVER_NAME: &str = "kong_clustering";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Whom to believe on the other side.
#[derive(Debug, Clone)]
pub enum ClusterTrust {
    /// Whoever shows our own certificate.
    Shared,
    /// Whoever shows a certificate that leads to one of these.
    Pki(RootCertStore),
}

/// The control plane's side. The data plane must show a certificate; one that is not believed
/// ends the handshake.
///
/// # Errors
/// The authority's certificates cannot be used.
pub fn cluster_server_config(
    identity: &Identity,
    trust: &ClusterTrust,
) -> Result<ServerConfig, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match trust {
        ClusterTrust::Shared => Arc::new(PinnedVerifier::new(vec![identity.fingerprint()])),
        ClusterTrust::Pki(roots) => {
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider())
                .build()
                .map_err(|e| TlsError::Authority(e.to_string()))?
        }
    };
    let resolver = SingleCertAndKey::from(identity.certified_key());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    // Connections are few and long, and every one of them shall prove itself anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The data plane's side; connect with the name [`server_name`] gives.
///
/// # Errors
/// The provider lacks a version of TLS.
pub fn cluster_client_config(
    identity: &Identity,
    trust: &ClusterTrust,
) -> Result<ClientConfig, TlsError> {
    client_config(identity, trust, &VERSIONS)
}

/// With the versions as a parameter, so that tests can leave one out.
pub(super) fn client_config(
    identity: &Identity,
    trust: &ClusterTrust,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsError> {
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        ClusterTrust::Shared => Arc::new(PinnedVerifier::new(vec![identity.fingerprint()])),
        ClusterTrust::Pki(roots) => Arc::new(PkiServerVerifier::new(roots.clone())),
    };
    let resolver = SingleCertAndKey::from(identity.certified_key());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(resolver));
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The name to ask for: `kong_clustering` when certificates are shared, else the configured
/// name or the host of the address.
///
/// # Errors
/// The name is neither a DNS name nor an IP address.
pub fn server_name(
    trust: &ClusterTrust,
    configured: Option<&str>,
    host: &str,
) -> Result<ServerName<'static>, TlsError> {
    let name = match trust {
        ClusterTrust::Shared => CLUSTER_SERVER_NAME,
        ClusterTrust::Pki(_) => configured.unwrap_or(host),
    };
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}
