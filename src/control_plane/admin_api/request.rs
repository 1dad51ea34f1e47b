//! An Admin API request, decoded: path segments, arguments, body.

use super::error::ApiError;
use crate::schema::form;
use serde_json::{Map, Value};

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
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(Body::Json(map)),
        // Kong answers 500 to JSON that is no object; an empty list is an empty object to it.
        Ok(Value::Array(list)) if list.is_empty() => Ok(Body::Json(Map::new())),
        _ => Err(ApiError::BadRequest("Cannot parse JSON body".into())),
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
