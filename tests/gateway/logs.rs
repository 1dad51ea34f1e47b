//! Logs of both planes: one request id through both, a level that changes at run time, and no
//! secret in any line.

use crate::harness::{
    Cluster, Database, Node, Reply, call, closed_address, eventually, free_address, get, post,
    unique_loopback,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;

/// The value of the response header by which the logs of both planes name a request.
fn request_id(reply: &Reply) -> String {
    reply
        .header("x-kong-admin-request-id")
        .expect("an id")
        .to_owned()
}

fn event(node: &Node, message: &str, id: &str) -> Value {
    eventually(&format!("{message} of {id} is logged"), || {
        let events = node.events(message);
        let found = events.iter().find(|event| event["request_id"] == id);
        found.cloned().ok_or(format!("{events:?}"))
    })
}

#[test]
fn one_request_id_through_both_planes() {
    let mut cluster = Cluster::without_data_planes(Database::fresh_postgres());
    // The data plane follows the other control plane: the id travels through the database too.
    let database = cluster.database.clone();
    cluster.add_control_plane(database);
    let other = cluster.control_planes[1]
        .setting("cluster_listen")
        .to_owned();
    let n = cluster.add_data_plane(&[("cluster_control_plane", &other)]);
    cluster.wait_until_connected(n);

    let url = format!("http://{}", closed_address());
    let service = json!({"name": "a", "url": url});
    let reply = post(&cluster.admin(0, "/services"), &service).expect("an answer");
    assert_eq!(reply.status, 201, "{}", reply.text);
    let id = request_id(&reply);
    assert_eq!(id.len(), 32, "{id}");
    let changed = event(&cluster.control_planes[0], "configuration changed", &id);
    let in_effect = event(
        &cluster.data_planes[n],
        "configuration change in effect",
        &id,
    );
    assert_eq!(changed["revision"], in_effect["revision"]);
    assert_eq!(
        changed["revision"].to_string(),
        reply.header("x-langur-revision").unwrap_or_default()
    );
    assert_eq!(changed["changed"], 1, "{changed}");

    // A request that changed nothing has an id of its own and is no cause of anything.
    let refused = post(&cluster.admin(0, "/services"), &service).expect("an answer");
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_ne!(request_id(&refused), id);

    // What goes wrong in proxying is logged by the id that the client was told.
    let route = json!({"paths": ["/a"]});
    post(&cluster.admin(1, "/services/a/routes"), &route)
        .expect("an answer")
        .expect(201);
    cluster.wait_for_status(n, "/a", 502);
    let failed = get(&cluster.proxy(n, "/a")).expect("an answer");
    let told = failed
        .header("x-kong-request-id")
        .expect("an id")
        .to_owned();
    let logged = event(&cluster.data_planes[n], "no upstream answered", &told);
    assert_eq!(logged["level"], "ERROR", "{logged}");
    assert_eq!(
        (&logged["service"], &logged["status"]),
        (&json!("a"), &json!(502))
    );
}

#[test]
fn the_level_of_every_control_plane_is_changed_by_one_of_them() {
    let mut cluster = Cluster::without_data_planes(Database::fresh_postgres());
    let database = cluster.database.clone();
    cluster.add_control_plane(database);
    let level = |n: usize| -> Result<String, String> {
        let reply = get(&cluster.admin(n, "/debug/node/log-level"))?;
        Ok(reply.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    };
    let put = |n: usize, path: &str| {
        call("PUT", &cluster.admin(n, path), &[], None)
            .expect("an answer")
            .expect(200)
    };
    let both_are = |wanted: &str| {
        for n in [0, 1] {
            eventually(
                &format!("control plane {n} logs {wanted}"),
                || match level(n)? {
                    found if found == format!("log level: {wanted}") => Ok(()),
                    other => Err(other),
                },
            );
        }
    };
    // Notices are only heard by those that listen.
    for node in &cluster.control_planes {
        eventually("a control plane listens", || {
            let log = node.events("listening for changes of other control planes");
            if log.is_empty() {
                Err("not yet".into())
            } else {
                Ok(())
            }
        });
    }
    let everywhere = "/debug/cluster/control-planes-nodes/log-level";
    put(0, &format!("{everywhere}/error?timeout=0"));
    both_are("error");
    put(1, &format!("{everywhere}/warn?timeout=1"));
    // For a second; then what the settings say counts again.
    both_are("debug");
    put(0, "/debug/node/log-level/warn?timeout=0");
    assert_eq!(level(0), Ok("log level: warn".into()));
    assert_eq!(level(1), Ok("log level: debug".into()));
}

#[test]
fn sighup_reads_the_level_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let conf = folder.path().join("langur.conf");
    let write = |text: &str| std::fs::write(&conf, text).expect("written");
    write("log_level = debug\n");
    let ip = unique_loopback();
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for key in ["proxy_listen", "admin_listen", "status_listen"] {
        settings.insert(key.into(), free_address(ip).to_string());
    }
    settings.insert("prefix".into(), folder.path().to_string_lossy().into());
    let node = Node::start_with(settings, &["-c", conf.to_str().expect("text")]);
    let url = format!(
        "http://{}/debug/node/log-level",
        node.setting("admin_listen")
    );
    let level_is = |wanted: &str| {
        eventually(&format!("the level is {wanted}"), || {
            let found = get(&url)?.json()["message"].clone();
            match found == json!(format!("log level: {wanted}")) {
                true => Ok(()),
                false => Err(found.to_string()),
            }
        });
    };
    level_is("debug");
    write("log_level = info\nmem_cache_size = 1m\n");
    node.signal(libc::SIGHUP);
    level_is("info");
    eventually("what needs a restart is named", || {
        let events = node.events("these changed settings count after a restart");
        match events.first() {
            Some(event) if event["settings"] == "mem_cache_size" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    write("log_level = loud\n");
    node.signal(libc::SIGHUP);
    eventually("settings that are wrong change nothing", || {
        let events = node.events("the settings cannot be read again");
        if events.is_empty() {
            Err("not yet".into())
        } else {
            Ok(())
        }
    });
    level_is("info");
}

#[test]
fn no_secret_is_ever_logged() {
    const PASSWORD: &str = "hunter2-pg-password";
    const CREDENTIAL: &str = "key-of-ann-3141592653";
    const BEARER: &str = "bearer-token-2718281828";
    const HEADER: &str = "unknown-apikey-1618033988";
    const QUERY: &str = "query-apikey-1414213562";
    const CONFIG: &str = "plugin-secret-1732050807";
    const DEBUG_TOKEN: &str = "debug-token-2236067977";
    let mut cluster = Cluster::without_data_planes(Database::fresh_postgres());
    cluster.control_planes[0].set("pg_password", PASSWORD);
    cluster.control_planes[0].set("request_debug_token", DEBUG_TOKEN);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    let n = cluster.add_data_plane(&[]);
    cluster.wait_until_connected(n);
    let admin = |method: &str, path: &str, body: Value| {
        call(
            method,
            &cluster.admin(0, path),
            &[("authorization", BEARER)],
            Some(&body),
        )
        .expect("an answer")
    };

    // A certificate with its key, and one whose key is not its own.
    let read = |name: &str| std::fs::read_to_string(cluster.path(name)).expect("a file");
    let (certificate, key) = (read("cluster.crt"), read("cluster.key"));
    let made = admin(
        "POST",
        "/certificates",
        json!({"cert": certificate, "key": key}),
    );
    assert_eq!(made.status, 201, "{}", made.text);
    let broken = key.replace("-----BEGIN", "-----BEGUN");
    assert_eq!(
        admin(
            "POST",
            "/certificates",
            json!({"cert": certificate, "key": broken})
        )
        .status,
        400
    );

    // A route with a key; everything about credentials goes wrong once.
    cluster.add_route("echo", "/echo");
    admin(
        "POST",
        "/services/echo/plugins",
        json!({"name": "key-auth"}),
    )
    .expect(201);
    let unused = json!({"name": "unused", "url": "http://127.0.0.1:9"});
    admin("POST", "/services", unused).expect(201);
    let session = json!({"name": "session", "config": {"secret": CONFIG}});
    admin("POST", "/services/unused/plugins", session).expect(201);
    for username in ["ann", "bob"] {
        admin("POST", "/consumers", json!({"username": username})).expect(201);
    }
    let credential = json!({"key": CREDENTIAL});
    admin("POST", "/consumers/ann/key-auth", credential.clone()).expect(201);
    assert_eq!(
        admin("POST", "/consumers/bob/key-auth", credential.clone()).status,
        409
    );
    assert_eq!(
        admin("GET", &format!("/key-auths/{CREDENTIAL}"), json!({})).status,
        200
    );
    let odd = json!({"key": CREDENTIAL, "ttl": CREDENTIAL});
    assert_eq!(admin("POST", "/consumers/bob/key-auth", odd).status, 400);
    cluster.wait_for_status(n, "/echo", 401);
    let proxied = |path: &str, headers: &[(&str, &str)]| {
        let reply = call("GET", &cluster.proxy(n, path), headers, None).expect("an answer");
        reply.status
    };
    eventually("the key opens", || {
        match proxied("/echo", &[("apikey", CREDENTIAL)]) {
            200 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    assert_eq!(
        proxied("/echo", &[("apikey", HEADER), ("authorization", BEARER)]),
        401
    );
    assert_eq!(proxied(&format!("/echo?apikey={QUERY}"), &[]), 401);

    // An upstream that is gone, and one that breaks off.
    let gone = json!({"name": "gone", "url": format!("http://{}", closed_address())});
    admin("POST", "/services", gone).expect(201);
    admin("POST", "/services/gone/routes", json!({"paths": ["/gone"]})).expect(201);
    cluster.wait_for_status(n, "/gone", 502);
    let headers = [
        ("apikey", CREDENTIAL),
        ("authorization", BEARER),
        ("cookie", BEARER),
    ];
    assert_eq!(proxied(&format!("/gone?apikey={QUERY}"), &headers), 502);

    // A database that refuses what nobody expects to be refused.
    let Database::Postgres(database) = &cluster.database else {
        panic!("this story is about PostgreSQL");
    };
    database
        .sql("ALTER TABLE keyauth_credentials ADD CONSTRAINT odd CHECK (key NOT LIKE 'other%')");
    let other = json!({"key": format!("other-{CREDENTIAL}")});
    assert_eq!(admin("POST", "/consumers/bob/key-auth", other).status, 500);
    database.sql("DROP TABLE keyauth_credentials CASCADE");
    assert_eq!(
        admin("POST", "/consumers/bob/key-auth", credential).status,
        500
    );
    eventually("the failure is logged by the request's id", || {
        let events = cluster.control_planes[0].events("the store failed");
        let named = |event: &Value| event["span"]["request_id"].is_string();
        match events.iter().filter(|event| named(event)).count() {
            2 => Ok(()),
            other => Err(format!("{other} of {events:?}")),
        }
    });

    // A start that fails: the port is taken, and the key of the cluster stands in the settings.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address").to_string();
    let failing = cluster.add_data_plane(&[("cluster_cert_key", &key), ("proxy_listen", &listen)]);
    assert_ne!(cluster.data_planes[failing].ended(), Some(0));

    let key_lines = key
        .lines()
        .filter(|line| !line.starts_with("-----") && line.len() > 20);
    let mut secrets: Vec<&str> = key_lines.collect();
    assert!(!secrets.is_empty());
    secrets.extend([
        PASSWORD,
        CREDENTIAL,
        BEARER,
        HEADER,
        QUERY,
        CONFIG,
        DEBUG_TOKEN,
    ]);
    let nodes = cluster.control_planes.iter().chain(&cluster.data_planes);
    for node in nodes {
        let log = node.log();
        assert!(!log.is_empty(), "nothing was logged at all");
        for line in log {
            let found = secrets.iter().find(|secret| line.contains(**secret));
            assert_eq!(
                found,
                None,
                "in the log of a {}: {line}",
                node.setting("role")
            );
        }
    }
}
