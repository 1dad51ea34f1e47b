//! The rules of single plugins and their aliases.

use super::vectors::{env, object};
use super::{PLUGINS, Role, describe, entity};
use serde_json::{Value, json};

/// The stored `config`, or the fields of the violations.
fn configured(plugin: &str, config: &Value) -> Result<Value, Value> {
    let plugins = entity("plugins").expect("plugins");
    let input = object(&json!({"name": plugin, "config": config}));
    match plugins.insert(input, &env()) {
        Ok(row) => Ok(row["config"].clone()),
        Err(violations) => Err(Value::Object(violations.fields)),
    }
}

/// Whatever data planes can run: each of them is described, checked and filled with defaults, and
/// what was filled in is accepted as it is, nulls included.
#[test]
fn every_bundled_plugin_is_validated_and_described() {
    for plugin in &PLUGINS {
        let name = plugin.name;
        let described = describe::plugin(name, Role::ControlPlane).expect("a schema");
        assert!(described["fields"].is_array(), "{name}");
        let config = describe::plugin_config(name, Role::ControlPlane).expect("a schema");
        assert!(config["fields"].is_array(), "{name}");
        let unknown = configured(name, &json!({"no_such_field": 1}));
        let unknown = unknown.expect_err("is refused");
        assert_eq!(
            unknown["config"]["no_such_field"], "unknown field",
            "{name}"
        );
        match configured(name, &json!({})) {
            Ok(filled) => assert_eq!(configured(name, &filled), Ok(filled.clone()), "{name}"),
            // What has no default is asked for, and nothing else is wrong.
            Err(fields) => assert!(
                ["required field missing", "at least one of", "must set"]
                    .iter()
                    .any(|text| fields.to_string().contains(text)),
                "{name}: {fields}"
            ),
        }
    }
}

#[test]
fn rules_of_a_whole_config() {
    let check = |plugin: &str, config: Value, expected: Option<&str>| {
        let found = configured(plugin, &config)
            .err()
            .map(|fields| fields["config"].clone());
        assert_eq!(found, expected.map(Value::from), "{plugin} {config}");
    };
    check("rate-limiting", json!({"hour": 10, "day": 10}), None);
    check(
        "rate-limiting",
        json!({"second": 3, "hour": 2}),
        Some("The limit for hour(2.0) cannot be lower than the limit for second(3.0)"),
    );
    check(
        "rate-limiting",
        json!({"hour": 1, "sync_rate": 1}),
        Some("sync_rate can only be used with the redis policy"),
    );
    let redis = |sync_rate: f64| json!({"hour": 1, "policy": "redis", "redis": {"host": "r"}, "sync_rate": sync_rate});
    check("rate-limiting", redis(0.5), None);
    check(
        "rate-limiting",
        redis(0.001),
        Some("sync_rate must be greater than 0.02, or -1 to disable"),
    );
    check(
        "request-termination",
        json!({"body": "b", "content_type": "text/plain"}),
        None,
    );
    check(
        "request-termination",
        json!({"content_type": "text/plain"}),
        Some("content_type requires a body"),
    );
    check(
        "request-termination",
        json!({"body": "b", "echo": true}),
        Some("echo cannot be used with content_type and body"),
    );
}

#[test]
fn rules_of_single_fields() {
    let check = |plugin: &str, config: Value, pointer: &str, expected: Option<Value>| {
        let found = configured(plugin, &config).err();
        let found = found.and_then(|fields| fields["config"].pointer(pointer).cloned());
        assert_eq!(found, expected, "{plugin} {config}");
    };
    let headers = |item: &str| json!({"add": {"headers": [item]}});
    check("request-transformer", headers("a:b"), "/add/headers", None);
    check(
        "request-transformer",
        headers("a b:c"),
        "/add/headers",
        Some(json!(["'a b' is not a valid header"])),
    );
    check("request-transformer", headers("a:"), "/add/headers", None);
    check(
        "request-transformer",
        json!({"rename": {"headers": ["a:b c"]}}),
        "/rename/headers",
        Some(json!(["'b c' is not a valid header"])),
    );
    let tags = |second: &str| {
        json!({"http_endpoint": "http://z.test", "propagation": {"default_format": "b3"},
            "static_tags": [{"name": "a", "value": "1"}, {"name": second, "value": "2"}]})
    };
    check("zipkin", tags("b"), "/static_tags", None);
    check(
        "zipkin",
        tags("a"),
        "/static_tags",
        Some(json!("repeated tags are not allowed: a")),
    );
    check(
        "bot-detection",
        json!({"allow": ["("]}),
        "/allow",
        Some(json!(["not a valid regex: ("])),
    );
}

#[test]
fn rules_between_fields_that_are_code() {
    let check = |plugin: &str, config: Value, expected: Option<&str>| {
        let found = configured(plugin, &config)
            .err()
            .map(|fields| fields["@entity"].clone());
        assert_eq!(
            found,
            expected.map(|text| json!([text])),
            "{plugin} {config}"
        );
    };
    let lambda = |proxy: &str| json!({"function_name": "f", "proxy_url": proxy});
    check("aws-lambda", lambda("http://p.test:80"), None);
    check(
        "aws-lambda",
        lambda("https://p.test"),
        Some("proxy_url scheme must be http"),
    );
    let acme = |storage: &str| json!({"account_email": "a@b.test", "tos_accepted": true, "storage": storage});
    check("acme", acme("kong"), None);
    check(
        "acme",
        acme("shm"),
        Some("\"shm\" storage can't be used in Hybrid mode"),
    );
    let cache = |name: &str| json!({"strategy": "memory", "memory": {"dictionary_name": name}});
    check("proxy-cache", cache("kong_db_cache"), None);
    check(
        "proxy-cache",
        cache("nope"),
        Some("missing shared dict 'nope'"),
    );
    let model = |statistics: bool| {
        json!({"route_type": "llm/v1/completions",
            "auth": {"header_name": "a", "header_value": "b"},
            "logging": {"log_statistics": statistics},
            "model": {"provider": "anthropic", "name": "m", "options": {"anthropic_version": "1"}}})
    };
    check("ai-proxy", model(false), None);
    let found = configured("ai-proxy", &model(true)).expect_err("refused");
    assert_eq!(
        found["config"]["@entity"],
        json!(["anthropic does not support statistics when route_type is llm/v1/completions"])
    );
}

#[test]
fn aliases() {
    let check = |plugin: &str, config: Value, field: &str, expected: Value| {
        let config = configured(plugin, &config).expect("valid");
        assert_eq!(config[field], expected, "{plugin} {field}");
    };
    check(
        "session",
        json!({"cookie_samesite": "off"}),
        "cookie_same_site",
        json!("Lax"),
    );
    check(
        "session",
        json!({"cookie_lifetime": 5}),
        "rolling_timeout",
        json!(5),
    );
    check(
        "session",
        json!({"cookie_idletime": null}),
        "idling_timeout",
        json!(0),
    );
    check(
        "session",
        json!({"cookie_renew": 5}),
        "cookie_renew",
        Value::Null,
    );
    check(
        "session",
        json!({}),
        "secret",
        json!("RANDOMSTRINGRANDOMSTRINGRANDOM00"),
    );
    check(
        "opentelemetry",
        json!({"endpoint": "http://t.test"}),
        "traces_endpoint",
        json!("http://t.test"),
    );
    let wrong = configured("session", &json!({"cookie_lifetime": "x"})).expect_err("refused");
    assert_eq!(wrong, json!({"cookie_lifetime": "expected a number"}));
    // An alias is never stored, and a null one does not undo its successor.
    let redis = json!({"minute": 1, "redis_host": null, "redis": {"host": "r.test"}});
    let stored = configured("rate-limiting", &redis).expect("valid");
    assert_eq!(stored["redis"]["host"], "r.test");
    assert!(stored.get("redis_host").is_none());
}

#[test]
fn beside_12_items_of_request_transformer_need_a_value() {
    let check = |config: Value, pointer: &str, expected: Option<Value>| {
        let found = configured("request-transformer", &config).err();
        let found = found.and_then(|fields| fields["config"].pointer(pointer).cloned());
        assert_eq!(found, expected, "{config}");
    };
    let no_value = || Some(json!(["key 'x' has no value"]));
    for operation in ["add", "append", "replace", "rename"] {
        for list in ["querystring", "body"] {
            let pointer = format!("/{operation}/{list}");
            check(json!({operation: {list: ["x"]}}), &pointer, no_value());
            check(json!({operation: {list: ["x:"]}}), &pointer, no_value());
            check(json!({operation: {list: ["x:y"]}}), &pointer, None);
        }
    }
    check(json!({"remove": {"querystring": ["x"]}}), "", None);
    check(
        json!({"remove": {"headers": ["http://h.test/x"]}}),
        "",
        None,
    );
    check(json!({"add": {"headers": ["X-E:"]}}), "", None);
}

#[test]
fn beside_13_vault_references_where_a_validator_looks() {
    let accepted = |plugin: &str, config: Value| {
        assert_eq!(configured(plugin, &config).err(), None, "{plugin} {config}");
    };
    accepted("cors", json!({"origins": ["{vault://env/x}"]}));
    accepted("bot-detection", json!({"allow": ["{vault://env/x}"]}));
    accepted(
        "bot-detection",
        json!({"deny": ["{vault://env/x}", "^(?!bot)"]}),
    );
    accepted("http-log", json!({"http_endpoint": "{vault://env/x}"}));
    accepted(
        "opentelemetry",
        json!({"traces_endpoint": "{vault://env/x}"}),
    );
    accepted("datadog", json!({"host": "{vault://env/x}"}));
    let model = |gemini: Value| {
        json!({"route_type": "llm/v1/chat", "auth": {"allow_override": false},
            "model": {"provider": "gemini", "name": "m", "options": {"gemini": gemini}}})
    };
    let all = json!({"location_id": "l", "api_endpoint": "a", "project_id": "p"});
    accepted("ai-proxy", model(all));
    // A field that takes no reference is looked at whatever it holds.
    for location in ["l", "{vault://env/x}"] {
        let found = configured("ai-proxy", &model(json!({"location_id": location})));
        assert_eq!(
            found.expect_err("refused")["config"],
            json!({"model": {"options": {"gemini": {"@entity": [
                "all or none of these fields must be set: 'api_endpoint', 'project_id', 'location_id'"
            ]}}}})
        );
    }
    // Of one that does, nothing is known.
    let key = |key: &str| json!({"function_name": "f", "aws_key": key});
    accepted("aws-lambda", key("{vault://env/x}"));
    let found = configured("aws-lambda", &key("k"));
    assert_eq!(
        found.expect_err("refused")["@entity"],
        json!(["all or none of these fields must be set: 'config.aws_key', 'config.aws_secret'"])
    );
}

#[test]
fn beside_14_small_texts() {
    let check = |plugin: &str, config: Value, expected: Value| {
        let found = configured(plugin, &config).expect_err("refused");
        assert_eq!(found["config"], expected, "{plugin} {config}");
    };
    check(
        "response-ratelimiting",
        json!({"limits": {"video": {"minute": 5, "hour": 1}}}),
        json!({"limits": "the limit for hour(1.0) cannot be lower than the limit for minute(5.0)"}),
    );
    check(
        "rate-limiting",
        json!({"second": 3, "minute": 5, "hour": 2}),
        json!("The limit for hour(2.0) cannot be lower than the limit for second(3.0)"),
    );
    check(
        "acme",
        json!({"account_email": "a@b.test", "tos_accepted": true, "storage": "kong",
            "storage_config": {"shm": {"shm_name": "nope"}}}),
        json!({"storage_config": {"shm": {"shm_name": "failed validating: nope"}}}),
    );
    check(
        "datadog",
        json!({"metrics": [{"name": "request_count"}]}),
        json!({"metrics": [{"stat_type": "field required for entity check"}]}),
    );
    check(
        "http-log",
        json!({"http_endpoint": "http://h.test", "queue": {"initial_retry_delay": 0}}),
        json!({"queue": {"initial_retry_delay": "value should be between 0 and 1000000"}}),
    );
}

#[test]
fn beside_15_lua_has_to_be_lua() {
    let check = |plugin: &str, config: Value, expected: Option<Value>| {
        let found = configured(plugin, &config).err();
        let found = found.map(|fields| fields["config"].clone());
        assert_eq!(found, expected, "{plugin} {config}");
    };
    check("pre-function", json!({"access": ["kong.log('a')"]}), None);
    check(
        "pre-function",
        json!({"access": ["return 1", "this is not lua"]}),
        Some(json!({"access": [
            null,
            "error parsing pre-function: [string \"this is not lua\"]:1: '=' expected near 'is'"
        ]})),
    );
    check(
        "post-function",
        json!({"log": ["\u{1b}LJ\u{2}"]}),
        Some(json!({"log": [
            "error parsing post-function: (binary): cannot load incompatible bytecode"
        ]})),
    );
    let log =
        |code: &str| json!({"http_endpoint": "http://h.test", "custom_fields_by_lua": {"x": code}});
    check("http-log", log("return kong.request.get_path()"), None);
    check("http-log", log("return"), None);
    check(
        "http-log",
        log("return x y"),
        Some(json!({"custom_fields_by_lua":
            "Error parsing function: [string \"return x y\"]:1: '<eof>' expected near 'y'"})),
    );
}
