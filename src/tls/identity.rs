//! A certificate chain with the key that belongs to it.

use super::certificate::{expiry, fingerprint, parse};
use super::{LoadError, Material, TlsError, provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What a node shows to prove itself. Accepts X.509 version 1, which rustls itself refuses.
#[derive(Debug, Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads both parts and checks that they belong together.
    pub fn load(cert: &Material, key: &Material) -> Result<Identity, TlsError> {
        let chain = cert.certificates()?;
        let private = key.key()?;
        Identity::new(chain, private).map_err(|error| match error {
            TlsError::Rustls(e) => TlsError::Load(LoadError::Key {
                from: key.describe(),
                reason: e.to_string(),
            }),
            other => other,
        })
    }

    /// Fails when the chain is empty, the key is of an unknown kind, or they do not match.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Identity, TlsError> {
        let key = provider().key_provider.load_private_key(key)?;
        let leaf = chain
            .first()
            .ok_or(rustls::Error::NoCertificatesPresented)?;
        let certificate = parse(leaf).map_err(TlsError::Authority)?;
        let matches = key
            .public_key()
            .is_none_or(|spki| spki.as_ref() == certificate.public_key().raw);
        if !matches {
            return Err(TlsError::KeyMismatch);
        }
        Ok(Identity {
            certified: Arc::new(CertifiedKey::new(chain, key)),
        })
    }

    /// The form rustls's resolvers hand out.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The first certificate of the chain.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.certified.cert[0]
    }

    /// SHA-256 of the leaf.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(self.leaf())
    }

    /// When the leaf ends, in seconds since 1970.
    pub fn expiry(&self) -> Option<i64> {
        expiry(self.leaf())
    }
}
