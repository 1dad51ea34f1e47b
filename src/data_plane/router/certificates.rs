//! Certificates, and which of them a server name is answered with.

use super::persistent_map::PersistentMap;
use crate::model;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use std::sync::Arc;
use uuid::Uuid;

/// A certificate with its private key, ready for handshakes.
pub struct CompiledCertificate {
    pub id: Uuid,
    /// The chain with its key, then the alternative one of another key type if there is one.
    pub keys: Vec<Arc<CertifiedKey>>,
}

impl CompiledCertificate {
    /// # Errors
    /// One text for the user per invalid field; never any part of the key.
    pub fn compile(certificate: &model::Certificate) -> Result<CompiledCertificate, Vec<String>> {
        let mut keys = vec![certified_key(&certificate.cert, &certificate.key)?];
        match (&certificate.cert_alt, &certificate.key_alt) {
            (None, None) => {}
            (Some(cert), Some(key)) => {
                keys.push(certified_key(cert, key).map_err(|violations| {
                    violations
                        .into_iter()
                        .map(|text| format!("alternative {text}"))
                        .collect::<Vec<_>>()
                })?)
            }
            _ => return Err(vec!["cert_alt and key_alt: one needs the other".into()]),
        }
        Ok(CompiledCertificate {
            id: certificate.id,
            keys,
        })
    }
}

fn certified_key(cert: &str, key: &str) -> Result<Arc<CertifiedKey>, Vec<String>> {
    let chain = parse_chain(cert).map_err(|reason| vec![format!("cert: {reason}")])?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| vec!["key: not a private key in PEM".to_owned()])?;
    let key = any_supported_type(&key)
        .map_err(|_| vec!["key: not a key of a supported type".to_owned()])?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(vec!["key: does not belong to the certificate".into()])
        }
        Err(error) => Err(vec![format!("cert: {error}")]),
    }
}

fn parse_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("no certificate in PEM".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("invalid PEM: {error}")),
    }
}

/// A certificate authority that services may trust.
pub struct CompiledCaCertificate {
    pub id: Uuid,
    pub certificate: CertificateDer<'static>,
}

impl CompiledCaCertificate {
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(ca: &model::CaCertificate) -> Result<CompiledCaCertificate, Vec<String>> {
        let chain = parse_chain(&ca.cert).map_err(|reason| vec![format!("cert: {reason}")])?;
        let Ok([certificate]) = <[_; 1]>::try_from(chain) else {
            return Err(vec!["cert: more than one certificate".into()]);
        };
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| vec![format!("cert: {error}")])?;
        Ok(CompiledCaCertificate {
            id: ca.id,
            certificate,
        })
    }
}

/// A server name and its certificate.
pub struct SniBinding {
    pub id: Uuid,
    /// In lower case, without a final dot; `*.rest`, `first.*` and `*` are patterns.
    pub name: Arc<str>,
    pub certificate: Uuid,
}

impl SniBinding {
    pub fn compile(sni: &model::Sni) -> SniBinding {
        SniBinding {
            id: sni.id,
            name: plain_name(&sni.name).into(),
            certificate: sni.certificate.id,
        }
    }
}

/// The one form that all spellings of a server name share.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Certificates by id and by server name.
#[derive(Clone, Default)]
pub struct CertificateTable {
    pub(super) certificates: PersistentMap<Uuid, Arc<CompiledCertificate>>,
    pub(super) snis: PersistentMap<Arc<str>, Arc<SniBinding>>,
    pub(super) authorities: PersistentMap<Uuid, Arc<CompiledCaCertificate>>,
}

impl CertificateTable {
    /// The certificate for a server name: the exact name, else `*.rest` with one label
    /// replaced (when at least two remain), else `first.labels.*` with the last label
    /// replaced, else `*`.
    pub fn find(&self, name: &str) -> Option<&Arc<CompiledCertificate>> {
        if self.snis.is_empty() {
            return None;
        }
        let name = plain_name(name);
        let left = name.split_once('.').filter(|(_, rest)| rest.contains('.'));
        let left = left.map(|(_, rest)| format!("*.{rest}"));
        let right = name.rsplit_once('.').map(|(first, _)| format!("{first}.*"));
        [Some(name), left, right, Some("*".to_owned())]
            .into_iter()
            .flatten()
            .filter_map(|name| self.snis.get(&*name))
            .find_map(|binding| self.certificates.get(&binding.certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn pair() -> (String, String) {
        let made =
            rcgen::generate_simple_self_signed(vec!["a.test".into()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn certificate(cert: &str, key: &str) -> model::Certificate {
        model::Certificate {
            id: Uuid::nil(),
            cert: cert.into(),
            key: key.into(),
            cert_alt: None,
            key_alt: None,
        }
    }

    #[test]
    fn broken_certificates_say_which_field() {
        let (cert, key) = pair();
        let (_, other_key) = pair();
        assert!(CompiledCertificate::compile(&certificate(&cert, &key)).is_ok());
        for (cert, key, field) in [
            ("", &*key, "cert:"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                &*key,
                "cert:",
            ),
            (&*cert, "", "key:"),
            (&*cert, &*other_key, "key:"),
        ] {
            let violations = CompiledCertificate::compile(&certificate(cert, key));
            let violations = violations.err().expect("a violation");
            assert!(violations[0].starts_with(field), "{violations:?}");
        }
        let half = model::Certificate {
            cert_alt: Some(cert.clone()),
            ..certificate(&cert, &key)
        };
        assert!(CompiledCertificate::compile(&half).is_err());
    }

    #[test]
    fn server_names_find_their_certificate() {
        let (cert, key) = pair();
        let mut table = CertificateTable::default();
        let names = ["a.test", "*.a.test", "*.test", "a.*", "*"];
        for (at, name) in names.into_iter().enumerate() {
            let id = Uuid::from_u128(at as u128);
            let compiled = CompiledCertificate::compile(&certificate(&cert, &key));
            let Ok(mut compiled) = compiled else {
                panic!("a valid certificate")
            };
            compiled.id = id;
            table.certificates.insert(id, Arc::new(compiled));
            let binding = SniBinding {
                id,
                name: name.into(),
                certificate: id,
            };
            table.snis.insert(name.into(), Arc::new(binding));
        }
        for (name, expected) in [
            ("a.test", "a.test"),
            ("A.Test", "a.test"),
            ("a.test.", "a.test"),
            ("x.A.test.", "*.a.test"),
            ("x.a.test", "*.a.test"),
            ("x.y.a.test", "*"),
            ("b.test", "*"),
            ("a.org", "a.*"),
            ("x", "*"),
        ] {
            let found = table.find(name).expect("a certificate").id;
            assert_eq!(names[found.as_u128() as usize], expected, "{name}");
        }
    }
}
