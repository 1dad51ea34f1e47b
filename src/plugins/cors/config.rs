//! The configuration of cors.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Texts or regular expressions; every origin when there is none.
    pub origins: Option<Vec<String>>,
    pub headers: Option<Vec<String>>,
    pub exposed_headers: Option<Vec<String>>,
    pub methods: Option<Vec<String>>,
    /// How long a browser may remember the answer, in seconds.
    pub max_age: Option<serde_json::Number>,
    pub credentials: bool,
    pub private_network: bool,
    /// The upstream answers the questions of browsers itself.
    pub preflight_continue: bool,
}
