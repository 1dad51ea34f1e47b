//! References to vaults, which data planes resolve from their own environment.

use crate::harness::{Cluster, Database, call, eventually, get, post};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::json;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Shakes hands with a server that has to show this certificate.
fn shows(address: &str, name: &str, certificate: &CertificateDer<'static>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(|err| text(&err))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| text(&err))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|err| text(&err))?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|err| text(&err))?;
    let mut socket = TcpStream::connect(address).map_err(|err| text(&err))?;
    let patience = Some(Duration::from_secs(10));
    socket
        .set_read_timeout(patience)
        .map_err(|err| text(&err))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket).map_err(|err| text(&err))?;
    }
    Ok(())
}

#[test]
fn trial_11_a_certificate_in_the_environment_of_a_data_plane() {
    let signed = rcgen::generate_simple_self_signed(vec!["one.test".into()]).expect("signs");
    let (pem, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    // Variables of the data plane alone: the harness puts LANGUR_ before their names.
    cluster.add_data_plane(&[("tls_cert", &pem), ("tls_key", &key)]);
    cluster.wait_until_connected(0);
    let vault = json!({"name": "env", "prefix": "tls", "config": {"prefix": "langur_tls_"}});
    post(&cluster.admin(0, "/vaults"), &vault)
        .expect("an answer")
        .expect(201);
    let pair =
        json!({"cert": "{vault://tls/cert}", "key": "{vault://tls/key}", "snis": ["one.test"]});
    let made = post(&cluster.admin(0, "/certificates"), &pair)
        .expect("an answer")
        .expect(201);
    // The control plane keeps the references.
    let path = format!("/certificates/{}", made["id"].as_str().expect("an id"));
    let kept = get(&cluster.admin(0, &path))
        .expect("an answer")
        .expect(200);
    assert_eq!((&kept["cert"], &kept["key"]), (&pair["cert"], &pair["key"]));
    let listens = cluster.data_planes[0].setting("proxy_listen").to_owned();
    let listen = listens.split(", ").find_map(|it| it.strip_suffix(" ssl"));
    let address = listen.expect("a TLS listener").to_owned();
    let served = || shows(&address, "one.test", signed.cert.der());
    eventually("the certificate is shown", served);

    // Its vault changes to one without such variables: the last good one goes on.
    let change = json!({"config": {"prefix": "langur_gone_"}});
    call(
        "PATCH",
        &cluster.admin(0, "/vaults/tls"),
        &[],
        Some(&change),
    )
    .expect("an answer")
    .expect(200);
    let reason = eventually("the certificate is in quarantine", || {
        let row = cluster.row(0, 0)?;
        let reason = row["quarantined"][0]["reason"].as_str();
        reason.map(str::to_owned).ok_or_else(|| row.to_string())
    });
    assert!(
        reason.contains("key: {vault://tls/key} cannot be resolved: the environment variable LANGUR_GONE_KEY is not set"),
        "{reason}"
    );
    served().expect("the last good certificate is shown");
    let secret = key.lines().nth(1).expect("the key");
    let log = cluster.data_planes[0].log().join("\n");
    assert!(!log.contains(secret), "a key is in the log");
}
