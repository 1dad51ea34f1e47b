//! `langur status`: the fleet from a control plane, and a data plane by itself.

use crate::harness::{Cluster, Database, Node, eventually, post};
use serde_json::{Value, json};

/// The exit code, what was printed as JSON, and the complaint.
fn status(node: &Node, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = node.run(&[&["status", "--json", "--timeout", "60"], arguments].concat());
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), json, complaint)
}

#[test]
fn the_fleet_and_what_is_wrong_with_it() {
    let mut cluster = Cluster::start(Database::Sqlite, 2);
    cluster.add_route("any", "/any");
    for n in [0, 1] {
        cluster.wait_until_in_sync(0, n);
    }
    let (code, fleet, complaint) = status(&cluster.control_planes[0], &[]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{fleet}");
    assert_eq!(fleet["revision"], 2);
    let rows = fleet["data_planes"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{fleet}");
    for row in rows {
        assert_eq!(
            (&row["state"], &row["revision"]),
            (&json!("in sync"), &json!(2)),
            "{row}"
        );
        assert!(row["certificate_expiry"].is_i64(), "{row}");
    }
    // The same without settings, from anywhere that reaches the Admin API.
    let admin = cluster.control_planes[0].setting("admin_listen").to_owned();
    let (code, again, _) = status(&cluster.data_planes[0], &["--admin", &admin]);
    assert_eq!((code, &again["revision"]), (Some(0), &json!(2)));
    let table = cluster.control_planes[0].run(&["status"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.starts_with("revision 2\n\nNAME ") && table.contains("in sync"),
        "{table}"
    );

    // A data plane by itself.
    let (code, own, complaint) = status(&cluster.data_planes[0], &[]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{own}");
    assert_eq!(
        (&own["live"], &own["persisted"]),
        (&json!("1.2"), &json!("1.2"))
    );

    // A plugin that no data plane runs is quarantined; a data plane that is gone is missed.
    let plugin = json!({"name": "session"});
    post(&cluster.admin(0, "/routes/any/plugins"), &plugin)
        .expect("an answer")
        .expect(201);
    for n in [0, 1] {
        cluster.wait_until_in_sync(0, n);
    }
    cluster.data_planes[1].kill();
    eventually("the fleet is not well", || {
        let (code, fleet, complaint) = status(&cluster.control_planes[0], &[]);
        let expected =
            "1 of 2 data planes not in sync, 2 of 2 data planes with quarantined entities";
        match code == Some(1) && complaint.contains(expected) {
            true => Ok(()),
            false => Err(format!("{code:?} {complaint} {fleet}")),
        }
    });
    let (code, own, complaint) = status(&cluster.data_planes[0], &[]);
    assert_eq!(
        (code, own["quarantined"].as_array().map(Vec::len)),
        (Some(1), Some(1)),
        "{complaint}"
    );

    // Nobody answers.
    cluster.control_planes[0].kill();
    let (code, _, complaint) = status(&cluster.control_planes[0], &[]);
    assert_eq!(code, Some(69), "{complaint}");
    assert!(complaint.contains("admin_listen"), "{complaint}");
}
