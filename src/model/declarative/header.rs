//! What a document says about itself.

use super::collect::take_comments;
use crate::schema;
use serde_json::{Map, Value};

/// The versions of the format that are read. It has not changed since 3.0.
const VERSIONS: [&str; 3] = ["1.1", "2.1", "3.0"];

/// The keys beside the lists of entities.
pub(super) struct Header {
    /// Written before 3.0: paths of routes say by their characters alone whether they are
    /// regular expressions.
    pub before_3_0: bool,
    /// Secrets stand in the document as users write them, not as they are stored.
    pub transform: bool,
}

/// Takes the header out of the document. Beside it, what is wrong with it.
pub(super) fn take(root: &mut Map<String, Value>) -> (Header, Map<String, Value>) {
    let mut wrong = take_comments(root);
    let mut refuse = |name: &str, text: String| {
        wrong.insert(name.to_owned(), Value::String(text));
    };
    let mut header = Header {
        before_3_0: false,
        transform: true,
    };
    match root.shift_remove("_format_version") {
        None | Some(Value::Null) => refuse("_format_version", "required field missing".to_owned()),
        Some(Value::String(version)) if VERSIONS.contains(&&*version) => {
            header.before_3_0 = version != "3.0";
        }
        Some(Value::String(_)) => refuse(
            "_format_version",
            format!("expected one of: {}", VERSIONS.join(", ")),
        ),
        Some(_) => refuse("_format_version", "expected a string".to_owned()),
    }
    match root.shift_remove("_transform") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(transform)) => header.transform = transform,
        Some(_) => refuse("_transform", "expected a boolean".to_owned()),
    }
    (header, wrong)
}

/// Brings the paths of a route from before 3.0 to the notation since.
pub(super) fn migrate_paths(route: &mut Map<String, Value>) {
    let Some(Value::Array(paths)) = route.get_mut("paths") else {
        return;
    };
    for path in paths {
        if let Value::String(path) = path {
            *path = schema::migrate_old_path(path).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers() {
        let check = |root: Value, expected: Value| {
            let mut root = root.as_object().cloned().unwrap_or_default();
            let (header, wrong) = take(&mut root);
            assert!(root.is_empty());
            let found = json!({
                "old": header.before_3_0,
                "transform": header.transform,
                "wrong": wrong,
            });
            assert_eq!(found, expected);
        };
        let ok = |old, transform| json!({"old": old, "transform": transform, "wrong": {}});
        check(json!({"_format_version": "3.0"}), ok(false, true));
        check(json!({"_format_version": "1.1"}), ok(true, true));
        check(
            json!({"_format_version": "2.1", "_transform": false, "_comment": "c", "_ignore": [1]}),
            ok(true, false),
        );
        let wrong = |wrong: Value| json!({"old": false, "transform": true, "wrong": wrong});
        check(
            json!({}),
            wrong(json!({"_format_version": "required field missing"})),
        );
        check(
            json!({"_format_version": "9.9"}),
            wrong(json!({"_format_version": "expected one of: 1.1, 2.1, 3.0"})),
        );
        check(
            json!({"_format_version": 3.0, "_transform": "x", "_comment": 1, "_ignore": "x"}),
            wrong(json!({
                "_format_version": "expected a string",
                "_transform": "expected a boolean",
                "_comment": "expected a string",
                "_ignore": "expected an array",
            })),
        );
    }
}
