//! Consumers and the keys they identify themselves with.

use crate::model::{self, Row};
use crate::telemetry::record::{Label, Labelled};
use std::sync::Arc;
use uuid::Uuid;

/// A consumer as plugins see it.
#[derive(Debug)]
pub struct CompiledConsumer {
    pub id: Uuid,
    pub username: Option<Arc<str>>,
    pub custom_id: Option<Arc<str>>,
    /// The name for telemetry: username, else custom id, else id.
    pub label: Label,
    /// The entity itself, shared with the configuration.
    pub row: Row,
}

impl Labelled for CompiledConsumer {
    fn label(&self) -> &Label {
        &self.label
    }
}

impl CompiledConsumer {
    pub fn compile(consumer: &model::Consumer, row: &Row) -> CompiledConsumer {
        let shared = |text: &Option<String>| text.as_deref().map(Arc::<str>::from);
        let (username, custom_id) = (shared(&consumer.username), shared(&consumer.custom_id));
        for (field, text) in [("username", &username), ("custom_id", &custom_id)] {
            if text
                .as_deref()
                .is_some_and(|text| text.chars().any(char::is_control))
            {
                // Kong takes such names: they have to go on working.
                tracing::warn!(
                    consumer = %consumer.id,
                    field,
                    "control characters: upstreams are sent this value percent-encoded"
                );
            }
        }
        let name = username.clone().or_else(|| custom_id.clone());
        CompiledConsumer {
            id: consumer.id,
            label: Label {
                id: consumer.id,
                name: name.unwrap_or_else(|| consumer.id.to_string().into()),
            },
            username,
            custom_id,
            row: row.clone(),
        }
    }
}

/// A key of a consumer; `Debug` would print it, so there is none.
pub struct KeyCredential {
    pub id: Uuid,
    pub consumer: Uuid,
    /// Epoch seconds from which on the key is no longer valid.
    pub expires_at: Option<i64>,
    pub(super) key: Arc<str>,
}

impl KeyCredential {
    pub fn compile(credential: &model::KeyauthCredential) -> KeyCredential {
        KeyCredential {
            id: credential.id,
            consumer: credential.consumer.id,
            expires_at: credential.ttl,
            key: credential.key.as_str().into(),
        }
    }
}
