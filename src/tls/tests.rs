//! Whole handshakes in memory: who is believed, who is refused, and when.

use super::cluster::client_config;
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, RootCertStore, ServerConnection};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Made as `kong hybrid gen_cert` makes it: X.509 version 1, serial 0, no extensions.
const V1_CERT: &str = include_str!("data/kong_v1.crt");
const V1_KEY: &str = include_str!("data/kong_v1.key");

fn v1() -> Identity {
    Identity::load(&Material::parse(V1_CERT), &Material::parse(V1_KEY)).unwrap()
}

fn own(days: u32, now: SystemTime) -> Identity {
    let pair = cluster_certificate(days, now).unwrap();
    Identity::load(
        &Material::parse(&pair.certificate),
        &Material::parse(&pair.key),
    )
    .unwrap()
}

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn trust(&self) -> ClusterTrust {
        let mut roots = RootCertStore::empty();
        add_material(&mut roots, &Material::Pem(self.0.pem())).unwrap();
        ClusterTrust::Pki(roots)
    }

    fn sign(&self, common_name: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity::new(vec![certificate.der().clone()], key).unwrap()
    }
}

/// Drives both ends until they are done or one of them fails.
fn handshake(
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
    name: rustls::pki_types::ServerName<'static>,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    while server.is_handshaking() || client.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut input = &bytes[..];
        while !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut input = &bytes[..];
        while !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((server, client))
}

fn shared(
    control_plane: &Identity,
    data_plane: &Identity,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<(), rustls::Error> {
    let trust = ClusterTrust::Shared;
    let server = cluster_server_config(control_plane, &trust).unwrap();
    let client = client_config(data_plane, &trust, &[version]).unwrap();
    let name = server_name(&trust, Some("ignored.example"), "ignored").unwrap();
    let (server, _) = handshake(server, client, name)?;
    assert_eq!(server.server_name(), Some("kong_clustering"));
    assert_eq!(server.peer_certificates().unwrap(), data_plane.chain());
    Ok(())
}

#[test]
fn shared_certificates_of_both_versions_connect_over_both_versions_of_tls() {
    for identity in [v1(), own(1095, SystemTime::now())] {
        for version in [&TLS12, &TLS13] {
            shared(&identity, &identity, version).unwrap();
        }
    }
}

#[test]
fn a_server_that_is_not_verified_may_show_a_certificate_of_any_version() {
    let trust = ClusterTrust::Shared;
    for identity in [v1(), own(1, SystemTime::now())] {
        for version in [&TLS12, &TLS13] {
            let server = cluster_server_config(&identity, &trust).unwrap();
            let mut client = client_config(&identity, &trust, &[version]).unwrap();
            let mut dangerous = client.dangerous();
            dangerous.set_certificate_verifier(Arc::new(AnyServerVerifier));
            let name = server_name(&trust, None, "any.example").unwrap();
            handshake(server, client, name).unwrap();
        }
    }
}

#[test]
fn another_certificate_is_refused_by_either_side() {
    let (ours, other) = (own(1095, SystemTime::now()), own(1095, SystemTime::now()));
    for version in [&TLS12, &TLS13] {
        shared(&ours, &other, version).unwrap_err();
        shared(&v1(), &ours, version).unwrap_err();
    }
    // A client that does not verify the server still gets nowhere with the wrong certificate.
    let server = cluster_server_config(&ours, &ClusterTrust::Shared).unwrap();
    let mut client = cluster_client_config(&other, &ClusterTrust::Shared).unwrap();
    let pinned = shared::PinnedVerifier::new(vec![ours.fingerprint()]);
    client
        .dangerous()
        .set_certificate_verifier(Arc::new(pinned));
    let name = server_name(&ClusterTrust::Shared, None, "x").unwrap();
    let error = handshake(server, client, name).unwrap_err();
    assert!(
        matches!(error, rustls::Error::InvalidCertificate(_)),
        "{error}"
    );
}

#[test]
fn no_certificate_is_refused() {
    let ours = own(1095, SystemTime::now());
    let server = cluster_server_config(&ours, &ClusterTrust::Shared).unwrap();
    let client = pinned_client_config(std::slice::from_ref(&ours)).unwrap();
    let name = server_name(&ClusterTrust::Shared, None, "x").unwrap();
    let error = handshake(server, client, name).unwrap_err();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
}

#[test]
fn the_right_certificate_without_its_key_is_refused() {
    // A thief of the certificate alone: its bytes are public, the key is another one.
    let (ours, thief) = (own(1095, SystemTime::now()), own(1095, SystemTime::now()));
    let forged = rustls::sign::CertifiedKey::new(
        ours.chain().to_vec(),
        Arc::clone(&thief.certified_key().key),
    );
    for version in [&TLS12, &TLS13] {
        let server = cluster_server_config(&ours, &ClusterTrust::Shared).unwrap();
        let mut client = client_config(&ours, &ClusterTrust::Shared, &[version]).unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(forged.clone());
        client.client_auth_cert_resolver = Arc::new(resolver);
        let name = server_name(&ClusterTrust::Shared, None, "x").unwrap();
        handshake(server, client, name).unwrap_err();
    }
}

#[test]
fn an_outdated_shared_certificate_is_refused_by_the_data_plane() {
    let long_ago = SystemTime::now() - Duration::from_secs(10 * 86_400);
    let outdated = own(5, long_ago);
    let error = shared(&outdated, &outdated, &TLS13).unwrap_err();
    assert!(error.to_string().contains("Expired"), "{error}");
}

#[test]
fn trial_23_an_outdated_shared_certificate_is_refused_by_the_control_plane() {
    let long_ago = SystemTime::now() - Duration::from_secs(10 * 86_400);
    let outdated = own(5, long_ago);
    // This data plane does not look at the dates of its control plane.
    let server = cluster_server_config(&outdated, &ClusterTrust::Shared).unwrap();
    let mut client = cluster_client_config(&outdated, &ClusterTrust::Shared).unwrap();
    let mut dangerous = client.dangerous();
    dangerous.set_certificate_verifier(Arc::new(AnyServerVerifier));
    let name = server_name(&ClusterTrust::Shared, None, "x").unwrap();
    let error = handshake(server, client, name).unwrap_err();
    assert!(error.to_string().contains("Expired"), "{error}");
}

#[test]
fn pki() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cp = authority.sign("cp", &["cp.example"], ServerAuth);
    let dp = authority.sign("anything", &["dp"], ClientAuth);
    let check = |cp: &Identity, dp: &Identity, name: Option<&str>, host: &str, accepted: bool| {
        let trust = authority.trust();
        let server = cluster_server_config(cp, &trust).unwrap();
        let client = cluster_client_config(dp, &trust).unwrap();
        let name = server_name(&trust, name, host).unwrap();
        let result = handshake(server, client, name);
        assert_eq!(result.is_ok(), accepted, "{:?}", result.err());
    };
    check(&cp, &dp, None, "cp.example", true);
    check(&cp, &dp, Some("cp.example"), "10.0.0.1", true);
    check(&cp, &dp, None, "other.example", false);
    check(
        &cp,
        &stranger.sign("x", &["x"], ClientAuth),
        None,
        "cp.example",
        false,
    );
    check(
        &stranger.sign("cp", &["cp.example"], ServerAuth),
        &dp,
        None,
        "cp.example",
        false,
    );
    // The wrong purpose.
    check(&dp, &dp, None, "dp", false);
    check(&cp, &cp, None, "cp.example", false);
    // The common name counts only where no alternative name is given.
    check(
        &authority.sign("cp.example", &[], ServerAuth),
        &dp,
        None,
        "CP.example",
        true,
    );
    check(
        &authority.sign("cp.example", &["x"], ServerAuth),
        &dp,
        None,
        "cp.example",
        false,
    );
}

#[test]
fn material_in_its_three_forms() {
    use base64::Engine as _;
    let packed = base64::prelude::BASE64_STANDARD.encode(V1_CERT);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.crt");
    std::fs::write(&path, V1_CERT).unwrap();
    let expected = v1();
    for text in [V1_CERT, &packed, path.to_str().unwrap()] {
        let chain = Material::parse(text).certificates().unwrap();
        assert_eq!(chain, expected.chain());
    }
}

#[test]
fn material_that_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Material::Path(path)
    };
    let big = vec![b'\n'; MAX_MATERIAL as usize + 1];
    let missing = Material::parse("/no/such/file");
    for (material, expected) in [
        (&missing, "/no/such/file: No such file"),
        (&path("empty", b""), "holds no certificate"),
        (&path("key", V1_KEY.as_bytes()), "holds no certificate"),
        (&path("big", &big), "larger than"),
        (
            &Material::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            "the text in the settings: ",
        ),
    ] {
        let error = material.certificates().unwrap_err().to_string();
        assert!(
            error.starts_with("failed loading certificate from "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
    let error = missing.key().unwrap_err().to_string();
    assert!(error.starts_with("failed loading key from /no/such/file"));
    // A key never shows, whatever is wrong with it.
    let broken = Material::parse(&V1_KEY.replace("END PRIVATE KEY", "END"));
    let error = format!("{} {broken:?}", broken.key().unwrap_err());
    assert!(!error.contains("MIG"), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let pair = cluster_certificate(1, SystemTime::now()).unwrap();
    let result = Identity::load(&Material::parse(V1_CERT), &Material::parse(&pair.key));
    assert!(matches!(result, Err(TlsError::KeyMismatch)));
}

#[test]
fn the_generated_cluster_certificate() {
    use x509_parser::prelude::*;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let identity = own(10, now);
    assert_eq!(identity.expiry(), Some(1_800_000_000 + 10 * 86_400));
    let (_, certificate) = X509Certificate::from_der(identity.leaf()).unwrap();
    assert_eq!(certificate.version(), X509Version::V3);
    assert_eq!(certificate.subject().to_string(), "CN=kong_clustering");
    assert_eq!(certificate.issuer(), certificate.subject());
    assert_eq!(certificate.validity().not_before.timestamp(), 1_800_000_000);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::DNSName("kong_clustering")]
    );
    let key = certificate.public_key().parsed().unwrap();
    assert_eq!(key.key_size(), 384);
}

#[test]
fn the_default_certificate_is_made_once_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let prefix = tempfile::tempdir().unwrap();
    let first = default_identity(prefix.path(), "admin-default").unwrap();
    let again = default_identity(prefix.path(), "admin-default").unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    let key = prefix.path().join("ssl/admin-default.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Half a pair is replaced as a whole.
    std::fs::remove_file(&key).unwrap();
    let renewed = default_identity(prefix.path(), "admin-default").unwrap();
    assert_ne!(first.fingerprint(), renewed.fingerprint());
}

#[test]
fn a_listener_speaks_to_a_client_that_pins_it() {
    let prefix = tempfile::tempdir().unwrap();
    let identity = default_identity(prefix.path(), "default").unwrap();
    let identities = std::slice::from_ref(&identity);
    for http2 in [false, true] {
        let server = listener_config(identities, TlsVersions::ALL, http2).unwrap();
        let mut client = pinned_client_config(identities).unwrap();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (server, _) = handshake(server, client, "localhost".try_into().unwrap()).unwrap();
        let expected: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        assert_eq!(server.alpn_protocol(), Some(expected));
    }
    assert!(listener_config(&[], TlsVersions::ALL, true).is_err());
}
