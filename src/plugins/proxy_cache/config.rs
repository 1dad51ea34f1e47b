//! The configuration of proxy-cache.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    pub response_code: Vec<u16>,
    pub request_method: Vec<String>,
    pub content_type: Vec<String>,
    /// How long a response is fresh, in seconds, unless its own headers say so.
    pub cache_ttl: u64,
    /// How long it is kept, in seconds; as long as it is fresh when this is not set.
    pub storage_ttl: Option<u64>,
    /// Heed Cache-Control of requests and responses.
    pub cache_control: bool,
    pub ignore_uri_case: Option<bool>,
    /// The query arguments that make one response unlike another; all of them when not set.
    pub vary_query_params: Option<Vec<String>>,
    pub vary_headers: Option<Vec<String>>,
    pub strategy: Strategy,
    pub memory: Memory,
    pub response_headers: ResponseHeaders,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    #[default]
    Memory,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub dictionary_name: String,
}

/// The dictionary that Kong uses unless another one is named.
pub const DEFAULT_DICTIONARY: &str = "kong_db_cache";

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            dictionary_name: DEFAULT_DICTIONARY.to_owned(),
        }
    }
}

/// What clients are told of the cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ResponseHeaders {
    pub age: Option<bool>,
    #[serde(rename = "X-Cache-Status")]
    pub cache_status: Option<bool>,
    #[serde(rename = "X-Cache-Key")]
    pub cache_key: Option<bool>,
}

impl Default for ResponseHeaders {
    fn default() -> ResponseHeaders {
        ResponseHeaders {
            age: Some(true),
            cache_status: Some(true),
            cache_key: Some(true),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Config {
            response_code: vec![200, 301, 404],
            request_method: texts(&["GET", "HEAD"]),
            content_type: texts(&["text/plain", "application/json"]),
            cache_ttl: 300,
            storage_ttl: None,
            cache_control: false,
            ignore_uri_case: Some(false),
            vary_query_params: None,
            vary_headers: None,
            strategy: Strategy::Memory,
            memory: Memory::default(),
            response_headers: ResponseHeaders::default(),
        }
    }
}
