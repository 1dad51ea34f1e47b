//! Terminates requests.

use super::config::Config;
use super::echo;
use crate::http::Reply;
use crate::model::Plugin;
use crate::plugins::factory::config_of;
use crate::plugins::{Access, BuildError, Context, Flow, Handler};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;

const JSON: &str = "application/json; charset=utf-8";

pub(in crate::plugins) fn build(plugin: &Plugin) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(plugin)?;
    Ok(Arc::new(RequestTermination {
        reply: reply_of(&config),
        trigger: config.trigger,
        echo: config.echo,
    }))
}

struct RequestTermination {
    /// What every terminated request gets, built once.
    reply: Reply,
    trigger: Option<String>,
    echo: bool,
}

impl Handler for RequestTermination {
    fn priority(&self) -> i32 {
        super::PRIORITY
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if let Some(trigger) = &self.trigger
            && !triggered(context, trigger)
        {
            return Flow::Continue.into();
        }
        let reply = match self.echo {
            true => Reply::new(self.reply.status).with_body(JSON, echo::body(context)),
            false => self.reply.clone(),
        };
        Flow::Respond(reply).into()
    }
}

/// Whether the request has a header or a query argument of this name, whatever its value.
fn triggered(context: &Context<'_>, name: &str) -> bool {
    let query = context.effective_query().unwrap_or_default();
    context.request_header(name).is_some()
        || crate::http::query::arguments(query).any(|arg| *arg.name() == *name.as_bytes())
}

fn reply_of(config: &Config) -> Reply {
    let reply = Reply::new(config.status_code);
    if let Some(body) = &config.body {
        let reply = Reply {
            body: Bytes::from(body.clone()),
            ..reply
        };
        return match &config.content_type {
            Some(content_type) => reply.with_header("Content-Type", content_type.clone()),
            None => reply,
        };
    }
    let message = config.message.as_deref();
    match message.or_else(|| default_message(config.status_code)) {
        Some(message) => reply.with_body(JSON, json!({"message": message}).to_string()),
        None => reply,
    }
}

/// The message of a status when none is configured; others have no body.
fn default_message(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{Request, plugin};
    use serde_json::Value;

    const PLAIN: &str = "GET /d HTTP/1.1\r\nHost: a:1\r\n";

    /// `None` when the request goes on, else status, content type and body.
    fn run(config: Value, request: &str) -> Option<(u16, Option<String>, String)> {
        let handler = build(&plugin("request-termination", config)).expect("builds");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match Request::new(request).access(&*handler) {
            Flow::Continue => None,
            Flow::Respond(reply) => Some((
                reply.status,
                reply.header("content-type").map(text),
                text(&reply.body),
            )),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_as_configured() {
        let check = |config: Value, status: u16, content_type: Option<&str>, body: &str| {
            let expected = Some((status, content_type.map(str::to_owned), body.to_owned()));
            assert_eq!(run(config.clone(), PLAIN), expected, "{config}");
        };
        check(
            json!({}),
            503,
            Some(JSON),
            r#"{"message":"Service unavailable"}"#,
        );
        check(
            json!({"status_code": 403, "message": "no \"way\""}),
            403,
            Some(JSON),
            r#"{"message":"no \"way\""}"#,
        );
        check(
            json!({"status_code": 404}),
            404,
            Some(JSON),
            r#"{"message":"Not found"}"#,
        );
        check(
            json!({"status_code": 200, "body": "<h1>x</h1>", "content_type": "text/html"}),
            200,
            Some("text/html"),
            "<h1>x</h1>",
        );
        check(json!({"status_code": 200, "body": "{}"}), 200, None, "{}");
        check(json!({"status_code": 204}), 204, None, "");
        check(json!({"status_code": 599}), 599, None, "");
    }

    #[test]
    fn a_trigger_chooses_requests() {
        let check = |request: &str, terminated: bool| {
            let config = json!({"trigger": "x-trig"});
            assert_eq!(run(config, request).is_some(), terminated, "{request}");
        };
        check(PLAIN, false);
        check("GET /?x-trig=1 HTTP/1.1\r\n", true);
        check("GET /?a&x-trig HTTP/1.1\r\n", true);
        check("GET /?x%2Dtrig=1 HTTP/1.1\r\n", true);
        check("GET /?X-Trig=1 HTTP/1.1\r\n", false);
        check("GET / HTTP/1.1\r\nX-Trig: \r\n", true);
    }

    #[test]
    fn an_echo_tells_what_was_seen() {
        let request = "POST /e/x?y=1&y=2&z HTTP/1.1\r\nHost: a:1\r\nX-A: 1\r\nx-a: 2\r\n";
        let (status, content_type, body) =
            run(json!({"echo": true, "status_code": 418}), request).expect("terminated");
        assert_eq!((status, content_type.as_deref()), (418, Some(JSON)));
        let body: Value = serde_json::from_str(&body).expect("json");
        assert_eq!(
            body["request"],
            json!({
                "scheme": "http", "host": "a", "port": 8000, "method": "POST", "path": "/e/x",
                "query": {"y": ["1", "2"], "z": true},
                "headers": {"host": "a:1", "x-a": ["1", "2"]},
            })
        );
        assert_eq!(body["matched_route"]["name"], "r");
        assert_eq!(body["matched_service"]["name"], "s");
    }
}
