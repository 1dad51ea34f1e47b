//! Changes responses.

use super::config::Config;
use super::headers::HeaderChanges;
use super::json::JsonChanges;
use crate::plugins::runtime::config_of;
use crate::plugins::{BodyUse, Build, BuildError, Chunk, Context, Handler};
use bytes::Bytes;
use std::sync::Arc;

/// The largest body that is collected, in bytes. What a larger one says must not pass unchanged: it
/// may be what had to be removed.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let (json, without_effect) = JsonChanges::new(&config);
    if !without_effect.is_empty() {
        tracing::warn!(
            plugin = %build.plugin.id,
            items = without_effect.join(", "),
            "response-transformer: values that are not of their type have no effect"
        );
    }
    Ok(Arc::new(ResponseTransformer {
        headers: HeaderChanges::new(&config),
        json,
        limit: BODY_LIMIT,
    }))
}

struct ResponseTransformer {
    headers: HeaderChanges,
    json: JsonChanges,
    limit: usize,
}

/// The pieces of a JSON body so far.
#[derive(Default)]
struct Collected(Vec<u8>);

impl Handler for ResponseTransformer {
    fn header_filter(&self, context: &mut Context<'_>) {
        self.headers.apply(context);
        let content_type = context.response_header("content-type");
        if !self.json.is_empty() && content_type.is_some_and(is_json) {
            context.state.put(Collected::default());
        }
    }

    fn body_use(&self, context: &mut Context<'_>) -> BodyUse {
        let changes = context.state.get::<Collected>().is_some();
        // A body whose length is hidden goes out piece by piece, as one that changes does.
        match changes || self.headers.hides_length() {
            true => BodyUse::Transform,
            false => BodyUse::None,
        }
    }

    fn body_filter(&self, context: &mut Context<'_>, chunk: &mut Chunk) -> bool {
        let request_id = context.request_id;
        let Some(Collected(body)) = context.state.get() else {
            return true;
        };
        if body.len() + chunk.data.len() > self.limit {
            let limit = self.limit;
            tracing::error!(
                request_id,
                limit,
                "response-transformer: a JSON body is too large to be transformed"
            );
            return false;
        }
        // Often the whole body is one piece.
        let whole = match body.is_empty() && chunk.last {
            true => std::mem::take(&mut chunk.data),
            false => {
                body.extend_from_slice(&chunk.data);
                chunk.data = Bytes::new();
                if !chunk.last {
                    return true;
                }
                Bytes::from(std::mem::take(body))
            }
        };
        chunk.data = match self.json.apply(&whole) {
            Some(changed) => Bytes::from(changed),
            None => whole,
        };
        true
    }
}

/// Whether a content type is JSON's, with whatever parameters.
fn is_json(content_type: &[u8]) -> bool {
    let json = b"application/json";
    content_type
        .windows(json.len())
        .any(|part| part.eq_ignore_ascii_case(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::runtime::testing::{Request, built};
    use serde_json::{Value, json};

    fn response(lines: &[(&str, &str)]) -> Request {
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        for (name, value) in lines {
            request.response_edits.add(name, value);
        }
        request
    }

    #[test]
    fn headers_are_changed() {
        let check = |config: Value, given: &[(&str, &str)], expected: &[&str]| {
            let mut request = response(given);
            let handler = built("response-transformer", config.clone());
            request.header_filter(&*handler);
            assert_eq!(request.response_headers(), expected, "{config}");
        };
        let given = &[("X-A", "1"), ("X-B", "2"), ("X-A", "3")][..];
        check(json!({"remove": {"headers": ["x-a"]}}), given, &["X-B: 2"]);
        check(
            json!({"rename": {"headers": ["x-a:X-C", "x-none:X-D"]}}),
            given,
            &["X-B: 2", "X-C: 1", "X-C: 3"],
        );
        check(
            json!({"replace": {"headers": ["x-a:v", "x-none:v"]}}),
            given,
            &["X-B: 2", "x-a: v"],
        );
        check(
            json!({"add": {"headers": ["x-a:v", "x-new:a: b"]}}),
            given,
            &["X-A: 1", "X-B: 2", "X-A: 3", "x-new: a: b"],
        );
        check(
            json!({"append": {"headers": ["x-b:v"]}}),
            given,
            &["X-A: 1", "X-B: 2", "X-A: 3", "x-b: v"],
        );
    }

    /// What becomes of a body that comes in these pieces.
    fn body(config: Value, content_type: &str, pieces: &[&str]) -> (BodyUse, String) {
        let mut request = response(&[("Content-Type", content_type)]);
        let handler = built("response-transformer", config);
        request.header_filter(&*handler);
        let body_use = request.body_use(&*handler);
        if body_use == BodyUse::None {
            return (body_use, pieces.concat());
        }
        let sent = request.body_filter(&*handler, pieces).expect("not ended");
        (body_use, String::from_utf8(sent).expect("text"))
    }

    #[test]
    fn a_json_body_is_changed_when_it_is_complete() {
        let config = json!({"add": {"json": ["n:1"]}});
        let check = |content_type: &str, pieces: &[&str], expected: (BodyUse, &str)| {
            let (body_use, sent) = body(config.clone(), content_type, pieces);
            assert_eq!(
                (body_use, sent.as_str()),
                expected,
                "{content_type} {pieces:?}"
            );
        };
        let changed = (BodyUse::Transform, r#"{"a":1,"n":"1"}"#);
        check("application/json", &[r#"{"a":1}"#], changed);
        check("application/json", &[r#"{"a":"#, "1}"], changed);
        check(
            "Application/JSON; charset=utf-8",
            &[r#"{"a":1}"#, ""],
            changed,
        );
        check("application/json", &["[1]"], (BodyUse::Transform, "[1]"));
        check(
            "application/json",
            &["{", "bad"],
            (BodyUse::Transform, "{bad"),
        );
        check("application/json", &[""], (BodyUse::Transform, ""));
        check("text/plain", &["{}"], (BodyUse::None, "{}"));
    }

    #[test]
    fn a_body_without_its_length_passes_as_it_is() {
        let config = json!({"remove": {"headers": ["Content-Length"]}});
        let (body_use, sent) = body(config, "text/plain", &["a", "b"]);
        assert_eq!((body_use, sent.as_str()), (BodyUse::Transform, "ab"));
    }

    #[test]
    fn a_body_that_is_too_large_is_not_sent_unchanged() {
        let config = serde_json::from_value(json!({"remove": {"json": ["a"]}})).expect("valid");
        let handler = ResponseTransformer {
            headers: HeaderChanges::new(&config),
            json: JsonChanges::new(&config).0,
            limit: 8,
        };
        let mut request = response(&[("Content-Type", "application/json")]);
        request.header_filter(&handler);
        assert_eq!(request.body_filter(&handler, &[r#"{"a":"#, "12345}"]), None);
    }
}
