//! Entities of the configuration as pages show them.

use crate::model::{Config, Kind, Row};
use crate::schema::{self, Env, Role, RouterFlavor, SystemRandom};
use crate::telemetry::status::TargetDocuments;
use serde_json::{Map, Value};
use uuid::Uuid;

type Document = Map<String, Value>;

/// The targets of an upstream, by its id or name, newest first; `None` when there is no such
/// upstream.
pub fn target_documents(config: &Config, key: &str) -> Option<TargetDocuments> {
    let upstream = match Uuid::parse_str(key) {
        Ok(id) => config.get(Kind::Upstreams, id).map(|_| id)?,
        Err(_) => {
            let mut upstreams = config.of_kind(Kind::Upstreams);
            let named = |row: &Row| document(row).get("name").and_then(Value::as_str) == Some(key);
            upstreams.find(|(_, row)| named(row))?.0
        }
    };
    let entity = schema::entity(Kind::Targets.as_str())?;
    let env = Env {
        now_ms: 0,
        random: &SystemRandom,
        role: Role::DbLess,
        router_flavor: RouterFlavor::default(),
        plugins: None,
    };
    let mut targets: Vec<Document> = config
        .of_kind(Kind::Targets)
        .map(|(_, row)| document(row))
        .filter(|target| of_upstream(target) == Some(upstream))
        .map(|target| entity.read(target, &env))
        .collect();
    let age = |target: &Document| target.get("created_at").and_then(Value::as_f64);
    targets.sort_by(|a, b| age(b).unwrap_or(0.0).total_cmp(&age(a).unwrap_or(0.0)));
    Some(TargetDocuments {
        upstream,
        targets: targets.into_iter().map(Value::Object).collect(),
    })
}

/// A row that cannot be read is quarantined, and not shown.
fn document(row: &Row) -> Document {
    row.to_json().unwrap_or_default()
}

fn of_upstream(target: &Document) -> Option<Uuid> {
    let id = target.get("upstream")?.get("id")?.as_str()?;
    Uuid::parse_str(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Revision;
    use serde_json::json;

    #[test]
    fn targets_of_an_upstream_by_id_or_name() {
        let id = Uuid::from_u128;
        let row = |kind, n: u128, mut fields: Value| {
            fields["id"] = json!(id(n));
            let fields = fields.as_object().expect("an object");
            (kind, id(n), Row::from_json(fields))
        };
        let target = |n, upstream, target: &str, created_at: f64| {
            let upstream = json!({"id": id(upstream)});
            let fields = json!({"upstream": upstream, "target": target, "created_at": created_at});
            row(Kind::Targets, n, fields)
        };
        let rows = vec![
            row(Kind::Upstreams, 1, json!({"name": "u"})),
            row(Kind::Upstreams, 2, json!({"name": "v"})),
            target(3, 1, "a:1", 1.5),
            target(4, 1, "b:1", 2.5),
            target(5, 2, "c:1", 1.5),
        ];
        let config = Config::from_rows(Revision(1), rows);
        for key in ["u", &id(1).to_string()] {
            let found = target_documents(&config, key).expect("an upstream");
            assert_eq!(found.upstream, id(1));
            let names: Vec<&Value> = found.targets.iter().map(|row| &row["target"]).collect();
            assert_eq!(names, [&json!("b:1"), &json!("a:1")]);
            let shown = found.targets[0].as_object().expect("an object");
            assert!(shown.contains_key("tags"), "as the schema shows it");
        }
        assert!(target_documents(&config, "w").is_none());
        assert!(target_documents(&config, &id(3).to_string()).is_none());
    }
}
