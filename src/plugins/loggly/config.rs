//! The configuration of loggly.

use crate::plugins::Severities;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// There is no `Debug`: it would show the key.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    /// `None`: nothing is sent.
    pub host: Option<String>,
    pub port: Option<u16>,
    /// The token of the customer, which is part of every message.
    pub key: String,
    pub tags: Vec<String>,
    #[serde(flatten)]
    pub severities: Severities,
    /// Milliseconds.
    pub timeout: Option<f64>,
    #[serde(skip_serializing)]
    pub custom_fields_by_lua: BTreeMap<String, String>,
}
