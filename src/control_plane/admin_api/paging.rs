//! Pages: sizes, offset tokens, tag filters (specification: Kong 3.9's Admin API).

use super::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

const DEFAULT_SIZE: usize = 100;
const MAX_SIZE: usize = 1000;
/// More tags than this in one filter are refused.
const MAX_TAGS: usize = 5;

/// What a client asked of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    pub size: usize,
    /// Rows after this id.
    pub after: Option<Uuid>,
    pub tags: Option<Tags>,
    /// The size as it was asked for, repeated in `next`.
    pub asked_size: Option<usize>,
    /// The tag filter as it was written, repeated in `next`.
    pub asked_tags: Option<String>,
}

/// `a,b` (all of them) or `a/b` (any of them).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    All(Vec<String>),
    Any(Vec<String>),
}

/// The last value that was given for an argument of a query string.
pub fn argument<'a>(arguments: &'a [(String, String)], name: &str) -> Option<&'a str> {
    arguments
        .iter()
        .rev()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

/// `size`, `offset` and `tags` of a query string.
///
/// # Errors
/// Kong's codes 7 (offset), 9 (size) and 11 (tags).
pub fn page_query(arguments: &[(String, String)]) -> Result<PageQuery, ApiError> {
    let asked_size = argument(arguments, "size").map(size).transpose()?;
    let asked_tags = argument(arguments, "tags");
    Ok(PageQuery {
        size: asked_size.unwrap_or(DEFAULT_SIZE),
        after: argument(arguments, "offset")
            .map(offset)
            .transpose()?
            .flatten(),
        tags: asked_tags.map(tags).transpose()?,
        asked_size,
        asked_tags: asked_tags.map(str::to_owned),
    })
}

/// `size`: an integer between 1 and 1000.
pub fn size(text: &str) -> Result<usize, ApiError> {
    let number: f64 = text
        .trim()
        .parse()
        .map_err(|_| ApiError::InvalidSize("size must be a number"))?;
    let whole = number.fract() == 0.0 && (1.0..=MAX_SIZE as f64).contains(&number);
    if !whole {
        return Err(ApiError::InvalidSize(
            "size must be an integer between 1 and 1000",
        ));
    }
    Ok(number as usize)
}

/// The id in an offset token: base64 of a JSON array that starts with it. A token of
/// another shape points behind everything, as Kong treats it.
pub fn offset(token: &str) -> Result<Option<Uuid>, ApiError> {
    let refused = |why| ApiError::InvalidOffset {
        token: token.to_owned(),
        why,
    };
    let bytes = decode_token(token).ok_or_else(|| refused("bad base64 encoding"))?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|_| refused("bad json encoding"))?;
    let id = json
        .get(0)
        .and_then(Value::as_str)
        .and_then(|id| Uuid::parse_str(id).ok());
    Ok(Some(id.unwrap_or(Uuid::max())))
}

fn decode_token(token: &str) -> Option<Vec<u8>> {
    // Kong's decoder takes a token whose length leaves bits over; a strict one does not.
    let bare = token.trim_end_matches('=');
    STANDARD_NO_PAD
        .decode(bare)
        .or_else(|_| STANDARD.decode(token))
        .ok()
        .or_else(|| {
            let kept = bare.len() - bare.len() % 4;
            let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
            let plausible = bare.bytes().all(alphabet);
            plausible.then(|| STANDARD_NO_PAD.decode(&bare[..kept]).unwrap_or_default())
        })
}

/// The token for the rows after `last`.
pub fn token(last: Uuid) -> String {
    STANDARD_NO_PAD.encode(json!([last]).to_string())
}

/// The tags of a filter, or why it is none (code 11).
pub fn tags(text: &str) -> Result<Tags, ApiError> {
    let refused = |why: &str| {
        Err(ApiError::InvalidOption {
            option: "tags",
            why: why.to_owned(),
        })
    };
    if text.is_empty() {
        return refused("cannot be null");
    }
    let printable = |c: char| !c.is_control() && c != char::REPLACEMENT_CHARACTER;
    if (text.contains(',') && text.contains('/')) || !text.chars().all(printable) {
        return refused("invalid filter syntax");
    }
    let separator = if text.contains('/') { '/' } else { ',' };
    let list: Vec<String> = text.split(separator).map(str::to_owned).collect();
    if list.iter().any(String::is_empty) {
        return refused("invalid filter syntax");
    }
    if list.len() > MAX_TAGS {
        return refused("cannot query more than 5 tags");
    }
    Ok(if separator == '/' {
        Tags::Any(list)
    } else {
        Tags::All(list)
    })
}

/// A page's body: `offset` is absent on the last page, `next` is null there.
pub fn page(path: &str, data: Vec<Value>, next_token: Option<String>, suffix: &str) -> Value {
    let Some(token) = next_token else {
        return json!({"data": data, "next": null});
    };
    let escaped = escape(&token);
    json!({"data": data, "offset": token, "next": format!("{path}?offset={escaped}{suffix}")})
}

/// What a top-level list repeats of its query in `next`.
pub fn suffix(query: &PageQuery) -> String {
    let tags = query
        .asked_tags
        .as_ref()
        .map(|tags| format!("&tags={}", escape(tags)));
    let size = query.asked_size.map(|size| format!("&size={size}"));
    [tags, size].into_iter().flatten().collect()
}

/// Percent-encoding for a query argument.
pub fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
        .replace("%5F", "_")
        .replace("%2E", ".")
        .replace("%7E", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [("1", Some(1)), ("1000", Some(1000)), ("3.0", Some(3))] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["0", "-1", "1001", "1.5", "x", ""] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets() {
        let id = Uuid::from_u128(7);
        assert_eq!(offset(&token(id)).ok().flatten(), Some(id));
        assert_eq!(
            offset("eyJ4IjoxfQ==").ok().flatten(),
            Some(Uuid::max()),
            "an object"
        );
        let why = |text: &str| match offset(text) {
            Err(ApiError::InvalidOffset { why, .. }) => why,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(why("bad"), "bad json encoding");
        assert_eq!(why(""), "bad json encoding");
        assert_eq!(why("%%%"), "bad base64 encoding");
    }

    #[test]
    fn tag_filters() {
        assert_eq!(
            tags("a,b").ok(),
            Some(Tags::All(vec!["a".into(), "b".into()]))
        );
        assert_eq!(
            tags("a/b").ok(),
            Some(Tags::Any(vec!["a".into(), "b".into()]))
        );
        assert_eq!(tags("ü x").ok(), Some(Tags::All(vec!["ü x".into()])));
        for text in ["", "a,b/c", "a,,b", "\u{fffd}", "a,b,c,d,e,f"] {
            assert!(tags(text).is_err(), "{text}");
        }
    }
}
