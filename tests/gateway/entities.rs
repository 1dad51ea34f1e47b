//! Entities that no plugin of this build uses: data planes hold them like any other.

use crate::harness::{Cluster, Database, delete, eventually, get, post};
use serde_json::{Value, json};

/// What the data plane's router says of itself.
fn router(cluster: &Cluster) -> Result<Value, String> {
    let page = get(&cluster.status_url(&cluster.data_planes[0], "/debug/actors"))?.json();
    let actors = page["actors"].as_array().cloned().unwrap_or_default();
    let router = actors.into_iter().find(|actor| actor["name"] == "Router");
    Ok(router.ok_or("no router")?["state"].clone())
}

/// Waits until the data plane holds so many; what its router says then.
fn wait_until_it_holds(cluster: &Cluster, entities: u64) -> Value {
    eventually("the data plane holds them", || {
        let state = router(cluster)?;
        match state["entities"].as_u64() == Some(entities) && state["quarantined"] == 0 {
            true => Ok(state),
            false => Err(state.to_string()),
        }
    })
}

#[test]
fn credentials_vaults_and_keys_reach_data_planes_and_sessions_do_not() {
    let mut cluster = Cluster::start(Database::fresh_postgres(), 1);
    let add = |path: &str, body: Value| {
        let url = cluster.admin(0, path);
        post(&url, &body).expect("an answer").expect(201)
    };
    add("/consumers", json!({"username": "alice"}));
    add("/key-sets", json!({"name": "set"}));
    for (path, body) in [
        (
            "/consumers/alice/basic-auth",
            json!({"username": "u", "password": "p"}),
        ),
        ("/consumers/alice/hmac-auth", json!({"username": "u"})),
        ("/consumers/alice/jwt", json!({"key": "k"})),
        ("/consumers/alice/acls", json!({"group": "g"})),
        (
            "/consumers/alice/oauth2",
            json!({"name": "app", "client_id": "i"}),
        ),
        ("/vaults", json!({"name": "env", "prefix": "my-env"})),
        ("/acme_storage", json!({"key": "k", "value": "v"})),
        // Kept for clients, not for the gateway.
        ("/sessions", json!({"session_id": "s"})),
    ] {
        add(path, body);
    }
    let row = cluster.wait_until_in_sync(0, 0);
    assert_eq!(row["quarantined"], json!([]));
    let state = wait_until_it_holds(&cluster, 9);
    assert_eq!(state["config_hash"], row["config_hash"]);

    // They are in its cache,
    cluster.control_planes[0].kill();
    cluster.data_planes[0].restart();
    wait_until_it_holds(&cluster, 9);
    // a difference is taken up from there, although it holds not all that was written,
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_connected(0);
    let url = cluster.admin(0, "/consumers/alice");
    delete(&url).expect("an answer").expect(204);
    wait_until_it_holds(&cluster, 3);
    // and what uses them is refused for as long as it is not there.
    cluster.add_route("guarded", "/guarded");
    cluster.wait_for_status(0, "/guarded", 200);
    let url = cluster.admin(0, "/routes/guarded/plugins");
    let made = post(&url, &json!({"name": "basic-auth"})).expect("an answer");
    let made = made.expect(201);
    let row = cluster.wait_until_in_sync(0, 0);
    let entry = &row["quarantined"][0];
    assert_eq!(entry["id"], made["id"], "{row}");
    let why = entry["reason"].as_str().unwrap_or_default();
    assert!(
        why.contains("'basic-auth' is not part of this build"),
        "{row}"
    );
}
