//! What http-log makes of its configuration; `tests/gateway/log_plugins.rs` has it deliver.

use super::*;
use crate::plugins::Resources;
use crate::plugins::runtime::testing::plugin;
use serde_json::{Value, json};

fn built(config: Value, resources: &Resources) -> Result<Arc<dyn Handler>, String> {
    let plugin = plugin("http-log", config);
    let build = Build {
        plugin: &plugin,
        resources,
    };
    super::build(&build).map_err(|error| error.to_string())
}

#[test]
fn what_cannot_be_sent_names_its_field() {
    let check = |config: Value, expected: &str| {
        let error = built(config, &Resources::default()).map(|_| ());
        assert_eq!(error, Err(format!("plugin 'http-log': config: {expected}")));
    };
    check(
        json!({"http_endpoint": "ftp://x/"}),
        "http_endpoint: the URL is neither http nor https",
    );
    // What a reference to a vault is resolved to where there is no such secret.
    check(
        json!({"http_endpoint": ""}),
        "http_endpoint: the URL has no scheme",
    );
    check(
        json!({"http_endpoint": "http://x/", "headers": {"X-A": "a\nb"}}),
        "headers.X-A: no value of a header",
    );
}

#[test]
fn equal_settings_share_a_queue_and_others_do_not() {
    let resources = Resources::default();
    let base = json!({"http_endpoint": "http://x/"});
    let with = |field: &str, value: Value| {
        let mut config = base.clone();
        config[field] = value;
        built(config, &resources).expect("builds")
    };
    let all = [
        with("method", json!("POST")),
        with("timeout", json!(10000)),
        with("custom_fields_by_lua", json!({"a": "return 1"})),
        with("method", json!("PUT")),
        with("headers", json!({"Authorization": "a"})),
        with("headers", json!({"Authorization": "b"})),
        with("queue", json!({"max_batch_size": 5})),
    ];
    assert_eq!((all.len(), resources.host.queues().len()), (7, 5));
}
