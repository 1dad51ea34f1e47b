//! One entity's canonical bytes: encoded once on the control plane, then stored, sent,
//! hashed and cached as they are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The canonical MessagePack of an entity: a map with its keys sorted and nulls left out,
/// at every depth. Equal entities have equal bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Row(Arc<[u8]>);

/// Bytes that are no entity of the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RowError(String);

impl Row {
    pub fn from_json(entity: &Map<String, Value>) -> Row {
        // A JSON object always encodes: its keys are strings and its depth was limited on reading.
        Row(rmp_serde::to_vec(&canonical(entity))
            .unwrap_or_default()
            .into())
    }

    pub fn to_json(&self) -> Result<Map<String, Value>, RowError> {
        self.decode()
    }

    /// A typed view of the entity; unknown fields are ignored, so that a newer control
    /// plane can talk to an older data plane.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(&*self.0).with_human_readable();
        T::deserialize(&mut decoder).map_err(|err| RowError(err.to_string()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes that came from another `Row`, by wire or cache. Their shape is checked when
    /// they are decoded, their integrity by the digest.
    pub fn from_bytes(bytes: &[u8]) -> Row {
        Row(bytes.into())
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the content: rows hold keys and secrets.
        write!(f, "Row({} bytes)", self.0.len())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Row;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of an entity")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Row, E> {
                Ok(Row::from_bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Keys sorted and nulls left out, at every depth.
fn canonical(map: &Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    let canonical_value = |value: &Value| match value {
        Value::Object(inner) => Value::Object(canonical(inner)),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| match item {
                    Value::Object(inner) => Value::Object(canonical(inner)),
                    other => other.clone(),
                })
                .collect(),
        ),
        scalar => scalar.clone(),
    };
    entries
        .into_iter()
        .map(|(name, value)| (name.clone(), canonical_value(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        Row::from_json(value.as_object().expect("an object"))
    }

    #[test]
    fn equal_entities_have_equal_bytes() {
        assert_eq!(
            row(json!({"b": 1, "a": {"y": null, "x": [{"q": 1, "p": null}]}, "c": null})),
            row(json!({"a": {"x": [{"q": 1}]}, "b": 1})),
        );
        assert_ne!(row(json!({"a": 1})), row(json!({"a": "1"})));
    }

    #[test]
    fn a_row_survives_the_wire() {
        let before = row(json!({"id": "x", "n": 9007199254740991u64, "f": 1.5, "l": []}));
        let bytes = rmp_serde::to_vec_named(&before).expect("encodes");
        let after: Row = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(before, after);
        assert_eq!(
            after.to_json().expect("json")["n"],
            json!(9007199254740991u64)
        );
    }
}
