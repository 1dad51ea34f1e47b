//! The configuration of key-auth.

use crate::plugins::HeaderName;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Names of the header, query argument or body field, tried in this order.
    pub key_names: Vec<HeaderName>,
    /// Keep the key from the upstream.
    pub hide_credentials: bool,
    /// Username or id of the consumer that stands in when authentication fails.
    pub anonymous: Option<String>,
    pub key_in_header: bool,
    pub key_in_query: bool,
    pub key_in_body: bool,
    /// Authenticate OPTIONS requests too.
    pub run_on_preflight: bool,
    pub realm: Option<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            key_names: vec!["apikey".into()],
            hide_credentials: false,
            anonymous: None,
            key_in_header: true,
            key_in_query: true,
            key_in_body: false,
            run_on_preflight: true,
            realm: None,
        }
    }
}
