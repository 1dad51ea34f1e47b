//! Reading certificates, X.509 version 1 included.

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Parses a certificate of any version.
pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    match rest.is_empty() {
        true => Ok(certificate),
        false => Err("bytes follow the certificate".to_owned()),
    }
}

/// When the certificate ends, in seconds since 1970.
pub fn expiry(der: &CertificateDer<'_>) -> Option<i64> {
    let certificate = parse(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// SHA-256 of the whole certificate.
pub fn fingerprint(der: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(der).into()
}
