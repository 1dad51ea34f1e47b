//! `router_flavor = expressions`: what a client of the Admin API sees, and what data planes do.

use crate::harness::{Cluster, Database, call, eventually, get, post};
use serde_json::{Value, json};

/// A cluster whose control plane takes expressions.
fn start(flavor: &str) -> Cluster {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    set_flavor(&mut cluster, flavor);
    let data_plane = cluster.add_data_plane(&[]);
    cluster.wait_until_connected(data_plane);
    cluster
}

fn set_flavor(cluster: &mut Cluster, flavor: &str) {
    cluster.control_planes[0].set("router_flavor", flavor);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
}

fn routes(cluster: &Cluster, body: &Value) -> crate::harness::Reply {
    post(&cluster.admin(0, "/services/any/routes"), body).expect("an answer")
}

fn patch(cluster: &Cluster, path: &str, body: &Value) -> Value {
    call("PATCH", &cluster.admin(0, path), &[], Some(body))
        .expect("an answer")
        .expect(200)
}

#[test]
fn the_admin_api_takes_expressions_where_the_flavor_says_so() {
    let mut cluster = start("expressions");
    cluster.add_route("any", "/any");
    let ask = |path: &str| get(&cluster.admin(0, path)).expect("an answer").expect(200);
    assert_eq!(ask("/")["configuration"]["router_flavor"], "expressions");
    let fields = ask("/schemas/routes")["fields"].to_string();
    assert!(fields.contains(r#"{"expression":"#), "{fields}");
    assert!(fields.contains(r#"{"priority":"#), "{fields}");

    let good = json!({"name": "e", "expression": "http.path ^= \"/e\" && http.method == \"GET\"", "priority": 7});
    let made = routes(&cluster, &good).expect(201);
    assert_eq!(
        (&made["expression"], &made["priority"], &made["paths"]),
        (&good["expression"], &json!(7), &Value::Null)
    );
    let wrong = json!({"name": "w", "expression": "http.path = \"/\""});
    let refused = routes(&cluster, &wrong).expect(400);
    let message = refused["message"].as_str().unwrap_or_default();
    let begins = "schema violation (Router Expression failed validation:  --> 1:11\n";
    assert!(message.starts_with(begins), "{message}");
    let stream = json!({"protocols": ["tcp"], "expression": "http.path == \"/\""});
    let refused = routes(&cluster, &stream).expect(400);
    assert_eq!(
        refused["fields"]["@entity"],
        json!(["Router Expression failed validation: Unknown LHS field"])
    );

    // With another flavor there is no such field, and the stored one is not shown.
    set_flavor(&mut cluster, "traditional_compatible");
    let refused = routes(&cluster, &good).expect(400);
    assert_eq!(refused["fields"]["expression"], "unknown field");
    let shown = get(&cluster.admin(0, "/routes/e"))
        .expect("an answer")
        .expect(200);
    assert_eq!(shown.get("expression"), None, "{shown}");
}

#[test]
fn a_data_plane_puts_no_route_with_an_expression_into_effect() {
    let cluster = start("expressions");
    cluster.add_route("any", "/any");
    cluster.wait_for_status(0, "/any", 200);
    // It is above all others, and would match everything without its expression.
    let made = routes(
        &cluster,
        &json!({"name": "e", "expression": "http.path ^= \"/e\""}),
    )
    .expect(201);
    cluster.add_route("later", "/later");
    cluster.wait_for_status(0, "/later", 200);
    cluster.wait_for_status(0, "/e", 404);
    cluster.wait_for_status(0, "/else", 404);
    let row = cluster.wait_until_in_sync(0, 0);
    let listed = row["quarantined"].as_array().cloned().unwrap_or_default();
    assert_eq!(listed.len(), 1, "{row}");
    assert_eq!(listed[0]["id"], made["id"]);
    let reason = "expression: this data plane runs no expressions";
    assert!(
        listed[0]["reason"]
            .as_str()
            .is_some_and(|why| why.contains(reason)),
        "{row}"
    );
    // Written with matchers it is a route as any other.
    patch(
        &cluster,
        "/routes/e",
        &json!({"expression": null, "paths": ["/e"]}),
    );
    cluster.wait_for_status(0, "/e", 200);
    eventually("nothing is quarantined", || {
        let row = cluster.row(0, 0)?;
        let nothing = row["quarantined"] == json!([]);
        nothing.then_some(()).ok_or(row.to_string())
    });
}
