//! The configuration of tcp-log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub host: String,
    pub port: u16,
    /// Milliseconds.
    pub timeout: f64,
    /// Milliseconds that a connection is kept without records.
    pub keepalive: f64,
    pub tls: bool,
    /// The name that the server is asked for, in place of `host`.
    pub tls_sni: Option<String>,
    #[serde(skip_serializing)]
    pub custom_fields_by_lua: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            host: String::new(),
            port: 0,
            timeout: 10_000.0,
            keepalive: 60_000.0,
            tls: false,
            tls_sni: None,
            custom_fields_by_lua: BTreeMap::new(),
        }
    }
}
