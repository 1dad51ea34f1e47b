//! Pages: sizes, offset tokens, tag filters (specification: Kong 3.9's Admin API).

use super::error::ApiError;
use crate::control_plane::config_store::TagFilter;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

/// Standard base64 without padding.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

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
    pub tags: Option<TagFilter>,
    /// The size as it was asked for, repeated in `next`.
    pub asked_size: Option<usize>,
    /// The tag filter as it was written, repeated in `next`.
    pub asked_tags: Option<String>,
}

/// The value of an argument of a query string. Said again it is the same: clients follow `next`,
/// which repeats their size, and add the size.
///
/// # Errors
/// It has two values, and nobody could say which one is meant.
pub fn argument<'a>(
    arguments: &'a [(String, String)],
    name: &str,
) -> Result<Option<&'a str>, ApiError> {
    let found = arguments.iter().filter(|(found, _)| found == name);
    let mut values = found.map(|(_, value)| value.as_str());
    let first = values.next();
    if values.any(|other| Some(other) != first) {
        return Err(ApiError::BadRequest(format!(
            "{name} must be given only once"
        )));
    }
    Ok(first)
}

/// The tag filter as it was written. Kong takes the first of several, and one that is written
/// as a list.
fn tags_argument(arguments: &[(String, String)]) -> Option<&str> {
    let is_first = |name: &str| matches!(name, "tags" | "tags[]" | "tags[1]");
    let mut values = arguments.iter().filter(|(name, _)| is_first(name));
    values.next().map(|(_, value)| value.as_str())
}

/// `size`, `offset` and `tags` of a query string.
///
/// # Errors
/// Kong's codes 7 (offset), 9 (size) and 11 (tags).
pub fn page_query(arguments: &[(String, String)]) -> Result<PageQuery, ApiError> {
    let asked_size = argument(arguments, "size")?.map(size).transpose()?;
    let asked_tags = tags_argument(arguments);
    Ok(PageQuery {
        size: asked_size.unwrap_or(DEFAULT_SIZE),
        after: argument(arguments, "offset")?.map(offset).transpose()?,
        tags: asked_tags.map(tags).transpose()?,
        asked_size,
        asked_tags: asked_tags.map(str::to_owned),
    })
}

/// The `size` of a list that has no tag filter, and what its `next` repeats of it.
///
/// # Errors
/// Code 9.
pub fn asked_size(arguments: &[(String, String)]) -> Result<(usize, String), ApiError> {
    let asked = argument(arguments, "size")?.map(size).transpose()?;
    let suffix = asked.map(|size| format!("&size={size}"));
    Ok((asked.unwrap_or(DEFAULT_SIZE), suffix.unwrap_or_default()))
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
///
/// # Errors
/// See [`token_json`].
pub fn offset(token: &str) -> Result<Uuid, ApiError> {
    let json = token_json(token)?;
    let id = json
        .get(0)
        .and_then(Value::as_str)
        .and_then(|id| Uuid::parse_str(id).ok());
    Ok(id.unwrap_or(Uuid::max()))
}

/// What an offset token holds.
///
/// # Errors
/// Code 7.
pub fn token_json(token: &str) -> Result<Value, ApiError> {
    let refused = |why| ApiError::InvalidOffset {
        token: token.to_owned(),
        why,
    };
    let bytes = decode_token(token).ok_or_else(|| refused("bad base64 encoding"))?;
    serde_json::from_slice(&bytes).map_err(|_| refused("bad json encoding"))
}

/// Kong's decoder stops at the first `=` and does not mind bits that are left over.
fn decode_token(token: &str) -> Option<Vec<u8>> {
    let bare = token.split('=').next().unwrap_or_default();
    LENIENT.decode(bare).ok()
}

/// The token for the rows after `last`.
pub fn token(last: Uuid) -> String {
    token_of(&json!([last]))
}

/// An offset token that holds this.
pub fn token_of(place: &Value) -> String {
    STANDARD_NO_PAD.encode(place.to_string())
}

/// The tags of a filter, or why it is none (code 11).
pub fn tags(text: &str) -> Result<TagFilter, ApiError> {
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
    // A separator at the end is one tag more, which no entity has.
    let named = list.iter().rev().skip(1).chain(list.first());
    if named.into_iter().any(String::is_empty) {
        return refused("invalid filter syntax");
    }
    if list.len() > MAX_TAGS {
        return refused("cannot query more than 5 tags");
    }
    Ok(if separator == '/' {
        TagFilter::Any(list)
    } else {
        TagFilter::All(list)
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
        assert_eq!(offset(&token(id)).ok(), Some(id));
        assert_eq!(offset("eyJ4IjoxfQ==").ok(), Some(Uuid::max()), "an object");
        let why = |text: &str| match offset(text) {
            Err(ApiError::InvalidOffset { why, .. }) => why,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(why("bad"), "bad json encoding");
        assert_eq!(why(""), "bad json encoding");
        assert_eq!(why("bad=="), "bad json encoding");
        assert_eq!(why("%%%"), "bad base64 encoding");
        assert_eq!(why("x"), "bad base64 encoding");
    }

    #[test]
    fn tag_filters() {
        let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        for (text, all) in [
            ("a,b", &["a", "b"][..]),
            ("ü x", &["ü x"]),
            ("a,", &["a", ""]),
        ] {
            assert_eq!(tags(text).ok(), Some(TagFilter::All(list(all))), "{text}");
        }
        for (text, any) in [("a/b", &["a", "b"][..]), ("a/", &["a", ""])] {
            assert_eq!(tags(text).ok(), Some(TagFilter::Any(list(any))), "{text}");
        }
        for (text, expected) in [
            ("", "cannot be null"),
            ("a,b/c", "invalid filter syntax"),
            ("a,,b", "invalid filter syntax"),
            (",", "invalid filter syntax"),
            (",a", "invalid filter syntax"),
            ("a\u{7f}", "invalid filter syntax"),
            ("\u{fffd}", "invalid filter syntax"),
            ("a,b,c,d,e,f", "cannot query more than 5 tags"),
        ] {
            match tags(text) {
                Err(ApiError::InvalidOption { why, .. }) => assert_eq!(why, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn queries() {
        let query = |text: &str| {
            let arguments = super::super::request::arguments(text).expect("arguments");
            page_query(&arguments)
        };
        let first = |text: &str| query(text).expect("a query").asked_tags;
        assert_eq!(first("tags=x&tags=y").as_deref(), Some("x"));
        assert_eq!(first("tags[]=x").as_deref(), Some("x"));
        assert_eq!(first("tagss=x"), None);
        let query_of = |text: &str| query(text).expect("a query");
        assert_eq!(suffix(&query_of("size=3&tags=a,b")), "&tags=a%2Cb&size=3");
        assert_eq!(query_of("sort_by=x&limit=1").size, DEFAULT_SIZE);
        assert_eq!(query_of("size=3&offset=WyJ4Il0&size=3").size, 3);
        for text in ["size=3&size=4", "size=3&size=3&size=4", "offset=a&offset=b"] {
            assert_eq!(query(text).map_err(|err| err.status()), Err(400), "{text}");
        }
    }

    #[test]
    fn pages() {
        let last = page("/services", vec![json!(1)], None, "&size=1");
        assert_eq!(last, json!({"data": [1], "next": null}));
        let first = page("/services", vec![], Some("a+b".into()), "&size=1");
        assert_eq!(first["offset"], "a+b");
        assert_eq!(first["next"], "/services?offset=a%2Bb&size=1");
    }
}
