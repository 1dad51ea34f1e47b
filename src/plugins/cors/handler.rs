//! Answers preflight requests, and marks all other responses.

use super::config::Config;
use super::origins::{BadPattern, Origins};
use crate::http::Reply;
use crate::plugins::runtime::config_of;
use crate::plugins::{Access, Build, BuildError, Context, Flow, Handler};
use bytes::Bytes;
use std::sync::Arc;

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EVERY_METHOD: &str = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let origins = config.origins.unwrap_or_default();
    if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
        tracing::warn!(
            plugin = %build.plugin.id,
            "cors: '*' in origins has no effect beside other origins"
        );
    }
    let failed = |BadPattern(reason)| BuildError::Config {
        name: build.plugin.name.clone(),
        reason: format!("origins: {reason}"),
    };
    let list = |texts: &Vec<String>| texts.join(",");
    let non_empty = |texts: Option<Vec<String>>| texts.filter(|texts| !texts.is_empty());
    Ok(Arc::new(Cors {
        origins: Origins::new(&origins).map_err(failed)?,
        headers: non_empty(config.headers).as_ref().map(list),
        exposed_headers: non_empty(config.exposed_headers).as_ref().map(list),
        methods: config
            .methods
            .as_ref()
            .map_or(EVERY_METHOD.to_owned(), list),
        max_age: config.max_age.map(|age| age.to_string()),
        credentials: config.credentials,
        private_network: config.private_network,
        preflight_continue: config.preflight_continue,
    }))
}

struct Cors {
    origins: Origins,
    headers: Option<String>,
    exposed_headers: Option<String>,
    methods: String,
    max_age: Option<String>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
}

/// Kept of a preflight request: its answer is complete, or the upstream's.
struct Preflight;

/// What a response says of origins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Which origin may read it; `None`: not this one.
    origin: Option<Bytes>,
    /// It depends on who asks, or may change for others.
    varies: bool,
    credentials: bool,
}

impl Handler for Cors {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if !is_preflight(context) {
            return Flow::Continue.into();
        }
        context.state.put(Preflight);
        match self.preflight_continue {
            true => Flow::Continue.into(),
            false => Flow::Respond(self.preflight(context)).into(),
        }
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        if context.state.get::<Preflight>().is_some() {
            return;
        }
        let verdict = self.verdict(context);
        let edits = &mut *context.response_edits;
        if verdict.varies {
            // Beside what the upstream says of it.
            edits.add("vary", "Origin");
        }
        match &verdict.origin {
            Some(origin) => edits.set(ALLOW_ORIGIN, origin),
            None => edits.remove(ALLOW_ORIGIN),
        }
        if verdict.credentials {
            edits.set(ALLOW_CREDENTIALS, "true");
        }
        if let Some(exposed) = &self.exposed_headers {
            edits.set("Access-Control-Expose-Headers", exposed);
        }
    }
}

/// A browser asks whether it may send a request.
fn is_preflight(context: &Context<'_>) -> bool {
    context.head.method() == b"OPTIONS"
        && context.request_header("origin").is_some()
        && context
            .request_header("access-control-request-method")
            .is_some()
}

impl Cors {
    fn preflight(&self, context: &Context<'_>) -> Reply {
        let verdict = self.verdict(context);
        let mut reply = Reply::new(200);
        let mut add = |name: &str, value: Bytes| reply.headers.push((name.into(), value));
        if verdict.varies {
            add("vary", Bytes::from_static(b"Origin"));
        }
        if let Some(origin) = verdict.origin {
            add(ALLOW_ORIGIN, origin);
        }
        if verdict.credentials {
            add(ALLOW_CREDENTIALS, Bytes::from_static(b"true"));
        }
        let asked = context.request_header("access-control-request-headers");
        let headers = match &self.headers {
            Some(headers) => Some(headers.as_bytes()),
            None => asked,
        };
        if let Some(headers) = headers {
            let headers = Bytes::copy_from_slice(headers);
            add("Access-Control-Allow-Headers", headers);
        }
        let methods = Bytes::from(self.methods.clone());
        add("Access-Control-Allow-Methods", methods);
        if let Some(max_age) = &self.max_age {
            let max_age = Bytes::from(max_age.clone());
            add("Access-Control-Max-Age", max_age);
        }
        let private = context.request_header("access-control-request-private-network");
        if self.private_network && private == Some(b"true") {
            let name = "Access-Control-Allow-Private-Network";
            add(name, Bytes::from_static(b"true"));
        }
        reply
    }

    fn verdict(&self, context: &Context<'_>) -> Verdict {
        let asking = context.request_header("origin");
        let asking = asking.filter(|asking| !asking.is_empty());
        match &self.origins {
            // Browsers take no star for requests with credentials.
            Origins::Any => match asking.filter(|_| self.credentials) {
                Some(asking) => Verdict {
                    origin: Some(Bytes::copy_from_slice(asking)),
                    varies: true,
                    credentials: true,
                },
                None => Verdict {
                    origin: Some(Bytes::from_static(b"*")),
                    ..Verdict::default()
                },
            },
            Origins::One(one) => Verdict {
                origin: Some(Bytes::copy_from_slice(one.as_bytes())),
                varies: true,
                credentials: self.credentials,
            },
            Origins::Listed(entries) => Verdict {
                origin: asking
                    .and_then(|asking| Origins::allowed(entries, asking))
                    .map(Bytes::from),
                varies: true,
                credentials: self.credentials,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plugins::Flow;
    use crate::plugins::runtime::testing::{Request, built};
    use serde_json::{Value, json};

    const PREFLIGHT: &str =
        "OPTIONS / HTTP/1.1\r\nOrigin: http://a.com\r\nAccess-Control-Request-Method: PUT\r\n";

    /// Status and headers of the answer; `None` when the request goes on.
    fn access(config: &Value, request: &mut Request) -> Option<(u16, Vec<String>)> {
        match request.access(&*built("cors", config.clone())) {
            Flow::Continue => None,
            Flow::Respond(reply) => {
                let lines = reply
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
                Some((reply.status, lines.collect()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_preflight_request_is_answered() {
        let check = |config: Value, more: &str, expected: &[&str]| {
            let mut request = Request::new(&format!("{PREFLIGHT}{more}"));
            let (status, lines) = access(&config, &mut request).expect("an answer");
            assert_eq!(status, 200);
            assert_eq!(lines, expected, "{config} {more}");
            // Its answer is complete.
            request.header_filter(&*built("cors", config));
            assert_eq!(request.response_headers(), [""; 0]);
        };
        let every = "Access-Control-Allow-Methods: \
                     GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";
        check(json!({}), "", &["Access-Control-Allow-Origin: *", every]);
        check(
            json!({"max_age": 0, "private_network": true}),
            "Access-Control-Request-Private-Network: true\r\n\
             Access-Control-Request-Headers: X-A, x-b\r\n",
            &[
                "Access-Control-Allow-Origin: *",
                "Access-Control-Allow-Headers: X-A, x-b",
                every,
                "Access-Control-Max-Age: 0",
                "Access-Control-Allow-Private-Network: true",
            ],
        );
        check(
            json!({"origins": ["http://b.com", "http://a.com"], "headers": ["X-C", "X-D"],
                   "methods": ["GET", "POST"], "credentials": true, "exposed_headers": ["X-E"]}),
            "Access-Control-Request-Headers: X-A\r\n",
            &[
                "vary: Origin",
                "Access-Control-Allow-Origin: http://a.com",
                "Access-Control-Allow-Credentials: true",
                "Access-Control-Allow-Headers: X-C,X-D",
                "Access-Control-Allow-Methods: GET,POST",
            ],
        );
        check(
            json!({"origins": ["http://b.com", "http://c.com"]}),
            "",
            &["vary: Origin", every],
        );
    }

    #[test]
    fn other_requests_go_on() {
        for text in [
            "GET / HTTP/1.1\r\nOrigin: http://a.com\r\nAccess-Control-Request-Method: PUT\r\n",
            "OPTIONS / HTTP/1.1\r\nOrigin: http://a.com\r\n",
            "OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Method: PUT\r\n",
        ] {
            assert_eq!(access(&json!({}), &mut Request::new(text)), None, "{text}");
        }
    }

    #[test]
    fn an_upstream_that_answers_preflight_requests_is_left_alone() {
        let config = json!({"preflight_continue": true});
        let mut request = Request::new(PREFLIGHT);
        assert_eq!(access(&config, &mut request), None);
        request.header_filter(&*built("cors", config));
        assert_eq!(request.response_headers(), [""; 0]);
    }

    #[test]
    fn responses_name_who_may_read_them() {
        let check = |config: Value, origin: &str, expected: &[&str]| {
            let mut request = Request::new(&format!("GET / HTTP/1.1\r\n{origin}"));
            request.header_filter(&*built("cors", config.clone()));
            assert_eq!(request.response_headers(), expected, "{config} {origin}");
        };
        let a = "Origin: http://a.com:80\r\n";
        check(json!({}), a, &["Access-Control-Allow-Origin: *"]);
        let star = json!({"origins": ["*"], "credentials": true});
        check(
            star.clone(),
            a,
            &[
                "vary: Origin",
                "Access-Control-Allow-Origin: http://a.com:80",
                "Access-Control-Allow-Credentials: true",
            ],
        );
        check(star, "", &["Access-Control-Allow-Origin: *"]);
        check(
            json!({"origins": ["http://b.com"], "exposed_headers": ["X-E", "X-F"]}),
            a,
            &[
                "vary: Origin",
                "Access-Control-Allow-Origin: http://b.com",
                "Access-Control-Expose-Headers: X-E,X-F",
            ],
        );
        let two = json!({"origins": ["http://a.com", "http://b.com"]});
        check(
            two.clone(),
            a,
            &["vary: Origin", "Access-Control-Allow-Origin: http://a.com"],
        );
        check(two.clone(), "Origin: http://c.com\r\n", &["vary: Origin"]);
        check(two, "", &["vary: Origin"]);
    }
}
