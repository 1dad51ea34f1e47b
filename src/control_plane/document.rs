//! What a node without a database lives from: one declarative document at a time.

use super::config_store::{Declaration, Extent, Store};
use crate::declared::{Rules, Source};
use crate::model::Revision;
use crate::node::{Node, NodeError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Under the prefix: which document the configuration came from.
const FILE: &str = "dbless.json";

/// Knows the text that the configuration came from, so that the same need not be loaded again.
#[derive(Debug)]
pub struct CurrentDocument {
    path: PathBuf,
    current: Mutex<Option<Loaded>>,
}

/// A text that was loaded, and the revision it became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Loaded {
    revision: Revision,
    /// SHA-256 of the text in hex.
    sha256: String,
}

impl CurrentDocument {
    /// Loads what the settings declare; without that, the node goes on with what it had.
    ///
    /// # Errors
    /// The document cannot be read or is not valid, or the store cannot be written.
    pub(super) async fn open(node: &Node, store: &Store) -> Result<CurrentDocument, NodeError> {
        let failed = |err| NodeError::Database(format!("prefix: {err:?}"));
        let latest = store.latest_revision().await.map_err(failed)?;
        let path = node.settings.node.prefix.join(FILE);
        let known = std::fs::read(&path).ok();
        let known = known.and_then(|text| serde_json::from_slice::<Loaded>(&text).ok());
        let document = CurrentDocument {
            path,
            // Of another revision it says nothing about this one.
            current: Mutex::new(known.filter(|known| known.revision == latest)),
        };
        if let Some(source) = Source::of(&node.settings)? {
            let entities = source.parse(&Rules::of(&node.settings))?.entities;
            let declaration = Declaration::new(Extent::Whole, entities);
            let done = store.declare(declaration, None).await.map_err(failed)?;
            document.set(&source.text, done.revision);
        }
        Ok(document)
    }

    /// Whether the configuration came from this text.
    pub fn is(&self, text: &str) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .is_some_and(|current| current.sha256 == hash(text))
    }

    /// The configuration came from this text, at this revision.
    pub fn set(&self, text: &str, revision: Revision) {
        let loaded = Loaded {
            revision,
            sha256: hash(text),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that came at the same time, the later revision is in effect.
        if current
            .as_ref()
            .is_some_and(|current| current.revision > revision)
        {
            return;
        }
        let written = serde_json::to_vec(&loaded).map_err(io::Error::other);
        // Without it the same text is loaded again after a restart.
        if let Err(err) = written.and_then(|text| std::fs::write(&self.path, text)) {
            tracing::warn!(%err, path = %self.path.display(), "cannot be written");
        }
        *current = Some(loaded);
    }
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
