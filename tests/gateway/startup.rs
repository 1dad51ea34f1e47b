//! Starting and stopping: errors name the setting, signals drain.

use crate::harness::{
    BINARY, Cluster, Database, Node, Upstream, eventually, free_address, get, post, unique_loopback,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

fn langur(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command.output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_that_cannot_work_says_which_setting() {
    let check = |environment: &[(&str, &str)], expected: &str| {
        let output = langur(&["start"], environment);
        assert!(!output.status.success());
        assert!(
            stderr(&output).contains(expected),
            "{expected}: {}",
            stderr(&output)
        );
    };
    check(
        &[
            ("LANGUR_ROLE", "data_plane"),
            ("LANGUR_PREFIX", "/nonexistent"),
        ],
        "cluster_cert, cluster_cert_key: cluster certificate and key must be provided to use Hybrid mode",
    );
    check(
        &[("LANGUR_ROLE", "control_plane"), ("LANGUR_DATABASE", "off")],
        "database: in-memory storage can not be used when role = \"control_plane\"",
    );
    check(
        &[("LANGUR_CLUSTER_MAX_PAYLOAD", "1")],
        "cluster_max_payload must be 4194304 (4MB) or greater",
    );
    check(&[("KONG_LOG_LEVEL", "shouting")], "log_level");
}

#[test]
fn trial_23_an_expired_cluster_certificate_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let mut params = rcgen::CertificateParams::new(["kong_clustering".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2018, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(path("cluster.crt"), certificate.pem()).expect("written");
    std::fs::write(path("cluster.key"), key.serialize_pem()).expect("written");
    let expected = "cluster_cert: the certificate expired on Fri, 01 Jan 2021 00:00:00 +0000";
    for (role, database) in [("control_plane", "sqlite"), ("data_plane", "off")] {
        let (prefix, cert, key) = (path(role), path("cluster.crt"), path("cluster.key"));
        let output = langur(
            &["start"],
            &[
                ("LANGUR_ROLE", role),
                ("LANGUR_DATABASE", database),
                ("LANGUR_PREFIX", &prefix),
                ("LANGUR_CLUSTER_CERT", &cert),
                ("LANGUR_CLUSTER_CERT_KEY", &key),
            ],
        );
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{role}: {text}");
        assert!(text.contains(expected), "{role}: {text}");
        assert_eq!(text.lines().count(), 1, "{role}: {text}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    for (key, node) in [("admin_listen", 0), ("cluster_listen", 0)] {
        let before = cluster.control_planes[node].setting(key).to_owned();
        cluster.control_planes[node].set(key, &address);
        cluster.control_planes[node].restart();
        gives_up(&mut cluster.control_planes[node], key, &address);
        cluster.control_planes[node].set(key, before);
    }
    let n = cluster.add_data_plane(&[("proxy_listen", &address)]);
    gives_up(&mut cluster.data_planes[n], "proxy_listen", &address);
}

/// The node ends and says that the address of this setting is taken.
fn gives_up(node: &mut Node, setting: &str, address: &str) {
    let code = node.ended();
    let log = node.log().join("\n");
    assert!(code.is_some_and(|code| code != 0), "{code:?} {log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.contains(setting) && log.contains(address), "{log}");
}

#[test]
fn sigterm_lets_a_request_finish() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    // An upstream that answers when told to.
    let slow = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", slow.local_addr().expect("an address"));
    let post = |path: &str, body: serde_json::Value| {
        crate::harness::post(&cluster.admin(0, path), &body)
            .expect("an answer")
            .expect(201);
    };
    post("/services", serde_json::json!({"name": "slow", "url": url}));
    post(
        "/services/slow/routes",
        serde_json::json!({"paths": ["/slow"]}),
    );
    cluster.wait_until_in_sync(0, 0);
    let proxy = cluster.data_planes[0]
        .setting("proxy_listen")
        .split(',')
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut client = TcpStream::connect(&proxy).expect("a connection");
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    slow.set_nonblocking(true).expect("is set");
    let (mut upstream, _) = eventually("the request goes upstream", || {
        slow.accept().map_err(|err| err.to_string())
    });
    upstream.set_nonblocking(false).expect("is set");
    cluster.data_planes[0].signal(libc::SIGTERM);
    eventually("the listener closes", || match TcpStream::connect(&proxy) {
        Err(_) => Ok(()),
        Ok(_) => Err("still accepting".into()),
    });
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .expect("answered");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .expect("the whole answer");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    assert_eq!(cluster.data_planes[0].stop(libc::SIGTERM), Some(0));
}

#[test]
fn both_planes_serve_in_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let ip = unique_loopback();
    let upstream = Upstream::start("echo");
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for key in ["proxy_listen", "admin_listen", "status_listen"] {
        settings.insert(key.into(), free_address(ip).to_string());
    }
    settings.insert("role".into(), "traditional".into());
    settings.insert(
        "prefix".into(),
        folder.path().to_string_lossy().into_owned(),
    );
    let mut node = Node::start(settings);
    let url = |node: &Node, key: &str, path: &str| format!("http://{}{path}", node.setting(key));
    let service = serde_json::json!({"name": "one", "url": format!("http://{}", upstream.address)});
    eventually("the service is made", || {
        let reply = post(&url(&node, "admin_listen", "/services"), &service)?;
        if reply.status == 201 {
            Ok(())
        } else {
            Err(reply.text)
        }
    });
    let route = serde_json::json!({"paths": ["/one"]});
    post(&url(&node, "admin_listen", "/services/one/routes"), &route)
        .expect("an answer")
        .expect(201);
    let serves = |node: &Node| {
        eventually("the route is served", || {
            let reply = get(&url(node, "proxy_listen", "/one"))?;
            if reply.status == 200 {
                Ok(())
            } else {
                Err(reply.text)
            }
        });
    };
    serves(&node);
    let status = get(&url(&node, "status_listen", "/status"))
        .expect("an answer")
        .expect(200);
    assert_eq!(status["database"]["reachable"], true, "{status}");
    // It has no fleet, and says so of itself.
    let own = node.run(&["status", "--json"]);
    assert_eq!(
        own.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&own.stderr)
    );
    assert_eq!(node.stop(libc::SIGTERM), Some(0));
    node.restart();
    serves(&node);
}
