//! Certificates in PEM form.

use super::keys::{self, PublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether a text holds a certificate.
pub(super) fn check(pem: &str) -> Result<(), String> {
    with(pem, |_| ()).map_err(|err| format!("invalid certificate: {err}"))
}

/// SHA-256 over the DER form, in lower-case hexadecimal digits.
pub(super) fn digest(pem: &str) -> Option<String> {
    let der = der(pem).ok()?;
    let hash = Sha256::digest(&der);
    Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The public key; `None` when the text is no certificate (which is reported elsewhere).
pub(super) fn public_key(pem: &str) -> Option<PublicKey> {
    with(pem, |certificate| {
        let spki = certificate.public_key();
        keys::from_spki(&spki.algorithm.algorithm, &spki.subject_public_key.data)
    })
    .ok()?
}

/// What must hold for a CA certificate at a time (seconds since the epoch).
pub(super) fn check_ca(pem: &str, now: i64) -> Option<String> {
    if pem.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return Some("please submit only one certificate at a time".to_owned());
    }
    let text = with(pem, |certificate| {
        let is_ca = certificate
            .basic_constraints()
            .ok()
            .flatten()
            .is_some_and(|constraints| constraints.value.ca);
        if certificate.validity().not_after.timestamp() < now {
            Some(r#"certificate expired, "Not After" time is in the past"#)
        } else if !is_ca {
            Some(
                r#"certificate does not appear to be a CA because it is missing the "CA" basic constraint"#,
            )
        } else {
            None
        }
    });
    text.ok().flatten().map(str::to_owned)
}

fn der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|err| err.to_string())
}

fn with<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<T, String> {
    let der = der(pem)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|err| err.to_string())?;
    Ok(look(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};

    fn certificate(is_ca: bool) -> (String, String) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).expect("params");
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn certificates_and_their_keys() {
        let (cert, key) = certificate(false);
        let (_, other_key) = certificate(false);
        assert_eq!(check(&cert), Ok(()));
        assert!(check("bad").is_err_and(|text| text.starts_with("invalid certificate: ")));
        let public = public_key(&cert).expect("a public key");
        assert_eq!(keys::private(&key).as_ref(), Ok(&public));
        assert_ne!(keys::private(&other_key).as_ref(), Ok(&public));
        assert_eq!(digest(&cert).map(|digest| digest.len()), Some(64));
    }

    #[test]
    fn certificate_authorities() {
        const NOW: i64 = 1_700_000_000;
        const FAR: i64 = 100_000_000_000;
        let (ca, _) = certificate(true);
        let (leaf, _) = certificate(false);
        let check = |pem: &str, now: i64, expected: Option<&str>| {
            let found = check_ca(pem, now);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => assert!(found.is_some_and(|text| text.contains(part)), "{part}"),
            }
        };
        check(&ca, NOW, None);
        check(&ca, FAR, Some("Not After"));
        check(&leaf, NOW, Some("basic constraint"));
        check(&format!("{ca}{ca}"), NOW, Some("only one certificate"));
    }
}
