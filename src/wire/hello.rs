//! How a data plane introduces itself.

use super::{NodeSecret, Position};
use crate::model::KindSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A plugin that is built into a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVersion {
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
}

/// The first message of a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub node_id: Uuid,
    #[serde(default)]
    pub hostname: String,
    /// Langur's own version: what the version rule compares.
    pub langur_version: String,
    /// The Kong version whose behaviour the data plane implements.
    #[serde(default)]
    pub kong_version: String,
    #[serde(default)]
    pub plugins: Vec<PluginVersion>,
    /// The kinds of entities the data plane can hold; it is sent no others.
    #[serde(default = "KindSet::first")]
    pub kinds: KindSet,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What is in effect on the data plane now.
    pub held: Position,
    /// One life of the data plane's process.
    #[serde(default)]
    pub incarnation: Uuid,
    /// Proves that the node is the one of this id; none of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<NodeSecret>,
}

/// A hello that is not acceptable, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid hello: {}", .0.join("; "))]
pub struct InvalidHello(pub Vec<String>);

impl Hello {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names every field that is out of bounds.
    pub fn validate(&self) -> Result<(), InvalidHello> {
        let mut reasons = Vec::new();
        let mut require = |holds: bool, reason: &str| {
            if !holds {
                reasons.push(reason.to_owned());
            }
        };
        require(!self.node_id.is_nil(), "node_id must not be nil");
        require(
            self.hostname.len() <= 253 && self.hostname.chars().all(|c| !c.is_control()),
            "hostname must have at most 253 bytes and no control characters",
        );
        require(
            self.langur_version.len() <= 64,
            "langur_version must have at most 64 bytes",
        );
        require(
            self.kong_version.len() <= 64,
            "kong_version must have at most 64 bytes",
        );
        require(self.plugins.len() <= 1024, "plugins must be at most 1024");
        require(
            self.plugins.iter().all(|plugin| {
                plugin.name.len() <= 128 && plugin.version.as_ref().is_none_or(|v| v.len() <= 64)
            }),
            "plugins[].name must have at most 128 bytes, plugins[].version at most 64",
        );
        require(self.labels.len() <= 64, "labels must be at most 64");
        require(
            self.labels
                .iter()
                .all(|(key, value)| key.len() <= 63 && value.len() <= 253),
            "label names must have at most 63 bytes, values at most 253",
        );
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(InvalidHello(reasons))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            node_id: Uuid::from_u128(1),
            hostname: "edge-1".into(),
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
            plugins: vec![],
            kinds: KindSet::DISTRIBUTED,
            labels: BTreeMap::new(),
            held: Position::default(),
            incarnation: Uuid::from_u128(2),
            secret: Some(NodeSecret::new([7; NodeSecret::BYTES])),
        }
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        assert_eq!(hello().validate(), Ok(()));
        let bad = Hello {
            node_id: Uuid::nil(),
            hostname: "a\nb".into(),
            labels: BTreeMap::from([("k".repeat(64), String::new())]),
            ..hello()
        };
        let InvalidHello(reasons) = bad.validate().expect_err("is invalid");
        assert_eq!(reasons.len(), 3, "{reasons:?}");
    }

    #[test]
    fn only_what_decisions_need_is_required() {
        #[derive(Serialize)]
        struct Shortest {
            node_id: Uuid,
            langur_version: &'static str,
            held: Position,
        }
        let bytes = rmp_serde::to_vec_named(&Shortest {
            node_id: Uuid::from_u128(1),
            langur_version: "0.1.0",
            held: Position::default(),
        })
        .expect("encodes");
        let hello: Hello = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(hello.validate(), Ok(()));
        assert_eq!(hello.kinds, KindSet::FIRST);
    }
}
