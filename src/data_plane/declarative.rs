//! The configuration that is given to the node itself: `declarative_config`, used while there is
//! no cache.

use super::cache_writer::{CacheSource, Cached};
use crate::declared::{Rules, Source};
use crate::model::{Config, Revision};
use crate::node::NodeError;
use crate::settings::Settings;

/// What the declarative configuration says; `None` when there is none.
///
/// # Errors
/// It cannot be read or is not valid; the text has a line per violation.
pub fn read(settings: &Settings) -> Result<Option<Cached>, NodeError> {
    let Some(source) = Source::of(settings)? else {
        return Ok(None);
    };
    let declared = source.parse(&Rules::of(settings))?;
    Ok(Some(Cached {
        source: Some(CacheSource::Own),
        epoch: 0,
        config: Config::from_rows(Revision::default(), declared.rows()),
        last_good: Vec::new(),
    }))
}
