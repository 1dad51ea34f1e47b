//! Peers that have the certificate of the cluster and mean harm, or are merely broken; and telemetry
//! that finds its way, or says why not.

use crate::harness::{Cluster, Database, Peer, closed_address, eventually, eventually_true, get};
use langur::model::KindSet;
use langur::wire::{
    CONFIG_PATH, FromControlPlane, FromDataPlane, Hello, Incoming, Limits, Position,
    TELEMETRY_PATH, decode, encode,
};
use serde_json::json;
use uuid::Uuid;

pub fn hello(node_id: Uuid) -> Hello {
    Hello {
        node_id,
        hostname: "impostor".into(),
        langur_version: env!("CARGO_PKG_VERSION").into(),
        kong_version: "3.9.3".into(),
        plugins: Vec::new(),
        kinds: KindSet::DISTRIBUTED,
        labels: Default::default(),
        held: Position::default(),
        incarnation: Uuid::new_v4(),
        secret: None,
    }
}

/// Says something on a link of configuration.
pub fn say(peer: &mut Peer, message: impl Into<FromDataPlane>) -> bool {
    let bytes = encode(&message.into(), &Limits::of_hello()).expect("encodes");
    peer.send(&bytes)
}

/// What a control plane says next.
pub fn hear(peer: &mut Peer) -> FromControlPlane {
    eventually("the control plane says something", || {
        let closed = peer.is_closed();
        match (peer.receive(), closed) {
            (Some(bytes), _) => match decode(&bytes, &Limits::default()) {
                Ok(Incoming::Known(message)) => Ok(message),
                other => panic!("{other:?}"),
            },
            (None, true) => panic!("the link is closed"),
            (None, false) => Err("nothing".into()),
        }
    })
}

/// A value of a metric of a control plane.
pub fn metric(cluster: &Cluster, name: &str) -> Result<f64, String> {
    let text = get(&cluster.admin(0, "/metrics"))?.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.ok_or(text)
}

#[test]
fn trial_13b_one_port_is_enough() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.control_planes[0].set("cluster_telemetry_listen", "off");
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let n = cluster.add_data_plane(&[("cluster_telemetry_endpoint", &link)]);
    cluster.wait_until_connected(n);
    cluster.add_route("any", "/any");
    cluster.wait_for_status(n, "/any", 200);
    let text = eventually("requests are counted", || {
        let text = get(&cluster.admin(0, "/metrics"))?.text;
        match text.contains("langur_fleet_http_requests_total{") {
            true => Ok(text),
            false => Err(text),
        }
    });
    let mut refusals = text
        .lines()
        .filter(|line| line.contains(r#"link="telemetry""#));
    assert!(
        refusals.all(|line| line.ends_with(" 0")),
        "none was refused"
    );
    let row = cluster.row(0, n).expect("a row");
    assert_eq!(row["telemetry_error"], json!(null));
}

#[test]
fn trial_13b_a_telemetry_link_that_is_refused_is_named() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    let nowhere = closed_address().to_string();
    let n = cluster.add_data_plane(&[("cluster_telemetry_endpoint", &nowhere)]);
    cluster.wait_until_connected(n);
    let row = eventually("the fleet's row says so", || {
        let row = cluster.row(0, n)?;
        match row["telemetry_error"].is_string() {
            true => Ok(row),
            false => Err(row.to_string()),
        }
    });
    let why = row["telemetry_error"].as_str().unwrap_or_default();
    assert!(why.contains(&nowhere), "{why}");
    let node = &cluster.data_planes[n];
    let status = get(&cluster.status_url(node, "/status")).expect("an answer");
    let telemetry = status.expect(200)["telemetry"].clone();
    assert_eq!(telemetry, json!({"connected": false, "error": why}));
    let metrics = get(&cluster.status_url(node, "/metrics")).expect("an answer");
    assert!(metrics.text.contains("langur_telemetry_connected 0"));
    let warned = node.events("no telemetry link");
    assert_eq!(warned[0]["setting"], "cluster_telemetry_endpoint");
    assert_eq!(warned[0]["level"], "WARN");
}

#[test]
fn trial_17_a_stranger_may_send_a_hello_and_no_more() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    // An unfinished frame of 15 MiB: it is not waited for.
    let mut peer = Peer::connect(&cluster, &link);
    assert_eq!(peer.upgrade(CONFIG_PATH, ""), 101);
    assert!(peer.begin_frame(15 << 20));
    let mut sent = 0;
    while sent < 14 << 20 && peer.write(&[0; 16 * 1024]) {
        sent += 16 * 1024;
    }
    eventually_true("it is closed", || peer.is_closed());
    // A small frame that would inflate to much.
    let mut peer = Peer::connect(&cluster, &link);
    assert_eq!(peer.upgrade(CONFIG_PATH, ""), 101);
    let large = Hello {
        hostname: "n".repeat(1 << 20),
        ..hello(Uuid::new_v4())
    };
    let bomb = encode(&FromDataPlane::from(large), &Limits::default()).expect("encodes");
    assert!(bomb.len() < 16 * 1024);
    peer.send(&bomb);
    eventually_true("it is closed, too", || peer.is_closed());
    let closes = cluster.control_planes[0].events("session closes");
    assert!(
        closes.iter().any(|event| {
            let reason = event["reason"].as_str().unwrap_or_default();
            reason.contains("compressed, which is not accepted")
        }),
        "{closes:?}"
    );
    assert!(cluster.control_planes[0].events("panicked").is_empty());
}

#[test]
fn trial_17_a_closed_session_has_no_socket() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let open = || metric(&cluster, "process_open_fds ");
    let before = eventually("descriptors are counted", open);
    // They are turned away, and neither read what they are told nor close.
    let mut peers: Vec<_> = (0..20)
        .map(|_| {
            let mut peer = Peer::connect(&cluster, &link);
            assert_eq!(peer.upgrade(CONFIG_PATH, ""), 101);
            assert!(peer.send(b"nonsense"));
            peer
        })
        .collect();
    eventually("their sockets are gone", || {
        let now = open()?;
        match now < before + 5.0 {
            true => Ok(()),
            false => Err(format!("{now} descriptors, {before} before")),
        }
    });
    eventually_true("and they know", || peers.iter_mut().all(Peer::is_closed));
}

#[test]
fn trial_17_the_number_of_data_planes_is_capped() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.control_planes[0].set("cluster_max_data_planes", 1);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    let n = cluster.add_data_plane(&[]);
    cluster.wait_until_connected(n);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let mut peer = Peer::connect(&cluster, &link);
    assert_eq!(peer.upgrade(CONFIG_PATH, ""), 503);
    let refused = r#"langur_cluster_links_refused_total{link="configuration",reason="full"} "#;
    assert!(metric(&cluster, refused).expect("counted") >= 1.0);
    // When there is room again, there is.
    cluster.data_planes[n].stop(libc::SIGTERM);
    eventually("a place is free", || {
        let mut peer = Peer::connect(&cluster, &link);
        match peer.upgrade(CONFIG_PATH, "") {
            101 => Ok(()),
            other => Err(other.to_string()),
        }
    });
}

#[test]
fn trial_17_a_known_peer_is_bounded_too() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let mut peer = Peer::connect(&cluster, &link);
    assert_eq!(peer.upgrade(CONFIG_PATH, ""), 101);
    assert!(say(&mut peer, hello(Uuid::new_v4())));
    assert!(matches!(hear(&mut peer), FromControlPlane::Welcome(_)));
    assert!(peer.begin_frame(15 << 20));
    let mut sent = 0;
    while sent < 14 << 20 && peer.write(&[0; 16 * 1024]) {
        sent += 16 * 1024;
    }
    eventually_true("it is closed", || peer.is_closed());
}

#[test]
fn trial_18_a_silent_telemetry_link_is_closed() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let path = format!("{TELEMETRY_PATH}?node_id={}", Uuid::new_v4());
    let mut peers: Vec<_> = ["cluster_listen", "cluster_telemetry_listen"]
        .iter()
        .map(|setting| {
            let address = cluster.control_planes[0].setting(setting);
            let mut peer = Peer::connect(&cluster, address);
            assert_eq!(peer.upgrade(&path, ""), 101);
            peer
        })
        .collect();
    // A minute and a half: what decides is the control plane's clock, so it is waited for.
    eventually_true("both are closed", || peers.iter_mut().all(Peer::is_closed));
}
