//! Private and public keys in PEM form and as JSON Web Keys.
//!
//! Keys are compared by their public halves; nothing here signs or decrypts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::KeyPair as _;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Map, Value};
use x509_parser::der_parser::der::{DerObject, parse_der};
use x509_parser::der_parser::oid;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    Ec(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Whether both are of the same algorithm.
    pub fn same_type(&self, other: &PublicKey) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Whether a text holds a private key.
pub(super) fn check_private(pem: &str) -> Result<(), String> {
    match private(pem) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!("invalid key: {err}")),
    }
}

/// Whether a text holds a key whose public half is usable.
pub(super) fn check_public(pem: &str) -> Result<(), String> {
    match public(pem).is_some() || private(pem).is_ok() {
        true => Ok(()),
        false => Err("invalid key".to_owned()),
    }
}

/// A key pair: each half loads, and they belong together.
pub(super) fn check_pem(pair: &Value) -> Result<(), String> {
    let half = |name: &str| pair.get(name).and_then(Value::as_str);
    let halves = [half("public_key"), half("private_key")];
    if halves
        .iter()
        .flatten()
        .any(|text| text.starts_with("{vault://"))
    {
        return Ok(());
    }
    let public = match halves[0] {
        Some(text) => Some(public(text).ok_or("could not load public key")?),
        None => None,
    };
    let private = match halves[1] {
        Some(text) => Some(private(text).map_err(|_| "could not load private key")?),
        None => None,
    };
    match (public, private) {
        (Some(public), Some(private)) if public != private => {
            Err("public key does not match private key".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether a JSON Web Key is one and has that key id.
pub(super) fn check_jwk(text: &str, kid: &Value) -> Option<String> {
    let Ok(Value::Object(jwk)) = serde_json::from_str(text) else {
        return Some("could not json decode jwk string".to_owned());
    };
    if jwk.get("kid") != Some(kid) {
        return Some("kid in jwk.kid must be equal to keys.kid".to_owned());
    }
    match is_key(&jwk) {
        true => None,
        false => Some("could not load JWK, likely not a valid key".to_owned()),
    }
}

fn is_key(jwk: &Map<String, Value>) -> bool {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        text(name)
            .map(|value| value.trim_end_matches('='))
            .and_then(|value| URL_SAFE_NO_PAD.decode(value).ok())
            .is_some_and(|bytes| !bytes.is_empty())
    };
    match text("kty") {
        Some("RSA") => bytes("n") && bytes("e"),
        Some("EC") => {
            matches!(text("crv"), Some("P-256" | "P-384" | "P-521")) && bytes("x") && bytes("y")
        }
        Some("OKP") => {
            matches!(text("crv"), Some("Ed25519" | "Ed448" | "X25519" | "X448")) && bytes("x")
        }
        _ => false,
    }
}

const RSA: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'static> = oid!(1.3.101.112);

/// The public half of a private key in PKCS #1, PKCS #8 or SEC 1 form.
pub(super) fn private(pem: &str) -> Result<PublicKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|err| err.to_string())?;
    let found = match &key {
        PrivateKeyDer::Pkcs1(der) => rsa_private(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(der) => ec_private(der.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
        _ => None,
    };
    found.ok_or_else(|| {
        "neither an RSA, nor an EC, nor an Ed25519 key with its public half".to_owned()
    })
}

fn public(pem: &str) -> Option<PublicKey> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, spki) = SubjectPublicKeyInfo::from_der(&der).ok()?;
    from_spki(&spki.algorithm.algorithm, &spki.subject_public_key.data)
}

/// The key of a SubjectPublicKeyInfo; `None` for an algorithm that is not supported.
pub(super) fn from_spki(algorithm: &Oid<'_>, key: &[u8]) -> Option<PublicKey> {
    if *algorithm == RSA || *algorithm == RSA_PSS {
        return rsa_public(items(key)?.first_chunk::<2>()?);
    }
    if *algorithm == EC {
        return Some(PublicKey::Ec(key.to_vec()));
    }
    (*algorithm == ED25519).then(|| PublicKey::Ed25519(key.to_vec()))
}

fn pkcs8(der: &[u8]) -> Option<PublicKey> {
    let parts = items(der)?;
    let algorithm = parts.get(1)?.as_sequence().ok()?.first()?.as_oid().ok()?;
    let key = parts.get(2)?.as_slice().ok()?;
    if *algorithm == RSA || *algorithm == RSA_PSS {
        return rsa_private(key);
    }
    if *algorithm == EC {
        return ec_private(key);
    }
    if *algorithm != ED25519 {
        return None;
    }
    let (_, seed) = parse_der(key).ok()?;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed.as_slice().ok()?).ok()?;
    Some(PublicKey::Ed25519(pair.public_key().as_ref().to_vec()))
}

fn rsa_private(der: &[u8]) -> Option<PublicKey> {
    let parts = items(der)?;
    rsa_public(parts.get(1..3)?.first_chunk::<2>()?)
}

fn rsa_public([modulus, exponent]: &[DerObject<'_>; 2]) -> Option<PublicKey> {
    let unsigned = |item: &DerObject<'_>| {
        let bytes = item.as_slice().ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes[zeros..].to_vec())
    };
    Some(PublicKey::Rsa {
        modulus: unsigned(modulus)?,
        exponent: unsigned(exponent)?,
    })
}

/// The point stands in the optional field `[1]`, without which rustls cannot use the key.
fn ec_private(der: &[u8]) -> Option<PublicKey> {
    let tagged = items(der)?
        .into_iter()
        .skip(2)
        .find(|item| item.header.raw_tag() == Some(&[0xa1]))?;
    let (_, bits) = parse_der(tagged.as_slice().ok()?).ok()?;
    Some(PublicKey::Ec(bits.as_bitstring().ok()?.data.to_vec()))
}

fn items(der: &[u8]) -> Option<Vec<DerObject<'_>>> {
    let (_, parsed) = parse_der(der).ok()?;
    Some(parsed.as_sequence().ok()?.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use serde_json::json;

    #[test]
    fn key_pairs() {
        for algorithm in [
            &PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ED25519,
        ] {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let other = KeyPair::generate_for(algorithm).expect("a key");
            let pair = |public: &KeyPair| {
                check_pem(&json!({
                    "private_key": key.serialize_pem(),
                    "public_key": public.public_key_pem(),
                }))
            };
            assert_eq!(pair(&key), Ok(()));
            assert_eq!(
                pair(&other),
                Err("public key does not match private key".to_owned())
            );
        }
        assert_eq!(
            check_pem(&json!({"public_key": "bad"})),
            Err("could not load public key".to_owned())
        );
    }

    #[test]
    fn rsa_keys_of_every_encoding() {
        let (pkcs1, pkcs8, spki) = (
            include_str!("data/test_rsa_pkcs1.pem"),
            include_str!("data/test_rsa_pkcs8.pem"),
            include_str!("data/test_rsa_public.pem"),
        );
        assert!(private(pkcs1).is_ok());
        assert_eq!(private(pkcs1), private(pkcs8));
        assert_eq!(public(spki), private(pkcs1).ok());
        assert!(private(spki).is_err());
        assert!(public(pkcs1).is_none());
    }

    #[test]
    fn json_web_keys() {
        let check = |jwk: &str, expected: Option<&str>| {
            assert_eq!(check_jwk(jwk, &json!("a")).as_deref(), expected);
        };
        check("x", Some("could not json decode jwk string"));
        check("{}", Some("kid in jwk.kid must be equal to keys.kid"));
        let unusable = Some("could not load JWK, likely not a valid key");
        check(r#"{"kid":"a","kty":"RSA"}"#, unusable);
        check(r#"{"kid":"a","kty":"RSA","n":"AQAB","e":"AQAB"}"#, None);
        check(
            r#"{"kid":"a","kty":"EC","crv":"P-1","x":"AQ","y":"AQ"}"#,
            unusable,
        );
    }
}
