//! The page `/upstreams/{u}/health`. On a node without a balancer it has the targets alone.

use super::pages::{closed, count, id, text};
use serde_json::{Value, json};

/// The schema of the page; `target` is that of a target.
pub fn schema(mut target: Value, hybrid: bool) -> Value {
    if !hybrid {
        target["properties"]["health"] = state();
        target["properties"]["data"] = host("health", state());
    }
    let targets = json!({"type": "array", "items": target});
    json!({
        "type": "object",
        "properties": {
            "data": match hybrid {
                true => targets,
                false => json!({"oneOf": [targets, balancer()]}),
            },
            "next": {"type": "null"},
            "node_id": id(),
        },
        "required": ["next", "node_id"],
        "additionalProperties": false,
    })
}

fn state() -> Value {
    let states = ["HEALTHCHECKS_OFF", "HEALTHY", "UNHEALTHY", "DNS_ERROR"];
    json!({"type": "string", "enum": states})
}

/// What `?balancer_health=1` asks for.
fn balancer() -> Value {
    closed(json!({
        "id": id(),
        "health": state(),
        "balancer_health": state(),
        "details": closed(json!({
            "healthy": {"type": "boolean"},
            "weight": weight(),
            "hosts": {"type": "array", "items": host("healthy", json!({"type": "boolean"}))},
        })),
    }))
}

/// A target with its addresses, each of which says its health by this member.
fn host(member: &str, health: Value) -> Value {
    let mut address = json!({"ip": text(), "port": count(), "weight": count()});
    address[member] = health;
    closed(json!({
        "host": text(),
        "port": count(),
        "dns": text(),
        "nodeWeight": count(),
        "weight": weight(),
        // None is an empty object, as in Kong.
        "addresses": {
            "type": ["array", "object"],
            "items": closed(address),
            "additionalProperties": false,
        },
    }))
}

fn weight() -> Value {
    closed(json!({"total": count(), "available": count(), "unavailable": count()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::status::{AddressHealth, HostHealth, UpstreamHealth, health_page};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    /// Every member of the value is described, and everything described is there.
    fn assert_described(value: &Value, schema: &Value, path: &str) {
        let one_of = schema["oneOf"].as_array();
        let schema = match one_of.and_then(|all| all.get(usize::from(value.is_object()))) {
            Some(variant) => variant,
            None => schema,
        };
        match value {
            Value::Object(members) => {
                let empty = serde_json::Map::new();
                let described = schema["properties"].as_object().unwrap_or(&empty);
                let names: BTreeSet<&String> = members.keys().collect();
                let expected: BTreeSet<&String> = described.keys().collect();
                assert_eq!(names, expected, "{path}");
                for (name, inner) in members {
                    assert_described(inner, &described[name], &format!("{path}.{name}"));
                }
            }
            Value::Array(items) => {
                for inner in items {
                    assert_described(inner, &schema["items"], &format!("{path}[]"));
                }
            }
            _ => assert!(schema["type"].is_string(), "{path}: {schema}"),
        }
    }

    #[test]
    fn pages_are_as_described() {
        let address = AddressHealth {
            address: "10.0.0.1:80".parse().expect("an address"),
            weight: 100,
            healthy: true,
        };
        let host = |addresses: Vec<AddressHealth>| HostHealth {
            target: Uuid::nil(),
            host: "a.test".into(),
            port: 80,
            weight: 1,
            dns: "A".into(),
            resolved: true,
            addresses,
        };
        let known = UpstreamHealth {
            id: Uuid::nil(),
            name: "u".into(),
            checked: true,
            healthy: true,
            hosts: vec![host(vec![address]), host(Vec::new())],
        };
        let target = closed(json!({"id": id()}));
        let schema = schema(target, false);
        for of_balancer in [false, true] {
            let targets = vec![json!({"id": Uuid::nil()})];
            let page = health_page(targets, Some(&known), of_balancer, Uuid::nil());
            assert_described(&page, &schema, "page");
        }
    }
}
