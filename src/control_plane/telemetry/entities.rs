//! What data planes count by: only entities that exist, under the names they have here.
//!
//! A data plane sends ids and names. A name is a label of a metric, and each new one is a series for
//! as long as this process lives, so none is taken from a peer: ids are looked up in this control
//! plane's own configuration, and what is not there counts as one `unknown`. That is also where the
//! last requests of an entity go that was deleted before its data plane told of them.

use super::counts::Group;
use crate::control_plane::session::Feed;
use crate::model::{Kind, Row};
use crate::telemetry::record::{Label, Named};
use hashbrown::HashMap;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// The id under which requests of all entities that do not exist are counted.
pub const UNKNOWN: Uuid = Uuid::max();
const UNKNOWN_NAME: &str = "unknown";

/// Looks entities up.
pub trait Entities: Send + Sync {
    /// The rows of these entities, in this order; `None` for one that does not exist.
    fn rows(&self, keys: &[(Kind, Uuid)]) -> Vec<Option<Row>>;
}

impl Entities for Feed {
    fn rows(&self, keys: &[(Kind, Uuid)]) -> Vec<Option<Row>> {
        Feed::rows(self, keys)
    }
}

/// Names what batches are counted by.
pub struct Names {
    entities: Arc<dyn Entities>,
    /// The names made last, each with the row it was made from.
    made: Mutex<HashMap<(Kind, Uuid), (Row, Named)>>,
    unknown: Named,
}

/// Names that are kept: as many as the entities of a large configuration.
const MOST_MADE: usize = 1 << 20;

impl Names {
    pub fn new(entities: Arc<dyn Entities>) -> Names {
        let unknown = Arc::new(Label {
            id: UNKNOWN,
            name: UNKNOWN_NAME.into(),
        });
        Names {
            entities,
            made: Mutex::default(),
            unknown: unknown.into(),
        }
    }

    /// Puts this control plane's own names in the place of the data plane's.
    pub(super) fn name(&self, groups: &mut [Group]) {
        let mut keys = Vec::new();
        for group in groups.iter_mut() {
            keys.extend(
                labels(group)
                    .into_iter()
                    .flatten()
                    .map(|(kind, l)| (kind, l.id)),
            );
        }
        keys.sort_unstable();
        keys.dedup();
        let rows = self.entities.rows(&keys);
        let named: HashMap<(Kind, Uuid), Named> = keys
            .into_iter()
            .zip(rows)
            .map(|(key, row)| {
                (
                    key,
                    row.map_or(self.unknown.clone(), |row| self.of(key, row)),
                )
            })
            .collect();
        for group in groups {
            for (kind, label) in labels(group).into_iter().flatten() {
                if let Some(name) = named.get(&(kind, label.id)) {
                    *label = name.clone();
                }
            }
        }
    }

    fn of(&self, key: (Kind, Uuid), row: Row) -> Named {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, name)) = made.get(&key)
            && *from == row
        {
            return name.clone();
        }
        if made.len() >= MOST_MADE {
            made.clear();
        }
        let label = Label {
            id: key.1,
            name: name_of(key, &row).into(),
        };
        let name = Named::from(Arc::new(label));
        made.insert(key, (row, name.clone()));
        name
    }
}

fn labels(group: &mut Group) -> [Option<(Kind, &mut Named)>; 3] {
    [
        group.route.as_mut().map(|label| (Kind::Routes, label)),
        group.service.as_mut().map(|label| (Kind::Services, label)),
        group
            .consumer
            .as_mut()
            .map(|label| (Kind::Consumers, label)),
    ]
}

/// As data planes name them: see [`Label::name`].
fn name_of((kind, id): (Kind, Uuid), row: &Row) -> String {
    let called: Called = row.decode().unwrap_or_default();
    let name = match kind {
        Kind::Consumers => called.username.or(called.custom_id),
        Kind::Services => called.name.or(called.host),
        _ => called.name,
    };
    name.unwrap_or_else(|| id.to_string())
}

/// The fields that any of them is named by.
#[derive(Default, Deserialize)]
struct Called {
    name: Option<String>,
    host: Option<String>,
    username: Option<String>,
    custom_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::telemetry::Count;
    use serde_json::{Value, json};

    struct Fixed(HashMap<(Kind, Uuid), Row>);

    impl Entities for Fixed {
        fn rows(&self, keys: &[(Kind, Uuid)]) -> Vec<Option<Row>> {
            keys.iter().map(|key| self.0.get(key).cloned()).collect()
        }
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn entity(kind: Kind, n: u128, mut fields: Value) -> ((Kind, Uuid), Row) {
        fields["id"] = json!(id(n));
        (
            (kind, id(n)),
            Row::from_json(fields.as_object().expect("an object")),
        )
    }

    fn claimed(n: u128, name: &str) -> Option<Named> {
        let label = Label {
            id: id(n),
            name: name.into(),
        };
        Some(Named::from(Arc::new(label)))
    }

    #[test]
    fn trial_16_only_entities_that_exist_are_named() {
        let names = Names::new(Arc::new(Fixed(HashMap::from_iter([
            entity(Kind::Routes, 1, json!({ "name": "orders" })),
            entity(Kind::Routes, 2, json!({})),
            entity(
                Kind::Services,
                3,
                json!({ "host": "orders.internal", "port": 80, "protocol": "http" }),
            ),
            entity(Kind::Consumers, 4, json!({ "custom_id": "c-4" })),
        ]))));
        let no_name = id(2).to_string();
        for (route, service, consumer, expected) in [
            (
                claimed(1, "orders"),
                claimed(3, "orders.internal"),
                claimed(4, "c-4"),
                ["orders", "orders.internal", "c-4"],
            ),
            // Another name for what exists counts under the right one.
            (claimed(1, "made up"), None, None, ["orders", "-", "-"]),
            (claimed(2, "x"), None, None, [&no_name, "-", "-"]),
            // What does not exist has one name, whatever it is called.
            (
                claimed(9, "evil 1"),
                claimed(8, "evil 2"),
                claimed(7, "evil 3"),
                ["unknown", "unknown", "unknown"],
            ),
            // A service is no route.
            (claimed(3, "orders"), None, None, ["unknown", "-", "-"]),
        ] {
            let mut groups = [Group {
                route,
                service,
                consumer,
                status: 200,
                count: Count::default(),
            }];
            names.name(&mut groups);
            let [group] = groups;
            let found = [group.route, group.service, group.consumer];
            let found = found.map(|label| label.map_or("-".into(), |label| label.name.to_string()));
            assert_eq!(found, expected.map(str::to_owned));
        }
    }
}
