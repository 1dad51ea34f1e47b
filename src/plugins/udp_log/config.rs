//! The configuration of udp-log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub host: String,
    pub port: u16,
    /// Milliseconds.
    pub timeout: f64,
    #[serde(skip_serializing)]
    pub custom_fields_by_lua: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            host: String::new(),
            port: 0,
            timeout: 10_000.0,
            custom_fields_by_lua: BTreeMap::new(),
        }
    }
}
