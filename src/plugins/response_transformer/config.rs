//! The configuration of response-transformer.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub remove: Fields,
    pub rename: Fields,
    pub replace: Fields,
    pub add: Fields,
    pub append: Fields,
}

/// What one verb does. The items of `remove` are names, all others `name:value`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields {
    pub headers: Vec<String>,
    pub json: Vec<String>,
    /// The types of the values of `json`, by position; text where there is none.
    pub json_types: Vec<JsonType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonType {
    Boolean,
    Number,
    String,
}

/// Name and value of an item. More than one colon between them counts as one, as in Kong.
pub fn split(item: &str) -> (&str, &str) {
    match item.split_once(':') {
        Some((name, value)) => (name, value.trim_start_matches(':')),
        None => (item, ""),
    }
}
