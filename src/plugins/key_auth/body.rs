//! Fields of a request body: form-encoded or a JSON object. Other bodies have none.

use crate::http::query;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A body as far as keys are looked for in it.
pub enum Body<'a> {
    Form(Cow<'a, [u8]>),
    Json(Map<String, Value>),
}

/// What a body has under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Field {
    Missing,
    One(String),
    Several,
}

impl<'a> Body<'a> {
    /// `None` for content types without fields and for JSON that is no object.
    pub fn read(content_type: &[u8], body: &'a [u8]) -> Option<Body<'a>> {
        let media = content_type.split(|byte| *byte == b';').next()?;
        let media = media.trim_ascii();
        if media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Some(Body::Form(Cow::Borrowed(body)));
        }
        if media.eq_ignore_ascii_case(b"application/json") {
            return serde_json::from_slice(body).ok().map(Body::Json);
        }
        None
    }

    pub fn field(&self, name: &str) -> Field {
        match self {
            Body::Form(form) => {
                let mut values = query::values(form, name.as_bytes());
                match (values.next(), values.next()) {
                    (None | Some(None), None) => Field::Missing,
                    (Some(Some(value)), None) => {
                        Field::One(String::from_utf8_lossy(&value).into_owned())
                    }
                    (_, Some(_)) => Field::Several,
                }
            }
            Body::Json(object) => match object.get(name) {
                Some(Value::String(value)) => Field::One(value.clone()),
                Some(Value::Array(_) | Value::Object(_)) => Field::Several,
                _ => Field::Missing,
            },
        }
    }

    /// Removes a field; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        match self {
            Body::Form(form) => {
                let rest = query::without(form, name.as_bytes());
                let removed = rest.len() != form.len();
                if removed {
                    *form = Cow::Owned(rest);
                }
                removed
            }
            Body::Json(object) => object.shift_remove(name).is_some(),
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Body::Form(form) => form.into_owned(),
            Body::Json(object) => Value::Object(object).to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_03_a_field_without_a_value_counts() {
        let field = |content_type: &str, text: &str| {
            let body = Body::read(content_type.as_bytes(), text.as_bytes());
            body.expect("fields").field("key")
        };
        let form = "application/x-www-form-urlencoded";
        for text in ["key=1&key", "key&key=1", "key&key", "key=&key=1"] {
            assert_eq!(field(form, text), Field::Several, "{text}");
        }
        let json = "application/json";
        for text in ["true", "1", "null"] {
            let text = format!(r#"{{"key":{text}}}"#);
            assert_eq!(field(json, &text), Field::Missing, "{text}");
        }
    }

    #[test]
    fn fields_are_found_and_removed() {
        let check = |content_type: &str, text: &str, field: Field, rest: Option<&str>| {
            let body = Body::read(content_type.as_bytes(), text.as_bytes());
            let Some(mut body) = body else {
                assert_eq!((field, rest), (Field::Missing, None), "{text}");
                return;
            };
            assert_eq!(body.field("key"), field, "{text}");
            let removed = body.remove("key");
            let bytes = body.into_bytes();
            let left = removed.then(|| String::from_utf8_lossy(&bytes).into_owned());
            assert_eq!(left.as_deref(), rest, "{text}");
        };
        let one = |key: &str| Field::One(key.to_owned());
        let form = "application/x-www-form-urlencoded";
        check(form, "key=k1&a=b", one("k1"), Some("a=b"));
        check(form, "a=b", Field::Missing, None);
        check(form, "key=1&key=2", Field::Several, Some(""));
        check(form, "key", Field::Missing, Some(""));
        let json = "Application/JSON; charset=utf-8";
        check(json, r#"{"key":"k1","a":1}"#, one("k1"), Some(r#"{"a":1}"#));
        check(json, r#"{"a":1}"#, Field::Missing, None);
        check(json, r#"{"key":["k"]}"#, Field::Several, Some("{}"));
        check(json, "[1]", Field::Missing, None);
        check(json, "{", Field::Missing, None);
        check("text/plain", "key=k1", Field::Missing, None);
    }
}
