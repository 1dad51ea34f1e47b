//! How a foreign key column stands in a document: `{"id": "<uuid>"}`, or null.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    id: Uuid,
}

/// For a column that may be NULL: `#[serde(default, with = "crate::reference::optional")]`.
pub mod optional {
    use super::{Deserialize, Deserializer, Reference, Serialize, Serializer, Uuid};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(id: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
        id.map(|id| Reference { id }).serialize(serializer)
    }

    /// # Errors
    /// When the value is neither null nor an object with one `id`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Uuid>, D::Error> {
        let reference = Option::<Reference>::deserialize(deserializer)?;
        Ok(reference.map(|reference| reference.id))
    }
}

/// For a column that is NOT NULL: `#[serde(with = "crate::reference::required")]`.
pub mod required {
    use super::{Deserialize, Deserializer, Reference, Serialize, Serializer, Uuid};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        Reference { id: *id }.serialize(serializer)
    }

    /// # Errors
    /// When the value is not an object with one `id`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        Reference::deserialize(deserializer).map(|reference| reference.id)
    }
}
