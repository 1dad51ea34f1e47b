//! The configuration of request-termination.

use crate::plugins::HeaderName;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    pub status_code: u16,
    pub message: Option<String>,
    pub content_type: Option<String>,
    pub body: Option<String>,
    /// Answer with what the gateway saw.
    pub echo: bool,
    /// Only requests with this header or query argument.
    pub trigger: Option<HeaderName>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            status_code: 503,
            message: None,
            content_type: None,
            body: None,
            echo: false,
            trigger: None,
        }
    }
}
