//! The configuration of file-log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub path: PathBuf,
    /// Open the file anew for each write, so that it may be moved away.
    pub reopen: bool,
    #[serde(skip_serializing)]
    pub custom_fields_by_lua: BTreeMap<String, String>,
}
