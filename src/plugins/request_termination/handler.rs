//! Terminates requests.

use super::config::Config;
use super::echo;
use crate::http::Reply;
use crate::plugins::runtime::config_of;
use crate::plugins::{Access, Build, BuildError, Context, Flow, Handler, HeaderName, NodeName};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;

const JSON: &str = "application/json; charset=utf-8";

/// How much of a request body an echo shows.
const BODY_LIMIT: usize = 64 * 1024;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    Ok(Arc::new(RequestTermination {
        answer: match config.echo {
            true => Answer::Echo {
                message: message_of(&config).map(str::to_owned),
                node: build.resources.node.clone(),
            },
            false => reply_of(&config).map_or(Answer::Status, Answer::Reply),
        },
        status: config.status_code,
        trigger: config.trigger,
    }))
}

struct RequestTermination {
    answer: Answer,
    status: u16,
    trigger: Option<HeaderName>,
}

enum Answer {
    /// What every terminated request gets, built once.
    Reply(Reply),
    /// Neither body nor message: what the gateway says to the status.
    Status,
    Echo {
        message: Option<String>,
        node: NodeName,
    },
}

impl Handler for RequestTermination {
    fn body_limit(&self) -> Option<usize> {
        matches!(self.answer, Answer::Echo { .. }).then_some(BODY_LIMIT)
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if let Some(trigger) = &self.trigger
            && !triggered(context, trigger)
        {
            return Flow::Continue.into();
        }
        let reply = match &self.answer {
            Answer::Status => return Flow::Status(self.status).into(),
            Answer::Reply(reply) => reply.clone(),
            Answer::Echo { message, node } => {
                let echo = echo::body(context, message.as_deref(), node);
                Reply {
                    close: is_interim(self.status),
                    ..Reply::new(self.status).with_body(JSON, echo)
                }
            }
        };
        Flow::Respond(reply).into()
    }
}

/// Clients go on waiting after such a status: the end of the connection tells them that
/// nothing follows.
fn is_interim(status: u16) -> bool {
    status < 200
}

/// Whether the request has a header or a query argument of this name, whatever its value.
fn triggered(context: &Context<'_>, name: &HeaderName) -> bool {
    let query = context.effective_query().unwrap_or_default();
    let mut arguments = crate::http::query::values(query, name.text().as_bytes());
    context.configured_header(name).is_some() || arguments.next().is_some()
}

/// `None` when there is nothing to say.
fn reply_of(config: &Config) -> Option<Reply> {
    let reply = Reply {
        close: is_interim(config.status_code),
        ..Reply::new(config.status_code)
    };
    if let Some(body) = &config.body {
        let reply = Reply {
            body: Bytes::from(body.clone()),
            ..reply
        };
        return Some(match &config.content_type {
            Some(content_type) => reply.with_header("Content-Type", content_type.clone()),
            None => reply,
        });
    }
    let message = message_of(config)?;
    Some(reply.with_body(JSON, json!({"message": message}).to_string()))
}

fn message_of(config: &Config) -> Option<&str> {
    let message = config.message.as_deref();
    message.or_else(|| default_message(config.status_code))
}

/// The message of a status when none is configured.
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
    use crate::plugins::Resources;
    use crate::plugins::runtime::testing::{Request, plugin};
    use serde_json::Value;

    const PLAIN: &str = "GET /d HTTP/1.1\r\nHost: a:1\r\n";

    /// `None` when the request goes on, else status, content type and body.
    fn run(config: Value, request: &str) -> Option<(u16, Option<String>, String)> {
        run_with(config, &mut Request::new(request))
    }

    fn run_with(config: Value, request: &mut Request) -> Option<(u16, Option<String>, String)> {
        let node = NodeName {
            id: uuid::Uuid::from_u128(7),
            hostname: "vm".into(),
        };
        let handler = build(&Build {
            plugin: &plugin("request-termination", config),
            resources: &Resources::named(node),
        })
        .expect("builds");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match request.access(&*handler) {
            Flow::Continue => None,
            Flow::Status(status) => Some((status, None, "its own".to_owned())),
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
        // The gateway knows what belongs to the status.
        check(json!({"status_code": 204}), 204, None, "its own");
        check(json!({"status_code": 599}), 599, None, "its own");
    }

    #[test]
    fn beside_06_a_trigger_with_underscores_finds_hyphens() {
        let check = |trigger: &str, request: &str, terminated: bool| {
            let config = json!({"trigger": trigger});
            assert_eq!(
                run(config, request).is_some(),
                terminated,
                "{trigger} {request}"
            );
        };
        check("x_t", "GET / HTTP/1.1\r\nX-T: 1\r\n", true);
        check("x_t", "GET / HTTP/1.1\r\nX_T: 1\r\n", true);
        check("x_t", "GET /?x-t HTTP/1.1\r\n", false);
        check("x_t", "GET /?x_t HTTP/1.1\r\n", true);
        check("x-t", "GET / HTTP/1.1\r\nx_t: 1\r\n", false);
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

    /// The echo of a request with this content type and body.
    fn echo(config: Value, head: &str, body: Option<&str>) -> Value {
        let mut request = Request::new(head);
        request.body = body.map(|body| body.as_bytes().to_vec());
        let (_, content_type, body) = run_with(config, &mut request).expect("terminated");
        assert_eq!(content_type.as_deref(), Some(JSON));
        serde_json::from_str(&body).expect("json")
    }

    #[test]
    fn trial_12_an_echo_tells_all_that_was_seen() {
        let head = "POST /e/../x?y=1&y=2&z HTTP/1.1\r\nHost: A.:1\r\nX-A: 1\r\nx-a: 2\r\n";
        let body = echo(json!({"echo": true}), head, Some("text"));
        let expected = json!({
            "message": "Service unavailable",
            "request": {
                "scheme": "http", "host": "a", "port": 8000, "method": "POST", "path": "/normal",
                "query": {"y": ["1", "2"], "z": true},
                "headers": {"host": "A.:1", "x-a": ["1", "2"]},
                "raw_body": "text",
                "uri_captures": {"unnamed": ["x", "y"], "named": {"b": "y"}},
            },
            "matched_route": {"name": "r"},
            "matched_service": {"name": "s"},
            "kong": {
                "node_id": "00000000-0000-0000-0000-000000000007",
                "worker_pid": std::process::id(),
                "hostname": "vm",
            },
        });
        assert_eq!(body, expected);
        // Only a message that there is.
        let config = json!({"echo": true, "status_code": 418});
        assert_eq!(echo(config, PLAIN, None).get("message"), None);
        let config = json!({"echo": true, "status_code": 418, "message": "m"});
        assert_eq!(echo(config, PLAIN, None)["message"], "m");
    }

    #[test]
    fn trial_12_an_echo_shows_the_body() {
        let check = |content_type: &str, text: Option<&str>, raw: Value, parsed: Option<Value>| {
            let head = format!("POST / HTTP/1.1\r\nContent-Type: {content_type}\r\n");
            let echo = echo(json!({"echo": true}), &head, text);
            let request = echo["request"].as_object().expect("an object");
            assert_eq!(
                request.get("raw_body").cloned(),
                Some(raw).filter(|raw| !raw.is_null())
            );
            assert_eq!(
                request.get("body"),
                parsed.as_ref(),
                "{content_type} {text:?}"
            );
        };
        let json = "application/json; charset=utf-8";
        check(
            json,
            Some("{\"q\":1}"),
            json!("{\"q\":1}"),
            Some(json!({"q": 1})),
        );
        check(json, Some("{"), json!("{"), None);
        let form = "application/x-www-form-urlencoded";
        let parsed = json!({"a": ["1", true], "b": ""});
        check(form, Some("a=1&a&b="), json!("a=1&a&b="), Some(parsed));
        check("text/plain", Some("x"), json!("x"), None);
        check("text/plain", Some(""), json!(""), None);
        // Longer than the gateway looks at.
        check("text/plain", None, json!(null), None);
    }
}
