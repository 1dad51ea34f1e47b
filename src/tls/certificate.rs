//! Reading certificates, X.509 version 1 included.

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

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

/// How a moment lies to a certificate's dates, which people are told as the certificate writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    Valid,
    NotYet { since: String },
    Expired { at: String },
}

/// Whether a certificate is valid at a moment, in seconds since 1970; `None` of what is no
/// certificate.
pub fn validity(der: &CertificateDer<'_>, now: i64) -> Option<Validity> {
    let certificate = parse(der).ok()?;
    let dates = certificate.validity();
    let text = |time: ASN1Time| time.to_rfc2822().unwrap_or_else(|_| time.to_string());
    Some(if now < dates.not_before.timestamp() {
        Validity::NotYet {
            since: text(dates.not_before),
        }
    } else if now > dates.not_after.timestamp() {
        Validity::Expired {
            at: text(dates.not_after),
        }
    } else {
        Validity::Valid
    })
}

/// What a certificate says of itself, as far as people go wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Epoch seconds.
    pub not_before: i64,
    /// Epoch seconds.
    pub not_after: i64,
    /// Whether its extended key usage, if there is one, lets servers show it.
    pub for_servers: bool,
    /// The same of clients.
    pub for_clients: bool,
    /// Alternative names and addresses, or else common names.
    pub names: Vec<String>,
}

/// Reads the facts; `None` of what is no certificate.
pub fn facts(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let certificate = parse(der).ok()?;
    let usage = certificate.extended_key_usage().ok()?;
    let usage = usage.map(|extension| extension.value);
    let alternative = certificate.subject_alternative_name().ok()?;
    let alternative = alternative.map(|extension| &extension.value.general_names);
    let mut names: Vec<String> = alternative
        .into_iter()
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => Some(format!("{bytes:?}")),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name();
        names.extend(common.filter_map(|name| name.as_str().ok().map(str::to_owned)));
    }
    Some(CertificateFacts {
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        for_servers: usage.is_none_or(|usage| usage.any || usage.server_auth),
        for_clients: usage.is_none_or(|usage| usage.any || usage.client_auth),
        names,
    })
}

/// How a certificate names a node: a URI among its alternative names that begins so, and goes on
/// with the node's id.
pub const NODE_URN: &str = "urn:langur:node:";

/// The id of the node that a certificate was made for, if it says so. One that names several is
/// for nobody in particular.
pub fn node_id(der: &CertificateDer<'_>) -> Option<Uuid> {
    let certificate = parse(der).ok()?;
    let alternative = certificate.subject_alternative_name().ok()??;
    let mut ids = alternative
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Uuid::try_parse(uri.strip_prefix(NODE_URN)?).ok(),
            _ => None,
        });
    let first = ids.next()?;
    ids.next().is_none().then_some(first)
}

/// SHA-256 of the whole certificate.
pub fn fingerprint(der: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(der).into()
}
