//! A data plane is who its secret or its certificate says, and nobody else is.

use crate::harness::{BINARY, Cluster, Database, Peer, eventually, get};
use crate::hostile_links::{hear, hello, metric, say};
use langur::tls::{self, ClusterTrust, Identity, Material};
use langur::wire::{
    CONFIG_PATH, FromControlPlane, Hello, NodeSecret, Pong, RefusalCode, TELEMETRY_PATH,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::RootCertStore;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use uuid::Uuid;

/// The id of a data plane.
fn id_of(cluster: &Cluster, n: usize) -> Uuid {
    let text = fs::read_to_string(cluster.data_planes[n].prefix().join("kong.id"));
    text.expect("an id").trim().parse().expect("an id")
}

/// Its secret, and where that is kept.
fn secret_of(cluster: &Cluster, n: usize) -> NodeSecret {
    let path = cluster.data_planes[n].prefix().join("node.secret");
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(path).expect("a secret");
    NodeSecret::from_hex(text.trim()).expect("a secret")
}

/// What the control plane answers to a hello, and the link.
fn introduce(mut peer: Peer, hello: Hello) -> (FromControlPlane, Peer) {
    assert_eq!(peer.upgrade(CONFIG_PATH, ""), 101);
    assert!(say(&mut peer, hello));
    (hear(&mut peer), peer)
}

#[track_caller]
fn refused(answer: &FromControlPlane, reason: &str) {
    match answer {
        FromControlPlane::Refused(refused) if refused.code == RefusalCode::Identity => {
            assert!(refused.reason.contains(reason), "{}", refused.reason);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn trial_15_nobody_becomes_another_data_plane() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    let (node, secret) = (id_of(&cluster, 0), secret_of(&cluster, 0));
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let wrong = NodeSecret::new([1; NodeSecret::BYTES]);
    let with = |secret: Option<&NodeSecret>| Hello {
        secret: secret.cloned(),
        ..hello(node)
    };
    let telemetry = |secret: Option<&NodeSecret>| {
        let mut peer = Peer::connect(&cluster, &link);
        let header =
            secret.map(|secret| format!("{}: {}\r\n", NodeSecret::HEADER, secret.to_hex()));
        let path = format!("{TELEMETRY_PATH}?node_id={node}");
        peer.upgrade(&path, &header.unwrap_or_default())
    };
    let introduce_with =
        |secret: Option<&NodeSecret>| introduce(Peer::connect(&cluster, &link), with(secret));
    refused(&introduce_with(None).0, "does not show it");
    refused(&introduce_with(Some(&wrong)).0, "is not that of node");
    // The one that is there has not noticed.
    let row = cluster.row(0, 0).expect("a row");
    assert_eq!(row["connected"], true);
    assert_ne!(row["hostname"], "impostor");
    let closed = cluster.control_planes[0].events("session closes");
    let superseded = closed
        .iter()
        .any(|event| event["reason"] == "the data plane has connected anew");
    assert!(!superseded, "{closed:?}");
    cluster.add_route("any", "/any");
    cluster.wait_for_status(0, "/any", 200);
    let counted = r#"langur_cluster_links_refused_total{link="configuration",reason="identity"} "#;
    assert_eq!(metric(&cluster, counted), Ok(2.0));
    assert_eq!(
        cluster.control_planes[0]
            .events("a link was refused: it is not that of the node it names")
            .len(),
        2
    );
    // Its telemetry is its own, too.
    assert_eq!(telemetry(None), 403);
    assert_eq!(telemetry(Some(&wrong)), 403);
    assert_eq!(telemetry(Some(&secret)), 101);
    // Neither is its place free while it is away.
    cluster.data_planes[0].stop(libc::SIGTERM);
    cluster.wait_until_gone(0);
    refused(
        &introduce(Peer::connect(&cluster, &link), with(None)).0,
        "does not show it",
    );
    // Who has the secret has the id, twice: the second link supersedes the first.
    let (first, mut older) = introduce(Peer::connect(&cluster, &link), with(Some(&secret)));
    assert!(matches!(first, FromControlPlane::Welcome(_)), "{first:?}");
    let (second, _newer) = introduce(Peer::connect(&cluster, &link), with(Some(&secret)));
    assert!(matches!(second, FromControlPlane::Welcome(_)), "{second:?}");
    eventually("the first is closed", || match older.is_closed() {
        true => Ok(()),
        false => Err("open".into()),
    });
    // A node that has lost its prefix and keeps its id.
    let id = node.to_string();
    let output = cluster.control_planes[0].run(&["hybrid", "forget", &id]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("is forgotten"), "{said} {output:?}");
    let (answer, _link) = introduce(Peer::connect(&cluster, &link), with(Some(&wrong)));
    assert!(matches!(answer, FromControlPlane::Welcome(_)), "{answer:?}");
    refused(
        &introduce(Peer::connect(&cluster, &link), with(Some(&secret))).0,
        "is not that of node",
    );
}

#[test]
fn trial_15_a_node_of_an_earlier_version_keeps_its_id_while_it_answers() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let connect = || Peer::connect(&cluster, &link);
    // The two seconds that it has may pass on a busy machine: then another one is tried.
    let (node, mut first) = eventually("a sign of life comes in time", || {
        let node = Uuid::new_v4();
        let (answer, mut first) = introduce(connect(), hello(node));
        assert!(matches!(answer, FromControlPlane::Welcome(_)), "{answer:?}");
        let mut second = connect();
        assert_eq!(second.upgrade(CONFIG_PATH, ""), 101);
        assert!(say(&mut second, hello(node)));
        while !matches!(hear(&mut first), FromControlPlane::Ping(_)) {}
        if !say(&mut first, Pong {}) {
            return Err("too late".into());
        }
        match hear(&mut second) {
            FromControlPlane::Refused(refused) => {
                assert_eq!(refused.code, RefusalCode::Identity);
                assert!(refused.reason.contains("is connected and answers"));
                Ok((node, first))
            }
            _ => Err("too late".into()),
        }
    });
    let warned = cluster.control_planes[0].log().join("\n");
    assert!(
        warned.contains("a data plane proves no identity"),
        "{warned}"
    );
    // It says nothing any more: the next one is answered.
    let (answer, _second) = introduce(connect(), hello(node));
    assert!(matches!(answer, FromControlPlane::Welcome(_)), "{answer:?}");
    eventually("the first is closed", || match first.is_closed() {
        true => Ok(()),
        false => Err("open".into()),
    });
}

/// An authority, as two files.
fn make_authority(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("an authority");
    fs::write(folder.join("ca.crt"), certificate.pem()).expect("written");
    fs::write(folder.join("ca.key"), key.serialize_pem()).expect("written");
}

#[test]
fn trial_15_a_certificate_may_name_its_node() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    let folder = cluster.path("");
    make_authority(&folder);
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let host = link.split(':').next().unwrap_or_default().to_owned();
    let sign = |name: &str, node: Uuid, more: &[&str]| {
        let (cert, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        let made = Command::new(BINARY)
            .args(["hybrid", "gen_cert", &cert, &key])
            .args(["--node", &node.to_string()])
            .args(["--ca-cert", &path("ca.crt"), "--ca-key", &path("ca.key")])
            .args(more)
            .output()
            .expect("gen_cert runs");
        assert!(made.status.success(), "{made:?}");
        (cert, key)
    };
    let (cert, key) = sign("cp", Uuid::new_v4(), &["--name", &host]);
    let control = &mut cluster.control_planes[0];
    control.set("cluster_mtls", "pki");
    control.set("cluster_ca_cert", path("ca.crt"));
    control.set("cluster_cert", cert);
    control.set("cluster_cert_key", key);
    control.restart();
    cluster.wait_until_ready(0);
    let (node, other) = (Uuid::new_v4(), Uuid::new_v4());
    let (cert, key) = sign("dp", node, &[]);
    let n = cluster.add_data_plane(&[
        ("node_id", &node.to_string()),
        ("cluster_mtls", "pki"),
        ("cluster_ca_cert", &path("ca.crt")),
        ("cluster_cert", &cert),
        ("cluster_cert_key", &key),
    ]);
    eventually("the node is connected", || {
        let rows = get(&cluster.admin(0, "/clustering/data-planes"))?.json();
        match rows["data"][0]["connected"] == true {
            true => Ok(()),
            false => Err(rows.to_string()),
        }
    });
    let mut roots = RootCertStore::empty();
    tls::add_material(&mut roots, &Material::Path(folder.join("ca.crt"))).expect("an authority");
    let trust = ClusterTrust::Pki(roots);
    let (cert, key) = sign("other", other, &[]);
    let stranger = Identity::load(&Material::Path(cert.into()), &Material::Path(key.into()));
    let stranger = stranger.expect("a certificate");
    let connect = || Peer::connect_as(&stranger, &trust, &link);
    // With the certificate of one node nobody is another, in spite of its secret.
    let secret = Some(secret_of(&cluster, n));
    let hello_with = Hello {
        secret: secret.clone(),
        ..hello(node)
    };
    refused(
        &introduce(connect(), hello_with).0,
        "the certificate is that of node",
    );
    let path = format!("{TELEMETRY_PATH}?node_id={node}");
    let header = secret.map(|secret| format!("{}: {}\r\n", NodeSecret::HEADER, secret.to_hex()));
    assert_eq!(connect().upgrade(&path, &header.unwrap_or_default()), 403);
    // As itself it needs no secret.
    let (answer, _link) = introduce(connect(), hello(other));
    assert!(matches!(answer, FromControlPlane::Welcome(_)), "{answer:?}");
    let path = format!("{TELEMETRY_PATH}?node_id={other}");
    assert_eq!(connect().upgrade(&path, ""), 101);
}
