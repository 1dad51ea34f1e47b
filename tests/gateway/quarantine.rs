//! A broken entity never takes the rest down.

use crate::harness::{
    Both, Cluster, Database, Reply, Upstream, call, delete, eventually, example, get, post,
};
use serde_json::{Value, json};

#[test]
fn a_plugin_that_a_data_plane_lacks_is_quarantined_with_its_dependants() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    // Built without request-termination.
    let poor = cluster.add_data_plane_of(&example("fewer_plugins"), &[]);
    cluster.wait_until_connected(poor);
    cluster.add_route("guarded", "/guarded");
    cluster.add_route("free", "/free");
    for n in 0..2 {
        cluster.wait_for_status(n, "/guarded", 200);
    }
    let plugin =
        json!({"name": "request-termination", "config": {"status_code": 418, "message": "no"}});
    let made = post(&cluster.admin(0, "/routes/guarded/plugins"), &plugin)
        .expect("an answer")
        .expect(201);
    // Where the plugin exists it is in effect.
    cluster.wait_for_status(0, "/guarded", 418);
    // Where it does not, the route keeps its previous version, everything else applies,
    cluster.add_route("later", "/later");
    cluster.wait_for_status(poor, "/later", 200);
    cluster.wait_for_status(poor, "/free", 200);
    assert_eq!(
        get(&cluster.proxy(poor, "/guarded"))
            .expect("an answer")
            .status,
        200
    );
    // and the reason is readable on the control plane.
    let row = cluster.wait_until_in_sync(0, poor);
    let listed = row["quarantined"].as_array().cloned().unwrap_or_default();
    let entry = listed
        .iter()
        .find(|entry| entry["id"] == made["id"])
        .unwrap_or_else(|| panic!("{row}"));
    assert_eq!(entry["entity"], "plugins");
    assert_eq!(
        entry["reason"],
        "plugin 'request-termination' is not part of this build"
    );
    assert!(entry["since"].is_number(), "{entry}");
    let healthy = cluster.wait_until_in_sync(0, 0);
    assert_eq!(healthy["quarantined"], json!([]));
    // A new route that the missing plugin protects is not put in effect unprotected.
    let service = json!({"name": "closed", "url": format!("http://{}", cluster.upstream.address)});
    post(&cluster.admin(0, "/services"), &service)
        .expect("an answer")
        .expect(201);
    post(&cluster.admin(0, "/services/closed/plugins"), &plugin)
        .expect("an answer")
        .expect(201);
    post(
        &cluster.admin(0, "/services/closed/routes"),
        &json!({"paths": ["/closed"]}),
    )
    .expect("an answer")
    .expect(201);
    cluster.wait_for_status(0, "/closed", 418);
    cluster.wait_until_in_sync(0, poor);
    cluster.wait_for_status(poor, "/closed", 503);

    // It survives a restart of the data plane, control plane gone,
    cluster.control_planes[0].kill();
    cluster.data_planes[poor].restart();
    cluster.wait_for_status(poor, "/guarded", 200);
    cluster.wait_for_status(poor, "/closed", 503);
    // and heals when the cause is gone.
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_connected(poor);
    let plugins = get(&cluster.admin(0, "/plugins"))
        .expect("an answer")
        .expect(200);
    for plugin in plugins["data"].as_array().into_iter().flatten() {
        let id = plugin["id"].as_str().expect("an id");
        delete(&cluster.admin(0, &format!("/plugins/{id}")))
            .expect("an answer")
            .expect(204);
    }
    cluster.wait_for_status(poor, "/closed", 200);
    eventually("nothing is quarantined any more", || {
        let row = cluster.wait_until_in_sync(0, poor);
        if row["quarantined"] == json!([]) {
            Ok(())
        } else {
            Err(row.to_string())
        }
    });
}

/// A node of both planes with routes /a and /b, and a plugin on /a that it cannot run.
fn trial(extra: &[(&str, &str)]) -> (Both, Upstream, Value) {
    let upstream = Upstream::start("echo");
    let extra = extra.iter();
    let extra = extra.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let both = Both::start_with(|_| extra.collect());
    let made = |path: &str, body: Value| {
        let reply = post(&both.admin(path), &body).expect("an answer");
        reply.expect(201)
    };
    made(
        "/services",
        json!({"name": "s", "url": format!("http://{}", upstream.address)}),
    );
    for name in ["a", "b"] {
        made(
            "/services/s/routes",
            json!({"name": name, "paths": [format!("/{name}")]}),
        );
    }
    both.settle();
    let broken = made("/routes/a/plugins", json!({"name": "jwt"}));
    both.settle();
    (both, upstream, broken)
}

#[test]
fn trial_01_a_deletion_takes_effect_at_once_also_after_a_restart() {
    let (mut both, _upstream, _) = trial(&[]);
    let guard = post(&both.admin("/plugins"), &json!({"name": "key-auth"}));
    let guard = guard.expect("an answer").expect(201);
    both.settle();
    assert_eq!(both.proxy("/b").0, 401);
    assert_eq!(
        both.proxy("/a").0,
        401,
        "a new guard for all is in effect for all"
    );
    let id = guard["id"].as_str().expect("an id");
    delete(&both.admin(&format!("/plugins/{id}")))
        .expect("an answer")
        .expect(204);
    both.settle();
    let check = |both: &Both| {
        assert_eq!(both.proxy("/b").0, 200);
        // Neither guard is there any more: open to nobody rather than to everybody.
        let (status, text) = both.proxy("/a");
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("This route is closed"), "{text}");
    };
    check(&both);
    both.node.kill();
    both.node.restart();
    eventually("it serves again", || {
        let reply = get(&both.url("proxy_listen", "/b"))?;
        (reply.status == 200).then_some(()).ok_or(reply.text)
    });
    check(&both);
}

#[test]
fn trial_03_a_node_that_serves_nothing_says_so_everywhere() {
    let upstream = Upstream::start("echo");
    let url = format!("http://{}", upstream.address);
    let route = json!({"name": "r", "paths": ["/r"]});
    let document = |plugin: Value| {
        json!({
            "_format_version": "3.0",
            "services": [{"name": "s", "url": url, "routes": [route]}],
            "plugins": [plugin],
        })
    };
    // Its secret is not there, and it only observes.
    let endpoint = "{vault://env/langur-has-no-such-variable}";
    let observer = json!({"name": "http-log", "config": {"http_endpoint": endpoint}});
    let mut both = Both::start_with(|folder| {
        let file = folder.join("kong.json");
        std::fs::write(&file, document(observer).to_string()).expect("a file");
        let file = file.to_string_lossy().into_owned();
        [
            ("database".to_owned(), "off".to_owned()),
            ("declarative_config".to_owned(), file),
        ]
        .into()
    });
    // What guards nothing takes nothing down.
    assert_eq!(both.proxy("/r").0, 200);
    let listed = get(&both.admin("/quarantine"))
        .expect("an answer")
        .expect(200);
    assert_eq!(
        (&listed["total"], &listed["data"][0]["name"]),
        (&json!(1), &json!("http-log"))
    );

    let file = both.node.setting("declarative_config").to_owned();
    std::fs::write(&file, document(json!({"name": "jwt"})).to_string()).expect("a file");
    let parsed = both.node.run(&["config", "parse", &file]);
    let said = String::from_utf8_lossy(&parsed.stderr).into_owned();
    assert!(parsed.status.success(), "{said}");
    for text in ["plugin 'jwt' is not part of this build", "routes r: closed"] {
        assert!(said.contains(text), "{said}");
    }
    both.node.kill();
    let _ = std::fs::remove_dir_all(both.node.prefix().join("dbless.lmdb"));
    both.node.restart();
    eventually("it answers", || get(&both.url("status_listen", "/status")));
    eventually("the route is closed", || {
        let reply = get(&both.url("proxy_listen", "/r"))?;
        (reply.status == 503).then_some(()).ok_or(reply.text)
    });
    let ready = get(&both.url("status_listen", "/status/ready")).expect("an answer");
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("no route is served"), "{}", ready.text);
    let health = both.node.run(&["health"]);
    assert!(!health.status.success());
    let said = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(said.contains("no route is served"), "{said}");
    for listen in ["admin_listen", "status_listen"] {
        let listed = get(&both.url(listen, "/quarantine"))
            .expect("an answer")
            .expect(200);
        let kinds: Vec<_> = listed["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| (&it["entity"], &it["in_effect"]))
            .collect();
        assert_eq!(
            kinds,
            [
                (&json!("routes"), &json!("closed")),
                (&json!("plugins"), &json!("nothing"))
            ],
            "{listed}"
        );
    }
}

#[test]
fn trial_04_a_guard_that_is_not_enforced_is_listed_in_every_role() {
    let (both, _upstream, broken) = trial(&[]);
    assert_eq!(
        both.proxy("/a").0,
        200,
        "served before, so it goes on as it was"
    );
    let id = broken["id"].as_str().expect("an id");
    let check = |url: String| {
        let listed = get(&url).expect("an answer").expect(200);
        assert_eq!(listed["total"], 1, "{listed}");
        let entry = &listed["data"][0];
        assert_eq!(
            (&entry["entity"], &entry["id"]),
            (&json!("plugins"), &json!(id))
        );
        assert_eq!(entry["reason"], "plugin 'jwt' is not part of this build");
        assert_eq!(entry["in_effect"], "nothing");
        assert!(
            entry["since"].is_number() && entry["node"]["hostname"].is_string(),
            "{entry}"
        );
    };
    check(both.admin("/quarantine"));
    check(both.url("status_listen", "/quarantine"));
    let page = get(&both.admin(&format!("/plugins/{id}?status=true")));
    let page = page.expect("an answer").expect(200);
    assert_eq!(page["status"]["in_effect"], false, "{page}");
    assert_eq!(page["status"]["quarantined"][0]["id"], json!(id));
    let page = get(&both.admin("/routes/b?status=true"))
        .expect("an answer")
        .expect(200);
    assert_eq!(
        page["status"],
        json!({"in_effect": true, "quarantined": []})
    );
    let page = get(&both.admin("/routes/b"))
        .expect("an answer")
        .expect(200);
    assert!(page.get("status").is_none());
    // Disabling it ends it.
    let off = json!({"enabled": false});
    both.patch(&format!("/plugins/{id}"), &off);
    // The list is told of it after it is in effect.
    eventually("nothing is quarantined", || {
        let listed = get(&both.admin("/quarantine"))?.expect(200);
        let empty = listed == json!({"total": 0, "data": []});
        empty.then_some(()).ok_or(listed.to_string())
    });

    // A control plane lists it for each of its data planes.
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("a", "/a");
    cluster.wait_for_status(0, "/a", 200);
    post(
        &cluster.admin(0, "/routes/a/plugins"),
        &json!({"name": "jwt"}),
    )
    .expect("an answer")
    .expect(201);
    let row = cluster.wait_until_in_sync(0, 0);
    let listed = eventually("the control plane lists it", || {
        let listed = get(&cluster.admin(0, "/quarantine"))?.json();
        (listed["total"] == 1)
            .then_some(listed.clone())
            .ok_or(listed.to_string())
    });
    assert_eq!(listed["data"][0]["node"]["id"], row["id"], "{listed}");
    assert_eq!(listed["data"][0]["name"], "jwt");
}

/// What an answer says of quarantine: whether it is in effect as written, and what is not.
fn said(reply: &Reply) -> (Option<&str>, Option<&str>) {
    let effective = reply.header("x-langur-effective");
    (effective, reply.header("x-langur-quarantined"))
}

#[test]
fn trial_04_the_answer_to_a_write_says_what_is_withheld() {
    // On a control plane, and on a node of both planes.
    let cluster = Cluster::start(Database::Sqlite, 2);
    cluster.add_route("a", "/a");
    let (both, _upstream, broken) = trial(&[]);
    let admin = |path: &str| [cluster.admin(0, path), both.admin(path)];
    let broken = format!("plugins/{}", broken["id"].as_str().expect("an id"));
    let waits = "?wait=effective&timeout=60";
    for (n, path) in ["", waits].into_iter().enumerate() {
        for (url, quarantine) in admin(&format!("/routes/a/plugins{path}"))
            .into_iter()
            .zip(admin("/quarantine"))
        {
            // Of the plugins that this build does not have.
            let name = ["hmac-auth", "basic-auth"][n];
            let made = post(&url, &json!({ "name": name })).expect("an answer");
            assert_eq!(made.status, 201, "{}", made.text);
            let id = made.json()["id"].as_str().expect("an id").to_owned();
            let named = format!("plugins/{id}");
            let (effective, quarantined) = said(&made);
            assert_eq!(effective, Some("false"), "{url}: {made:?}");
            let listed = quarantined.unwrap_or_default();
            assert!(listed.split(", ").any(|it| it == named), "{url}: {made:?}");
            assert!(!listed.contains(&broken), "it was there before: {made:?}");
            if path == waits {
                // Everybody has it, as far as it can be had, and the list says the same at once.
                assert_eq!(made.header("x-langur-pending"), None, "{made:?}");
                let list = get(&quarantine).expect("an answer").expect(200);
                let list = list["data"].as_array().cloned().unwrap_or_default();
                assert!(list.iter().any(|it| it["id"] == json!(id)), "{list:?}");
            }
        }
    }
    // What has nothing to do with it is in effect.
    for url in admin(&format!("/consumers/ann{waits}")) {
        let reply = call("PUT", &url, &[], Some(&json!({}))).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(said(&reply), (Some("true"), None), "{url}: {reply:?}");
    }
    // Deleting does not wait, and ends it.
    for (url, list) in admin("").into_iter().zip(admin("/quarantine")) {
        let listed = get(&list).expect("an answer").expect(200);
        for entry in listed["data"].as_array().into_iter().flatten() {
            if entry["entity"] == "plugins" {
                let id = entry["id"].as_str().expect("an id");
                let gone = delete(&format!("{url}/plugins/{id}{waits}")).expect("an answer");
                assert_eq!(gone.status, 204, "{}", gone.text);
                assert_eq!(said(&gone), (Some("true"), None), "{gone:?}");
            }
        }
        let listed = get(&list).expect("an answer").expect(200);
        assert_eq!(listed["total"], 0, "{listed}");
    }
}

#[test]
fn trial_04_with_close_a_guard_that_cannot_be_built_closes_what_was_served() {
    let (both, _upstream, broken) = trial(&[("quarantined_guards", "close")]);
    assert_eq!(both.proxy("/a").0, 503);
    assert_eq!(both.proxy("/b").0, 200);
    let id = broken["id"].as_str().expect("an id");
    delete(&both.admin(&format!("/plugins/{id}")))
        .expect("an answer")
        .expect(204);
    both.settle();
    assert_eq!(both.proxy("/a").0, 200);
}
