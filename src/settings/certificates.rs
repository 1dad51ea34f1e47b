//! Certificates of listeners, TLS versions, and whom outgoing connections trust.

use super::listen::Listen;
use super::listeners::Listeners;
use super::node::Role;
use super::problems::Problems;
use super::values::Values;
use crate::tls::{Material, TlsVersions};

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct CertificatePair {
    pub cert: Material,
    pub key: Material,
}

/// Settings of TLS apart from the cluster link.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Empty: generated under `prefix`.
    pub proxy: Vec<CertificatePair>,
    /// Empty: generated under `prefix`.
    pub admin: Vec<CertificatePair>,
    /// Empty: generated under `prefix`.
    pub status: Vec<CertificatePair>,
    /// Shown to upstreams that ask.
    pub client: Option<CertificatePair>,
    pub versions: TlsVersions,
    /// `system`, or material.
    pub trusted: Vec<Trusted>,
}

/// An entry of `lua_ssl_trusted_certificate`.
#[derive(Debug, Clone)]
pub enum Trusted {
    /// The operating system's bundle.
    System,
    Material(Material),
}

impl Certificates {
    pub(super) fn resolve(
        role: Role,
        listeners: &Listeners,
        values: &Values,
        problems: &mut Problems,
    ) -> Certificates {
        let data_plane = role.has_data_plane();
        let control_plane = role.has_control_plane();
        let mut pairs_of = |open: bool, listens: &[Listen], prefix: &str| {
            let needed = open && listens.iter().any(|listen| listen.ssl);
            pairs(needed, prefix, values, problems)
        };
        Certificates {
            proxy: pairs_of(data_plane, &listeners.proxy, ""),
            admin: pairs_of(control_plane, &listeners.admin, "admin_"),
            status: pairs_of(true, &listeners.status, "status_"),
            client: client_pair(values, problems),
            versions: versions(values, problems),
            trusted: values
                .list("lua_ssl_trusted_certificate")
                .iter()
                .map(|entry| match entry.as_str() {
                    "system" => Trusted::System,
                    other => Trusted::Material(Material::parse(other)),
                })
                .collect(),
        }
    }
}

/// The pairs of one group of listeners; as in Kong they are looked at only where TLS is on.
fn pairs(
    needed: bool,
    prefix: &str,
    values: &Values,
    problems: &mut Problems,
) -> Vec<CertificatePair> {
    if !needed {
        return Vec::new();
    }
    let certs = values.list(&format!("{prefix}ssl_cert"));
    let keys = values.list(&format!("{prefix}ssl_cert_key"));
    if !certs.is_empty() && keys.is_empty() {
        problems.violation(format!("{prefix}ssl_cert_key must be specified"));
    } else if certs.is_empty() && !keys.is_empty() {
        problems.violation(format!("{prefix}ssl_cert must be specified"));
    } else if certs.len() != keys.len() {
        problems.violation(format!(
            "{prefix}ssl_cert was specified {} times while {prefix}ssl_cert_key was specified {} times",
            certs.len(),
            keys.len()
        ));
    }
    certs
        .iter()
        .zip(keys)
        .map(|(cert, key)| CertificatePair {
            cert: Material::parse(cert),
            key: Material::parse(key),
        })
        .collect()
}

fn client_pair(values: &Values, problems: &mut Problems) -> Option<CertificatePair> {
    if !values.boolean("client_ssl") {
        return None;
    }
    let cert = values.text("client_ssl_cert").map(Material::parse);
    let key = values.text("client_ssl_cert_key").map(Material::parse);
    match (cert, key) {
        (Some(cert), Some(key)) => Some(CertificatePair { cert, key }),
        (cert, _) => {
            let missing = if cert.is_none() {
                "client_ssl_cert"
            } else {
                "client_ssl_cert_key"
            };
            problems.violation(format!("{missing} must be specified"));
            None
        }
    }
}

fn versions(values: &Values, problems: &mut Problems) -> TlsVersions {
    let suite = values.text("ssl_cipher_suite").unwrap_or_default();
    let of_suite = match suite {
        "intermediate" => TlsVersions::ALL,
        "modern" => TlsVersions {
            tls12: false,
            tls13: true,
        },
        "old" | "custom" => {
            problems.warning(format!(
                "ssl_cipher_suite = {suite} is treated as intermediate"
            ));
            TlsVersions::ALL
        }
        "fips" => {
            problems.violation("ssl_cipher_suite: fips is not available");
            TlsVersions::ALL
        }
        other => {
            problems.violation(format!("ssl_cipher_suite: Undefined cipher suite {other}"));
            TlsVersions::ALL
        }
    };
    let mut asked = TlsVersions {
        tls12: false,
        tls13: false,
    };
    for name in values
        .text("ssl_protocols")
        .unwrap_or_default()
        .split_whitespace()
    {
        match name {
            "TLSv1.2" => asked.tls12 = true,
            "TLSv1.3" => asked.tls13 = true,
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
                problems.warning(format!("ssl_protocols: {name} is not offered"));
            }
            other => problems.violation(format!("ssl_protocols: invalid entry '{other}'")),
        }
    }
    let versions = TlsVersions {
        tls12: of_suite.tls12 && asked.tls12,
        tls13: of_suite.tls13 && asked.tls13,
    };
    if versions
        == (TlsVersions {
            tls12: false,
            tls13: false,
        })
    {
        problems.violation(format!(
            "ssl_protocols leaves no version of TLS that ssl_cipher_suite = {suite} allows"
        ));
    }
    versions
}
