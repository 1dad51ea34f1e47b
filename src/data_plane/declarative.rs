//! The configuration that is given to the node itself: `declarative_config`, used while there is
//! no cache.

use super::cache_writer::Cached;
use crate::node::NodeError;
use crate::settings::Settings;

/// What the declarative configuration says; `None` when there is none.
///
/// # Errors
/// It cannot be read or is not valid; the text has a line per violation.
pub fn read(settings: &Settings) -> Result<Option<Cached>, NodeError> {
    let _ = settings;
    Ok(None)
}
