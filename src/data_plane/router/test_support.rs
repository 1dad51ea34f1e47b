//! Builders of configurations for the tests of this module.

use super::*;
use crate::model::{Change, Config, Kind, Op, Plugin, Row};
use crate::plugins::{Built, Handler, Phases};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use uuid::Uuid;

/// Knows every plugin but `unknown`, refuses a configuration with `bad` and panics at one with
/// `panic`. `log` guards nothing.
pub struct TestFactory;

struct Nothing;

impl Handler for Nothing {}

impl PluginFactory for TestFactory {
    fn build(&self, plugin: &Plugin) -> Result<Built, String> {
        if plugin.name == "unknown" {
            return Err("name: no plugin unknown in this build".into());
        }
        assert!(!plugin.config.contains_key("panic"), "no such luck");
        match plugin.config.contains_key("bad") {
            true => Err("config.bad: is bad".into()),
            false => Ok(Built {
                handler: Arc::new(Nothing),
                priority: 1,
                phases: Phases::ACCESS,
            }),
        }
    }

    fn guards(&self, name: &str) -> bool {
        name != "log"
    }
}

pub fn state() -> RouterState {
    RouterState::new(Arc::new(TestFactory), Options::default())
}

/// A state with `quarantined_guards = close`.
pub fn closing_state() -> RouterState {
    let options = Options {
        close_unguarded: true,
        ..Options::default()
    };
    RouterState::new(Arc::new(TestFactory), options)
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn put(kind: Kind, n: u128, defaults: Value, fields: Value) -> Op {
    let mut entity = defaults;
    let (Some(object), Value::Object(fields)) = (entity.as_object_mut(), fields) else {
        panic!("entities are objects");
    };
    object.insert("id".into(), json!(id(n)));
    object.extend(fields);
    Op::Put {
        kind,
        id: id(n),
        row: Row::from_json(object),
    }
}

pub fn service(n: u128, fields: Value) -> Op {
    let defaults = json!({
        "protocol": "http", "host": "svc.test", "port": 80, "retries": 5, "connect_timeout": 60000,
        "write_timeout": 60000, "read_timeout": 60000, "enabled": true,
    });
    put(Kind::Services, n, defaults, fields)
}

pub fn route(n: u128, fields: Value) -> Op {
    let defaults = json!({
        "protocols": ["http", "https"], "https_redirect_status_code": 426, "regex_priority": 0,
        "strip_path": true, "preserve_host": false, "request_buffering": true,
        "response_buffering": true,
    });
    put(Kind::Routes, n, defaults, fields)
}

pub fn plugin(n: u128, fields: Value) -> Op {
    let defaults = json!({
        "name": "guard", "config": {}, "protocols": ["grpc", "grpcs", "http", "https"], "enabled": true,
    });
    put(Kind::Plugins, n, defaults, fields)
}

pub fn other(kind: Kind, n: u128, fields: Value) -> Op {
    put(kind, n, json!({}), fields)
}

pub fn delete(kind: Kind, n: u128) -> Op {
    Op::Delete { kind, id: id(n) }
}

pub fn to(n: u128) -> Value {
    json!({ "id": id(n) })
}

/// The change that commits these ops on top of a configuration.
pub fn change(config: &Config, ops: Vec<Op>) -> Change {
    let mut config = config.clone();
    config.commit(config.revision().next(), ops)
}

pub fn apply(state: &mut RouterState, ops: Vec<Op>) -> Outcome {
    let change = change(state.config(), ops);
    let now = change.revision.0 as f64;
    state.apply(&change, now).expect("the change applies")
}

/// A plain GET of a path at a host.
pub fn get<'a>(host: &'a str, path: &'a str, headers: &'a dyn HeaderLookup) -> Facts<'a> {
    Facts {
        method: "GET",
        host,
        path,
        https: false,
        sni: None,
        headers,
        src: (IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        dst_port: 8000,
    }
}

/// The route that serves a plain GET, as the number its id was made of.
pub fn routed(snapshot: &Snapshot, host: &str, path: &str) -> Option<u128> {
    found(snapshot, host, path, false)
}

/// The route that refuses a plain GET, as the number its id was made of.
pub fn refused(snapshot: &Snapshot, host: &str, path: &str) -> Option<u128> {
    found(snapshot, host, path, true)
}

fn found(snapshot: &Snapshot, host: &str, path: &str, closes: bool) -> Option<u128> {
    let headers: Vec<(&str, &str)> = Vec::new();
    let matched = snapshot.find_route(&get(host, path, &headers), &mut Scratch::default())?;
    let service = matched.service.as_ref().map(|service| service.id);
    let plan = snapshot.plugins_for(Some(matched.route.id), service, None);
    (plan.closes() == closes).then(|| matched.route.id.as_u128())
}
