//! An Admin API request, decoded: path segments, arguments, body.

use super::error::ApiError;
use crate::schema::form;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// The most fields of all objects in a JSON body. A thousand operations of a transaction have
/// fewer; what comes of a field is kept until the answer.
const MAX_FIELDS: usize = 200_000;
/// The bytes of `"":0,`.
const SHORTEST_FIELD: usize = 5;

/// A request body.
#[derive(Debug, PartialEq)]
pub enum Body {
    /// Nothing, or a method whose body is ignored.
    None,
    Json(Map<String, Value>),
    /// Form or multipart arguments, in order, percent-decoded; their types follow from the schema.
    Form(Vec<(String, String)>),
}

/// The segments of a raw path, percent-decoded; a trailing slash changes nothing.
/// `None` when a segment is empty or no text.
pub fn segments(raw_path: &str) -> Option<Vec<String>> {
    let path = raw_path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/')
        .map(|segment| {
            let text = percent_encoding::percent_decode_str(segment)
                .decode_utf8()
                .ok()?;
            (!text.is_empty()).then(|| text.into_owned())
        })
        .collect()
}

/// The arguments of a query string or a form, in order.
///
/// # Errors
/// More than 1000 of them.
pub fn arguments(text: &str) -> Result<Vec<(String, String)>, ApiError> {
    form::pairs(text).map_err(|err| ApiError::BadRequest(err.to_string()))
}

/// The body by its content type, which is compared as Kong does: case-sensitively, by prefix.
///
/// # Errors
/// 415 for another type, 400 for a body that is not of its type.
pub fn body(content_type: Option<&str>, bytes: &[u8]) -> Result<Body, ApiError> {
    match content_type {
        None if bytes.is_empty() => Ok(Body::None),
        Some(kind) if kind.starts_with("application/json") => json(bytes),
        Some(kind) if kind.starts_with("application/x-www-form-urlencoded") => {
            Ok(Body::Form(arguments(&String::from_utf8_lossy(bytes))?))
        }
        Some(kind) if kind.starts_with("multipart/form-data") => {
            super::multipart::parts(kind, bytes).map(Body::Form)
        }
        _ => Err(ApiError::UnsupportedMediaType),
    }
}

/// Whether a configuration of this type is YAML.
pub fn is_yaml(content_type: &str) -> bool {
    ["application/yaml", "text/yaml"]
        .iter()
        .any(|yaml| content_type.starts_with(yaml))
}

fn json(bytes: &[u8]) -> Result<Body, ApiError> {
    // A shorter body has no room for that many.
    if bytes.len() > MAX_FIELDS * SHORTEST_FIELD && has_too_many_fields(bytes) {
        let why = format!("more than {MAX_FIELDS} fields");
        return Err(ApiError::BadRequest(why));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(Body::Json(map)),
        // Kong answers 500 to JSON that is no object; an empty list is an empty object to it.
        Ok(Value::Array(list)) if list.is_empty() => Ok(Body::Json(Map::new())),
        _ => Err(ApiError::BadRequest("Cannot parse JSON body".into())),
    }
}

/// Whether a JSON text has too many fields. What is not JSON is left to the parser, which refuses it
/// later.
fn has_too_many_fields(bytes: &[u8]) -> bool {
    let left = Cell::new(MAX_FIELDS);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Fields(&left).deserialize(&mut reader);
    read.is_err() && left.get() == 0
}

/// Counts the fields of a value and of what is in it, and keeps nothing.
struct Fields<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Fields(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key::<IgnoredAny>()?.is_some() {
            let Some(left) = self.0.get().checked_sub(1) else {
                return Err(A::Error::custom("too many fields"));
            };
            self.0.set(left);
            entries.next_value_seed(Fields(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |raw: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|list| list.iter().map(|s| (*s).to_owned()).collect());
            assert_eq!(segments(raw), expected, "{raw}");
        };
        check("/", Some(&[]));
        check("/services/", Some(&["services"]));
        check("/services/%73%31", Some(&["services", "s1"]));
        check(
            "/consumers/with%2Fslash/key-auth",
            Some(&["consumers", "with/slash", "key-auth"]),
        );
        check("/services//s1", None);
        check("/services/%ff", None);
        check("services", None);
    }

    #[test]
    fn trial_27_fields_are_counted_before_they_are_kept() {
        let read = |count: usize| {
            let fields: String = (0..count).map(|at| format!("\"u{at}\":[{{}}],")).collect();
            let body = format!("{{{fields}\"host\":\"h\"}}");
            body_of_json(body.as_bytes())
        };
        assert_eq!(read(MAX_FIELDS - 1), Ok(MAX_FIELDS));
        assert_eq!(read(MAX_FIELDS), Err("more than 200000 fields".to_owned()));
        let deep = format!("{{\"a\":{}", "[".repeat(2_000_000));
        let refused = body_of_json(deep.as_bytes());
        assert_eq!(refused, Err("Cannot parse JSON body".to_owned()));
    }

    /// How many fields were read, or why none.
    fn body_of_json(bytes: &[u8]) -> Result<usize, String> {
        match body(Some("application/json"), bytes) {
            Ok(Body::Json(map)) => Ok(map.len()),
            Err(ApiError::BadRequest(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies() {
        let form = body(
            Some("application/x-www-form-urlencoded"),
            b"a=1&b.c=x+y%26&d",
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = vec![pair("a", "1"), pair("b.c", "x y&"), pair("d", "true")];
        assert_eq!(form.ok(), Some(Body::Form(expected)));
        assert_eq!(body(None, b"").ok(), Some(Body::None));
        let status = |content_type, bytes| body(content_type, bytes).map_err(|err| err.status());
        assert_eq!(status(None, b"{}"), Err(415));
        assert_eq!(status(Some("Application/JSON"), b"{}"), Err(415));
        assert_eq!(status(Some("application/json"), b""), Err(400));
        assert_eq!(status(Some("application/json"), b"[1]"), Err(400));
        assert_eq!(
            status(Some("application/json; charset=utf-8"), b"{}"),
            Ok(Body::Json(Map::new()))
        );
        let many = "a=1&".repeat(form::MAX_ARGUMENTS + 1);
        assert_eq!(arguments(&many).map_err(|err| err.status()), Err(400));
    }
}
