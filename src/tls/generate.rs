//! Certificates made here: the cluster's own, and one for listeners that have none.

use super::{NODE_URN, TlsError};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType, SignatureAlgorithm,
    date_time_ymd,
};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

/// The lifetime of a listener's certificate. It proves nothing, so nothing is gained by less.
const LISTENER_DAYS: u32 = 3_650;

/// A certificate and its key, both as PEM.
pub struct GeneratedPair {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for GeneratedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedPair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// The certificate all nodes share: P-384, X.509 version 3, name `kong_clustering` in subject
/// and alternative name, for servers and clients.
pub fn cluster_certificate(days: u32, now: SystemTime) -> Result<GeneratedPair, TlsError> {
    let mut params = CertificateParams::new([super::CLUSTER_SERVER_NAME.to_owned()])?;
    params.distinguished_name = common_name(super::CLUSTER_SERVER_NAME);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    self_signed(params, &PKCS_ECDSA_P384_SHA384, days, now)
}

/// A certificate for one node of a cluster with `cluster_mtls = pki`, signed by an authority: it
/// names the node's id, and the names and addresses that it is reached by if any.
///
/// # Errors
/// The authority's certificate or key cannot be used, or a name is none.
pub fn node_certificate(
    node: Uuid,
    names: Vec<String>,
    authority: (&str, &str),
    days: u32,
    now: SystemTime,
) -> Result<GeneratedPair, TlsError> {
    let (certificate, key) = authority;
    let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
    let mut params = CertificateParams::new(names)?;
    let urn = format!("{NODE_URN}{node}");
    params.subject_alt_names.push(SanType::URI(urn.try_into()?));
    params.distinguished_name = common_name(&node.to_string());
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    live(&mut params, days, now);
    let own = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let certificate = params.signed_by(&own, &issuer)?;
    Ok(GeneratedPair {
        certificate: certificate.pem(),
        key: own.serialize_pem(),
    })
}

/// A certificate for HTTPS listeners until one is configured: P-256, for `localhost`.
pub fn listener_certificate(now: SystemTime) -> Result<GeneratedPair, TlsError> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    params.subject_alt_names.push(loopback);
    params.distinguished_name = common_name("localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    self_signed(params, &PKCS_ECDSA_P256_SHA256, LISTENER_DAYS, now)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn self_signed(
    mut params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
    days: u32,
    now: SystemTime,
) -> Result<GeneratedPair, TlsError> {
    live(&mut params, days, now);
    let key = KeyPair::generate_for(algorithm)?;
    let certificate = params.self_signed(&key)?;
    Ok(GeneratedPair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// From now on for so many days, to sign handshakes.
fn live(params: &mut CertificateParams, days: u32, now: SystemTime) {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch.as_secs());
    params.not_before = now;
    params.not_after = now + DAY * days;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
}
