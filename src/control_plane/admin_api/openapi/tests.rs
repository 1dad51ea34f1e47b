//! The description is whole, its references lead somewhere, and nothing in it is left open.

use super::document::{document, parameters};
use super::served::{methods, served_paths};
use crate::control_plane::admin_api::endpoint;
use crate::control_plane::admin_api::tests::support::{Admin, request};
use crate::model::Kind;
use crate::schema::{self, Env, PLUGINS, Role, RouterFlavor, SystemRandom, describe};
use serde_json::Value;
use std::collections::BTreeSet;

fn env() -> Env<'static> {
    env_of(Role::ControlPlane)
}

fn env_of(role: Role) -> Env<'static> {
    Env {
        now_ms: 0,
        random: &SystemRandom,
        role,
        router_flavor: RouterFlavor::default(),
        plugins: None,
    }
}

/// Calls `see` with every object of the document.
fn walk(value: &Value, path: &str, see: &mut dyn FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            see(path, map);
            for (key, inner) in map {
                walk(inner, &format!("{path}/{key}"), see);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                walk(inner, &format!("{path}/{at}"), see);
            }
        }
        _ => {}
    }
}

#[test]
fn every_path_and_method_is_described() {
    for hybrid in [true, false] {
        let document = document(&env(), hybrid);
        let described: BTreeSet<&String> = document["paths"]
            .as_object()
            .expect("paths")
            .keys()
            .collect();
        // Kong lists these, and answers 404 to them.
        let nothing_there = |path: &str| {
            path == "/targets"
                || path.starts_with("/targets/")
                || path == "/snis/{snis}/certificate"
        };
        let listed: Vec<String> = endpoint::all_paths(hybrid);
        let served = listed.iter().filter(|path| !nothing_there(path));
        assert_eq!(described, served.collect(), "hybrid {hybrid}");
        for (path, endpoint) in served_paths(hybrid) {
            for method in methods(&endpoint) {
                let operation = &document["paths"][&path][method.to_lowercase()];
                let responses = operation["responses"].as_object().expect("responses");
                assert!(!responses.is_empty(), "{method} {path}");
                assert!(!responses.contains_key("default"), "{method} {path}");
            }
            let named = document["paths"][&path]["parameters"].as_array();
            let named: Vec<_> = named
                .into_iter()
                .flatten()
                .map(|one| &one["name"])
                .collect();
            assert_eq!(named, parameters(&path).collect::<Vec<_>>(), "{path}");
        }
    }
}

#[test]
fn trial_04_how_an_entity_and_a_write_fare_is_described() {
    let document = document(&env(), true);
    let reading = &document["paths"]["/plugins/{plugins}"]["get"];
    let arguments = reading["parameters"].as_array().expect("arguments");
    assert!(
        arguments.iter().any(|it| it["name"] == "status"),
        "{reading}"
    );
    let shown = &document["components"]["schemas"]["services"]["properties"]["status"];
    assert_eq!(shown["$ref"], "#/components/schemas/entity-status");
    let writing = &document["paths"]["/services"]["post"];
    assert!(!writing.to_string().contains("\"status\""), "{writing}");
    let answer = writing["responses"]["201"]["$ref"]
        .as_str()
        .expect("a reference");
    let answer = document.pointer(&answer[1..]).expect("an answer");
    for header in [
        "Effective",
        "Pending",
        "Pending-Count",
        "Quarantined",
        "Quarantined-Count",
    ] {
        let header = format!("X-Langur-{header}");
        assert!(answer["headers"][&header].is_object(), "{header}: {answer}");
    }
}

#[test]
fn operations_have_ids_of_their_own() {
    let document = document(&env(), true);
    let mut seen = BTreeSet::new();
    walk(&document["paths"], "", &mut |path, object| {
        if let Some(Value::String(id)) = object.get("operationId") {
            assert!(seen.insert(id.clone()), "{id} at {path}");
        }
    });
    assert!(seen.len() > 500, "{}", seen.len());
}

#[test]
fn references_lead_somewhere_and_everything_is_used() {
    for role in [Role::ControlPlane, Role::Traditional, Role::DbLess] {
        let document = document(&env_of(role), role == Role::ControlPlane);
        let used = references(&document);
        if role != Role::ControlPlane {
            continue;
        }
        for part in ["schemas", "responses", "headers"] {
            for name in document["components"][part]
                .as_object()
                .expect("a part")
                .keys()
            {
                let pointer = format!("/components/{part}/{name}");
                assert!(used.contains(&pointer), "{pointer} is used by nobody");
            }
        }
    }
}

fn references(document: &Value) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    walk(document, "", &mut |path, object| {
        if let Some(Value::String(reference)) = object.get("$ref") {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{path}: {reference}");
            used.insert(pointer.to_owned());
        }
    });
    used
}

#[test]
fn no_object_is_open() {
    let document = document(&env_of(Role::DbLess), false);
    walk(
        &document["components"]["schemas"],
        "",
        &mut |path, object| {
            let is_object = match object.get("type") {
                Some(Value::String(kind)) => kind == "object",
                Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
                _ => false,
            };
            // A property may have the name `type`.
            if is_object && !path.ends_with("/properties") {
                let rest = object.get("additionalProperties");
                let is_closed = match rest {
                    Some(Value::Bool(open)) => !open,
                    Some(Value::Object(values)) => !values.is_empty(),
                    _ => false,
                };
                assert!(is_closed, "{path}: {rest:?}");
            }
        },
    );
}

#[test]
fn every_field_is_there() {
    let document = document(&env(), true);
    let schemas = &document["components"]["schemas"];
    for kind in Kind::ALL {
        let entity = schema::entity(kind.as_str()).expect("a schema");
        for suffix in ["", "-new", "-change"] {
            let name = format!("{kind}{suffix}");
            let members: Vec<&Value> = match kind {
                Kind::Plugins => PLUGINS
                    .iter()
                    .map(|plugin| &schemas[format!("{name}.{}", plugin.name)])
                    .collect(),
                Kind::Vaults => vec![&schemas[format!("{name}.env")]],
                _ => vec![&schemas[&name]],
            };
            for (member, field) in members
                .iter()
                .flat_map(|member| entity.fields().iter().map(move |field| (member, field)))
            {
                assert!(
                    member["properties"][&*field.name].is_object(),
                    "{name} {}",
                    field.name
                );
            }
        }
    }
    let service = &schemas["services-new"];
    assert!(service["properties"]["url"].is_object());
    assert!(service["required"].is_null(), "host comes from url, too");
    assert!(schemas["services"]["properties"]["url"].is_null());
    assert_eq!(service["properties"]["retries"]["maximum"], 32767);
    let limits = &schemas["plugins-new.rate-limiting"]["properties"]["config"]["properties"];
    assert_eq!(limits["policy"]["enum"][0], "local");
    assert_eq!(limits["redis_host"]["deprecated"], true);
}

#[test]
fn only_enabled_plugins_can_be_made_and_all_are_shown() {
    let enabled = BTreeSet::from(["key-auth".to_owned()]);
    let env = Env {
        plugins: Some(&enabled),
        ..env()
    };
    let document = document(&env, true);
    let members = |name: &str| {
        let list = document["components"]["schemas"][name]["oneOf"].as_array();
        list.expect("members").len()
    };
    assert_eq!(members("plugins-new"), 1);
    assert_eq!(members("plugins"), PLUGINS.len());
}

#[test]
fn what_kong_says_of_fields_is_described() {
    let document = document(&env(), true);
    let field = &document["components"]["schemas"]["field"]["properties"];
    let mut shown: Vec<Value> = schema::entities()
        .filter_map(|entity| describe::entity(&entity.name, RouterFlavor::default()))
        .collect();
    shown.extend(
        PLUGINS
            .iter()
            .filter_map(|p| describe::plugin(p.name, Role::ControlPlane)),
    );
    shown.extend(describe::vault("env"));
    for schema in &shown {
        walk(schema, "", &mut |path, object| {
            let is_field = object.get("type").is_some_and(Value::is_string);
            let is_value = path.contains("/default") || path.contains("/json_schema");
            for attribute in object.keys().filter(|_| is_field && !is_value) {
                assert!(!field[attribute].is_null(), "{path}: {attribute}");
            }
        });
    }
}

#[actix_rt::test]
async fn it_is_served_with_a_tag() {
    let admin = Admin::start().await;
    let seen = admin.get("/openapi.json").await;
    assert_eq!((seen.status, &seen.body["openapi"]), (200, &"3.1.0".into()));
    let tag = seen.header("etag").expect("a tag").to_owned();
    let again =
        request("GET", "/openapi.json").insert_header(("If-None-Match", format!("\"x\", W/{tag}")));
    let again = admin.send(again).await;
    assert_eq!((again.status, &again.body), (304, &Value::Null));
    assert_eq!(again.header("etag"), Some(&*tag));
    let other = request("GET", "/openapi.json").insert_header(("If-None-Match", "\"x\""));
    assert_eq!(admin.send(other).await.status, 200);
    assert_eq!(admin.ask("PUT", "/openapi.json", None).await.status, 405);
}

#[test]
fn without_a_database_only_config_is_written() {
    let document = document(&env_of(Role::DbLess), false);
    let statuses = |method: &str, path: &str| -> Vec<&String> {
        let responses = document["paths"][path][method]["responses"].as_object();
        responses.expect("responses").keys().collect()
    };
    assert!(!statuses("post", "/services").contains(&&"201".to_owned()));
    assert!(statuses("post", "/services").contains(&&"405".to_owned()));
    assert!(statuses("post", "/config").contains(&&"201".to_owned()));
    assert!(statuses("get", "/services").contains(&&"200".to_owned()));
    let rollback = statuses("post", "/revisions/{revision}/rollback");
    assert!(rollback.contains(&&"405".to_owned()), "{rollback:?}");
    assert!(!rollback.contains(&&"200".to_owned()), "{rollback:?}");
}
