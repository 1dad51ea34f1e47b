//! What a request has written, for its answer to say how that fares.

use super::Committed;
use crate::model::{Kind, Op, Revision, Row};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The commits of one request.
#[derive(Debug, Default)]
pub struct Written(Mutex<Commits>);

/// What they came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The latest revision, of a write that changed nothing too; none when nothing was written.
    pub revision: Option<Revision>,
    /// The entities that are to take effect. Of a plugin, which it is; one that is disabled is not
    /// among them, because that takes effect at once like a deletion.
    pub entities: BTreeMap<(Kind, Uuid), Option<String>>,
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, Commits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit of writes to these kinds, which is what its documents are of.
    pub(super) fn note(&self, kinds: &[Kind], committed: &Committed) {
        let mut commits = self.lock();
        commits.revision = commits.revision.max(Some(committed.revision));
        for (kind, document) in kinds.iter().zip(&committed.documents) {
            let id = document.as_ref().and_then(|it| it.get("id")?.as_str());
            let id = id.and_then(|id| Uuid::parse_str(id).ok());
            if let (Some(id), Some(document)) = (id, document) {
                commits.take((*kind, id), |field| document.get(field).cloned());
            }
        }
        for op in &committed.ops {
            match op {
                Op::Put { kind, id, row } => commits.take_row((*kind, *id), row),
                Op::Delete { kind, id } => drop(commits.entities.remove(&(*kind, *id))),
            }
        }
        for (key, row) in &committed.unchanged {
            commits.take_row(*key, row);
        }
    }

    /// All of it so far.
    #[must_use]
    pub fn commits(&self) -> Commits {
        self.lock().clone()
    }
}

impl Commits {
    fn take_row(&mut self, key: (Kind, Uuid), row: &Row) {
        match key.0 {
            Kind::Plugins => {
                let document = row.to_json().unwrap_or_default();
                self.take(key, |field| document.get(field).cloned());
            }
            _ => drop(self.entities.insert(key, None)),
        }
    }

    fn take(&mut self, key: (Kind, Uuid), field: impl Fn(&str) -> Option<Value>) {
        if key.0 != Kind::Plugins {
            self.entities.insert(key, None);
        } else if field("enabled") == Some(Value::Bool(false)) {
            self.entities.remove(&key);
        } else {
            let name = field("name").and_then(|name| Some(name.as_str()?.to_owned()));
            self.entities.insert(key, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trial_04_what_is_to_take_effect_is_remembered() {
        let written = Written::default();
        assert_eq!(written.commits(), Commits::default());
        let id = Uuid::from_u128;
        let object = |value: Value| value.as_object().cloned().expect("an object");
        let put = |kind, n, fields| Op::Put {
            kind,
            id: id(n),
            row: Row::from_json(&object(fields)),
        };
        let committed = Committed {
            revision: Revision(3),
            ops: vec![
                put(Kind::Plugins, 1, json!({"name": "jwt", "enabled": true})),
                put(Kind::Plugins, 2, json!({"name": "jwt", "enabled": false})),
                put(Kind::Routes, 3, json!({"name": "r"})),
                Op::Delete {
                    kind: Kind::Services,
                    id: id(4),
                },
            ],
            ..Committed::default()
        };
        written.note(&[], &committed);
        // This one changed nothing.
        let same = Committed {
            revision: Revision(3),
            documents: vec![
                Some(object(json!({"id": id(5).to_string(), "name": "s"}))),
                None,
            ],
            ..Committed::default()
        };
        written.note(&[Kind::Services, Kind::Routes], &same);
        let entities = [
            ((Kind::Services, id(5)), None),
            ((Kind::Routes, id(3)), None),
            ((Kind::Plugins, id(1)), Some("jwt".to_owned())),
        ];
        let expected = Commits {
            revision: Some(Revision(3)),
            entities: entities.into(),
        };
        assert_eq!(written.commits(), expected);
    }
}
