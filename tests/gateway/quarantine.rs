//! A broken entity never takes the rest down.

use crate::harness::{Cluster, Database, delete, eventually, example, get, post};
use serde_json::json;

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
