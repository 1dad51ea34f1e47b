//! Trusted authorities: the system's bundle, and certificates from settings.

use super::{Material, TlsError};
use rustls::RootCertStore;
use std::path::Path;

/// Where operating systems keep their bundle, the most common place first.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's bundle, if one of the usual files is there.
pub fn system_bundle() -> Option<&'static Path> {
    BUNDLES.iter().map(Path::new).find(|path| path.is_file())
}

/// Adds the system's bundle; certificates in it that cannot be used are passed over.
///
/// # Errors
/// There is no bundle, or it holds no certificate.
pub fn add_system(roots: &mut RootCertStore) -> Result<(), TlsError> {
    let path = system_bundle().ok_or(TlsError::NoSystemBundle)?;
    let certificates = Material::Path(path.to_owned()).certificates()?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    match added {
        0 => Err(TlsError::NoSystemBundle),
        _ => Ok(()),
    }
}

/// Adds every certificate of the material; one that cannot be used is an error.
///
/// # Errors
/// The material cannot be read or holds something else.
pub fn add_material(roots: &mut RootCertStore, material: &Material) -> Result<(), TlsError> {
    for certificate in material.certificates()? {
        roots
            .add(certificate)
            .map_err(|e| TlsError::Authority(format!("{}: {e}", material.describe())))?;
    }
    Ok(())
}
