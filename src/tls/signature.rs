//! Handshake signatures verified with the key inside a certificate of any version.
//!
//! rustls parses the peer's certificate as X.509 version 3 before it verifies a signature, and
//! `kong hybrid gen_cert` writes version 1, so the key is taken out here.

use super::{certificate, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// The methods of a verifier that are about signatures, the same for servers and clients.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            $crate::tls::signature::verify_tls12(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            $crate::tls::signature::verify_tls13(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            $crate::tls::signature::supported_schemes()
        }
    };
}
pub(super) use handshake_signatures;

/// Verifies a TLS 1.3 signature.
pub(super) fn verify_tls13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = certificate::parse(cert).map_err(|_| CertificateError::BadEncoding)?;
    let spki = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
    let algorithms = &provider().signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms)
}

/// Verifies a TLS 1.2 signature: every algorithm the scheme may mean is tried, since TLS 1.2
/// does not bind a scheme to a curve.
pub(super) fn verify_tls12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = certificate::parse(cert).map_err(|_| CertificateError::BadEncoding)?;
    let key = certificate.public_key();
    let key_algorithm = algorithm_content(key.raw).ok_or(CertificateError::BadEncoding)?;
    let provider = provider();
    let schemes = provider.signature_verification_algorithms.mapping;
    let valid = schemes
        .iter()
        .filter(|(scheme, _)| *scheme == dss.scheme)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key_algorithm)
        .any(|algorithm| {
            let bits = &key.subject_public_key.data;
            algorithm
                .verify_signature(bits, message, dss.signature())
                .is_ok()
        });
    match valid {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

/// Every scheme the provider verifies.
pub(super) fn supported_schemes() -> Vec<SignatureScheme> {
    provider()
        .signature_verification_algorithms
        .supported_schemes()
}

/// The content of the AlgorithmIdentifier inside a SubjectPublicKeyInfo: the first SEQUENCE in it.
fn algorithm_content(spki: &[u8]) -> Option<&[u8]> {
    let inside = sequence_content(spki)?;
    sequence_content(inside)
}

/// The content of a DER SEQUENCE at the beginning.
fn sequence_content(der: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = der.split_first()?;
    if *tag != 0x30 {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        for (der, expected) in [
            (&[0x30, 0x02, 1, 2, 9][..], Some(&[1, 2][..])),
            (&[0x30, 0x81, 0x01, 7], Some(&[7])),
            (&[0x30, 0x82, 0x00, 0x01, 7], Some(&[7])),
            (&[0x30, 0x00], Some(&[])),
            (&[0x31, 0x00], None),
            (&[0x30, 0x03, 1], None),
            (&[0x30, 0x83, 0, 0, 1, 7], None),
            (&[0x30, 0x82, 0], None),
            (&[0x30], None),
            (&[], None),
        ] {
            assert_eq!(sequence_content(der), expected, "{der:x?}");
        }
    }
}
