//! TLS of ordinary listeners, and of the client that asks a node about itself.

use super::shared::PinnedVerifier;
use super::{Identity, TlsError, provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use std::sync::Arc;

/// Versions of TLS that a listener offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    pub tls12: bool,
    pub tls13: bool,
}

impl TlsVersions {
    pub const ALL: TlsVersions = TlsVersions {
        tls12: true,
        tls13: true,
    };

    /// The form rustls takes.
    pub fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.tls13 {
            versions.push(&TLS13);
        }
        if self.tls12 {
            versions.push(&TLS12);
        }
        versions
    }
}

/// A listener with fixed certificates; of several (RSA and ECDSA, say) each client gets the
/// first one it can verify. ALPN offers `h2` only with `http2`.
///
/// # Errors
/// There is no identity, or no version of TLS.
pub fn listener_config(
    identities: &[Identity],
    versions: TlsVersions,
    http2: bool,
) -> Result<ServerConfig, TlsError> {
    if identities.is_empty() {
        return Err(rustls::Error::NoCertificatesPresented.into());
    }
    let resolver = FirstThatFits(identities.iter().map(Identity::certified_key).collect());
    resolving_config(Arc::new(resolver), versions, http2)
}

/// TLS of a listener that looks its certificates up; clients are not asked for one.
///
/// # Errors
/// The versions and the crypto provider do not go together.
pub fn resolving_config(
    resolver: Arc<dyn ResolvesServerCert>,
    versions: TlsVersions,
    http2: bool,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions.supported())?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

/// A client that trusts exactly these certificates: for asking our own listeners.
///
/// # Errors
/// The provider lacks a version of TLS.
pub fn pinned_client_config(identities: &[Identity]) -> Result<ClientConfig, TlsError> {
    let fingerprints = identities.iter().map(Identity::fingerprint).collect();
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&TlsVersions::ALL.supported())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedVerifier::new(fingerprints)))
        .with_no_client_auth())
}

#[derive(Debug)]
struct FirstThatFits(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for FirstThatFits {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered: &[SignatureScheme] = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        let found = self.0.iter().find(fits).or_else(|| self.0.first());
        found.cloned()
    }
}
