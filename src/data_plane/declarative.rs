//! The configuration that is given to the node itself: `declarative_config`, used while there is
//! no cache.

use super::cache_writer::Cached;
use crate::model::declarative::{self, MAX_TEXT_BYTES};
use crate::model::{Config, Revision};
use crate::node::NodeError;
use crate::schema::{Env, Role, RouterFlavor, SystemRandom};
use crate::settings::{Declarative, Settings};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the declarative configuration says; `None` when there is none.
///
/// # Errors
/// It cannot be read or is not valid; the text has a line per violation.
pub fn read(settings: &Settings) -> Result<Option<Cached>, NodeError> {
    let (key, text) = match &settings.cache.declarative {
        None => return Ok(None),
        Some(Declarative::File(path)) => ("declarative_config", read_file(path)?),
        Some(Declarative::Text(text)) => ("declarative_config_string", text.expose().to_owned()),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let env = Env {
        now_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        random: &SystemRandom,
        role: Role::DbLess,
        router_flavor: RouterFlavor::default(),
        plugins: None,
    };
    let declared = declarative::parse(&text, &env)
        .map_err(|err| NodeError::Declarative(format!("{key}: {err}")))?;
    for ignored in declared.ignored {
        tracing::warn!(entity = ignored, "not used by this node, skipped");
    }
    tracing::info!(
        key,
        entities = declared.rows.len(),
        "declarative configuration read"
    );
    Ok(Some(Cached {
        epoch: 0,
        config: Config::from_rows(Revision::default(), declared.rows),
        last_good: Vec::new(),
    }))
}

fn read_file(path: &Path) -> Result<String, NodeError> {
    let failed = |why: String| {
        NodeError::Declarative(format!("declarative_config: {}: {why}", path.display()))
    };
    let file = File::open(path).map_err(|err| failed(err.to_string()))?;
    let limit = MAX_TEXT_BYTES as u64;
    let mut text = String::new();
    let read = file.take(limit + 1).read_to_string(&mut text);
    if read.map_err(|err| failed(err.to_string()))? as u64 > limit {
        return Err(failed(format!("larger than {limit} bytes")));
    }
    Ok(text)
}
