//! A document as bytes: a tenth of what the tree takes, for when there are many of them.

use serde_json::{Map, Value};

/// A document that was packed, to become exactly what it was: with its nulls and in its order,
/// unlike the [`Row`](super::Row) of an entity.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

impl Packed {
    #[must_use]
    pub fn of(document: &Map<String, Value>) -> Packed {
        // A JSON object always encodes: its keys are strings and its depth was limited on reading.
        Packed(rmp_serde::to_vec(document).unwrap_or_default().into())
    }

    #[must_use]
    pub fn unpack(&self) -> Map<String, Value> {
        // There is no other way to make one than from a document.
        rmp_serde::from_slice(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the content: documents hold keys and secrets.
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_stays_what_it_was() {
        let document = json!({
            "name": "n", "b": null, "a": [1, -1, null, {"y": null, "x": 0.1}], "empty": {},
            "large": u64::MAX, "small": i64::MIN, "whole": 1.0, "text": "\u{fc}\0",
        });
        let document = document.as_object().expect("an object");
        let unpacked = Packed::of(document).unpack();
        assert_eq!(unpacked, *document);
        // The order too, which equality leaves out.
        let text = |document| serde_json::to_string(document).expect("text");
        assert_eq!(text(&unpacked), text(document));
    }
}
