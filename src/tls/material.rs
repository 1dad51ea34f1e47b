//! Certificates and keys as settings give them: a path, PEM text, or base64 of PEM.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The largest file of certificates or keys that is read, in bytes.
pub const MAX_MATERIAL: u64 = 1 << 20;

/// Where a certificate or key is. Its text is never shown, since it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    Path(PathBuf),
    Pem(String),
}

/// A certificate or key that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("failed loading certificate from {from}: {reason}")]
    Certificate { from: String, reason: String },
    #[error("failed loading key from {from}: {reason}")]
    Key { from: String, reason: String },
}

const PEM_MARK: &str = "-----BEGIN ";

impl Material {
    /// Tells the three forms apart by content. Pure.
    pub fn parse(text: &str) -> Material {
        if text.contains(PEM_MARK) {
            return Material::Pem(text.to_owned());
        }
        let packed: String = text.split_ascii_whitespace().collect();
        let decoded = BASE64_STANDARD.decode(packed).ok();
        match decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(pem) if pem.contains(PEM_MARK) => Material::Pem(pem),
            _ => Material::Path(PathBuf::from(text)),
        }
    }

    /// What messages call it: the path, or that it stands in the settings.
    pub fn describe(&self) -> String {
        match self {
            Material::Path(path) => path.display().to_string(),
            Material::Pem(_) => "the text in the settings".to_owned(),
        }
    }

    /// All certificates in it, leaf first; at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, LoadError> {
        let error = |reason: String| LoadError::Certificate {
            from: self.describe(),
            reason,
        };
        let pem = self.read().map_err(error)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|e| error(e.to_string()))?;
        let Some(leaf) = chain.first() else {
            return Err(error("it holds no certificate".to_owned()));
        };
        super::certificate::parse(leaf).map_err(error)?;
        Ok(chain)
    }

    /// The first private key in it.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, LoadError> {
        let error = |reason: String| LoadError::Key {
            from: self.describe(),
            reason,
        };
        let pem = self.read().map_err(error)?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| error("it holds no private key".to_owned()))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Material::Pem(text) => Ok(text.clone().into_bytes()),
            Material::Path(path) => read_limited(path),
        }
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_MATERIAL + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    match bytes.len() as u64 > MAX_MATERIAL {
        true => Err(format!("it is larger than {MAX_MATERIAL} bytes")),
        false => Ok(bytes),
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({})", self.describe())
    }
}
