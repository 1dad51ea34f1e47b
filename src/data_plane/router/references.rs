//! References to vaults, such as `{vault://env/name}`: what they stand for takes their place before an
//! entity is compiled.
//!
//! The configuration keeps the references, on control planes and here: what they stand for is known to
//! this process alone. It is read from its environment, which does not change while it runs.

use crate::model::{Config, Kind, Row};
use crate::schema;
use crate::settings::resolve_reference_of;
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// What every reference begins with.
const OPENING: &[u8] = b"{vault://";

/// The kinds that are compiled with what their references stand for. Nothing of this build uses keys.
pub(super) const KINDS: [Kind; 2] = [Kind::Certificates, Kind::Plugins];

/// What references stand for on this node.
#[derive(Clone, Default)]
pub struct Vaults {
    /// Variables and their values.
    environment: Arc<[(String, String)]>,
    /// What the names of variables begin with that `{vault://env/...}` stands for.
    prefix: Arc<str>,
}

impl Vaults {
    /// With `vault_env_prefix` of the settings.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (String, String)>, prefix: &str) -> Vaults {
        Vaults {
            environment: environment.into_iter().collect(),
            prefix: prefix.into(),
        }
    }

    /// The vaults of this process.
    #[must_use]
    pub fn of_process(prefix: &str) -> Vaults {
        // A variable that is no text cannot be the value of a field.
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Vaults::new(texts, prefix)
    }

    /// A row with what its references stand for; `None` when it has none.
    ///
    /// In a plugin, one that cannot be resolved becomes an empty text, as in Kong, and a warning.
    ///
    /// # Errors
    /// A certificate has one that cannot be resolved: one text per field.
    pub(super) fn resolve(
        &self,
        config: &Config,
        (kind, id): (Kind, Uuid),
        row: &Row,
    ) -> Result<Option<Row>, Vec<String>> {
        if !refers(kind, row) {
            return Ok(None);
        }
        let mut entity = row.to_json().map_err(|error| vec![error.to_string()])?;
        let mut unresolved = Vec::new();
        let mut replace = |field: &str, text: &str| {
            let resolved = resolve_reference_of(text, &self.environment, |vault| {
                self.prefix_of(config, vault)
            });
            resolved.unwrap_or_else(|why| {
                unresolved.push(format!("{field}: {why}"));
                String::new()
            })
        };
        if let Some(schema) = schema::entity(kind.as_str()) {
            schema.replace_references(&mut entity, &mut replace);
        }
        if kind == Kind::Plugins {
            for why in unresolved.drain(..) {
                tracing::warn!(%kind, %id, why, "a reference is replaced by an empty text");
            }
        }
        match unresolved.is_empty() {
            true => Ok(Some(Row::from_json(&entity))),
            false => Err(unresolved),
        }
    }

    /// What the names of the variables of a vault begin with.
    fn prefix_of(&self, config: &Config, name: &str) -> Result<String, String> {
        // Kong gives no entity the prefix of a kind of vault.
        if name == "env" {
            return Ok(self.prefix.to_string());
        }
        let text = |entity: &Map<String, Value>, field: &str| {
            entity.get(field).and_then(Value::as_str).map(str::to_owned)
        };
        let vault = config
            .of_kind(Kind::Vaults)
            .filter_map(|(_, row)| row.to_json().ok())
            .find(|vault| text(vault, "prefix").as_deref() == Some(name))
            .ok_or_else(|| format!("there is no vault '{name}'"))?;
        match text(&vault, "name").as_deref() {
            Some("env") => {
                let own = vault.get("config").and_then(Value::as_object);
                Ok(own.and_then(|own| text(own, "prefix")).unwrap_or_default())
            }
            _ => Err(format!("the vault '{name}' is not of the kind env")),
        }
    }
}

/// Whether an entity is compiled with what its references stand for, and has one.
pub(super) fn refers(kind: Kind, row: &Row) -> bool {
    KINDS.contains(&kind)
        && row
            .as_bytes()
            .windows(OPENING.len())
            .any(|bytes| bytes == OPENING)
}

#[cfg(test)]
#[path = "references_tests.rs"]
mod tests;
