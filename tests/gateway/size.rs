//! One change costs one change, however large the configuration is.

use crate::harness::{Cluster, Database, eventually, get, post};
use langur::control_plane::config_store::{
    DatabaseSettings, Document, SqliteSettings, Store, Write,
};
use langur::model::Kind;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

const ROUTES: usize = 10_000;

fn document(value: serde_json::Value) -> Document {
    value.as_object().cloned().expect("an object")
}

/// Ten thousand routes of one service, in one revision: an import, as far as the store knows.
async fn fill(path: &std::path::Path) {
    let settings = DatabaseSettings::Sqlite(SqliteSettings::new(path));
    let store = Store::connect(&settings, Duration::from_secs(5))
        .await
        .expect("a database");
    let service = Uuid::new_v4();
    let mut writes = vec![Write::Insert {
        kind: Kind::Services,
        document: document(json!({
            "id": service, "name": "many", "protocol": "http", "host": "127.0.0.1", "port": 9,
            "retries": 5, "connect_timeout": 60000, "read_timeout": 60000,
            "write_timeout": 60000, "enabled": true,
        })),
    }];
    writes.extend((0..ROUTES).map(|n| Write::Insert {
        kind: Kind::Routes,
        document: document(json!({
            "id": Uuid::new_v4(), "name": format!("r{n}"), "service": {"id": service},
            "protocols": ["http", "https"], "paths": [format!("/r{n}")],
            "hosts": [format!("h{}.test", n % 100)], "strip_path": true, "preserve_host": false,
            "https_redirect_status_code": 426, "regex_priority": 0, "path_handling": "v0",
            "request_buffering": true, "response_buffering": true,
        })),
    }));
    store.write(writes).await.expect("one revision");
    store.close().await;
}

#[test]
fn one_change_at_ten_thousand_routes_sends_less_than_four_kilobytes() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    cluster.control_planes[0].stop(libc::SIGTERM);
    let database = cluster.control_planes[0].prefix().join("langur.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(fill(&database));
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_in_sync(0, 0);

    let sent = || -> Result<u64, String> {
        let metrics = get(&cluster.admin(0, "/metrics"))?.text;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("langur_cluster_sent_bytes_total"));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.and_then(|value| value.parse().ok()).ok_or(metrics)
    };
    let before = eventually("the counter is there", sent);
    assert!(before > 100_000, "{before}: the whole was sent before");
    let route = json!({"name": "one-more", "paths": ["/one-more"]});
    post(&cluster.admin(0, "/services/many/routes"), &route)
        .expect("an answer")
        .expect(201);
    cluster.wait_until_in_sync(0, 0);
    let change = sent().expect("the counter") - before;
    assert!((1..4096).contains(&change), "{change} bytes for one change");
}
