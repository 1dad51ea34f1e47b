//! The configuration of correlation-id.

use crate::plugins::HeaderName;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Generator {
    /// A random UUID for each request.
    #[serde(rename = "uuid")]
    Uuid,
    /// One UUID of this process and a counter: `<uuid>#<n>`.
    #[serde(rename = "uuid#counter")]
    Counter,
    /// `<address>-<port>-<process>-<slot>-<request in it>-<epoch seconds>`, with
    /// milliseconds; slot and request as in `Peer`.
    #[serde(rename = "tracker")]
    Tracker,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    pub header_name: HeaderName,
    pub generator: Generator,
    /// Give the id to the client too.
    pub echo_downstream: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            header_name: "Kong-Request-ID".into(),
            generator: Generator::Counter,
            echo_downstream: false,
        }
    }
}
