//! Texts and lists of a peer that end somewhere: what is longer is cut when it is read.

use super::{Applied, Quarantined};
use serde::{Deserialize as _, Deserializer};

/// The longest text of a report, in characters.
pub const LONGEST_TEXT: usize = 512;

/// The text, or its beginning.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

pub(super) fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    // What comes in is bounded by its frame.
    String::deserialize(deserializer).map(|text| shorten(&text))
}

pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.as_deref().map(shorten))
}

pub(super) fn quarantined<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Quarantined>, D::Error> {
    let mut list = Vec::<Quarantined>::deserialize(deserializer)?;
    list.truncate(Applied::MOST_QUARANTINED);
    Ok(list)
}
