//! Gives a request an id unless the client gave one.

use super::config::{Config, Generator};
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Access, Build, BuildError, Context, Flow, Handler, LogFieldMode, LogFields, RequestLog,
};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// The prefix and the counter of `uuid#counter`. They belong to the process, as in Kong to
/// the worker: a changed configuration goes on counting.
static PREFIX: LazyLock<Uuid> = LazyLock::new(random_uuid);
static COUNTER: AtomicU64 = AtomicU64::new(0);

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let name = &config.header_name;
    // Kong takes any text here, so a configuration that has one must go on working.
    if !name.is_legal() {
        tracing::warn!(
            plugin = %build.plugin.id,
            header_name = name.text(),
            sent = name.as_str(),
            "correlation-id: header_name is no header name, it is sent percent-encoded"
        );
    }
    Ok(Arc::new(CorrelationId { config }))
}

struct CorrelationId {
    config: Config,
}

impl Handler for CorrelationId {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if !self.echo_given(context) {
            let id = self.new_id(context);
            let name = &self.config.header_name;
            context.request_edits.set(name.as_str(), id.as_bytes());
            self.echo(context, id.as_bytes());
        }
        Flow::Continue.into()
    }

    /// The client is told the id that the access phase found or made, even when a plugin has
    /// hidden it from the upstream since. Where there was no access phase, because the request
    /// was refused or has no route, an id is made now.
    fn header_filter(&self, context: &mut Context<'_>) {
        let name = self.config.header_name.on_response();
        if !self.config.echo_downstream || context.response_edits.sets(name.as_bytes()) {
            return;
        }
        if !self.echo_given(context) {
            let id = self.new_id(context);
            self.echo(context, id.as_bytes());
        }
    }

    /// The records of log plugins, which come after this one, tell the id.
    fn log(&self, context: &mut Context<'_>, _: &RequestLog<'_>) {
        let id = self.given(context);
        let id = id.map(|id| String::from_utf8_lossy(id).into_owned());
        if let Some(id) = id {
            let (shared, mode) = (&mut *context.shared, LogFieldMode::Set);
            LogFields::add(shared, "correlation_id", Some(id.into()), mode);
        }
    }
}

impl CorrelationId {
    /// The id of the request, if it has one.
    fn given<'c>(&'c self, context: &'c Context<'_>) -> Option<&'c [u8]> {
        let given = context.configured_header(&self.config.header_name);
        given.filter(|id| !id.is_empty())
    }

    /// Says whether the client gave an id, and echoes it.
    fn echo_given(&self, context: &mut Context<'_>) -> bool {
        let name = &self.config.header_name;
        let (head, edits) = (&context.head.headers, &*context.request_edits);
        let by = |name| edits.get(head, name);
        let given = match (by(name.as_str()), name.hyphenated()) {
            (None, Some(hyphenated)) => by(hyphenated),
            (found, _) => found,
        };
        let Some(id) = given.filter(|id| !id.is_empty()) else {
            return false;
        };
        if self.config.echo_downstream {
            context.response_edits.set(name.on_response(), id);
        }
        true
    }

    fn echo(&self, context: &mut Context<'_>, id: &[u8]) {
        if self.config.echo_downstream {
            let name = self.config.header_name.on_response();
            context.response_edits.set(name, id);
        }
    }

    fn new_id(&self, context: &Context<'_>) -> Id {
        let mut id = Id::default();
        // Cannot fail: the longest id is shorter than the buffer.
        let _ = self.write_id(&mut &mut id.text[..], context);
        id
    }

    fn write_id(&self, out: &mut impl Write, context: &Context<'_>) -> std::io::Result<()> {
        match self.config.generator {
            Generator::Uuid => write!(out, "{}", random_uuid()),
            Generator::Counter => {
                let n = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
                write!(out, "{}#{n}", *PREFIX)
            }
            Generator::Tracker => {
                let peer = &context.peer;
                write!(
                    out,
                    "{}-{}-{}-{}-{}-{}.{:03}",
                    peer.local.ip(),
                    peer.local.port(),
                    std::process::id(),
                    peer.slot,
                    peer.request,
                    context.now.seconds(),
                    context.now.0 % 1000,
                )
            }
        }
    }
}

/// The text of an id, on the stack.
struct Id {
    text: [u8; 160],
}

impl Default for Id {
    fn default() -> Id {
        Id { text: [0; 160] }
    }
}

impl Id {
    fn as_bytes(&self) -> &[u8] {
        let end = self.text.iter().position(|byte| *byte == 0);
        &self.text[..end.unwrap_or(self.text.len())]
    }
}

/// A version 4 UUID without a system call.
fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::log_record;
    use crate::plugins::runtime::testing::{Request, built, ended};
    use serde_json::{Value, json};

    fn run(config: Value, request: &str) -> (String, Vec<String>) {
        let handler = built("correlation-id", config);
        let mut request = Request::new(request);
        assert!(matches!(request.access(&*handler), Flow::Continue));
        request.header_filter(&*handler);
        let id = request
            .upstream_headers()
            .iter()
            .find_map(|line| {
                let line = line.to_lowercase();
                let value = line.strip_prefix("kong-request-id: ");
                value
                    .or_else(|| line.strip_prefix("x-cid: "))
                    .map(str::to_owned)
            })
            .expect("an id");
        (id, request.response_headers())
    }

    #[test]
    fn the_clients_id_is_kept() {
        let check = |config: Value, request: &str, id: &str, echo: &[&str]| {
            assert_eq!(
                run(config, request),
                (
                    id.to_owned(),
                    echo.iter().map(|line| (*line).to_owned()).collect()
                )
            );
        };
        check(
            json!({}),
            "GET / HTTP/1.1\r\nkong-request-id: mine\r\n",
            "mine",
            &[],
        );
        check(
            json!({"header_name": "X-CID", "echo_downstream": true, "generator": "uuid"}),
            "GET / HTTP/1.1\r\nX-CID: mine2\r\n",
            "mine2",
            &["X-CID: mine2"],
        );
    }

    #[test]
    fn records_tell_the_id() {
        let handler = built("correlation-id", json!({"generator": "uuid"}));
        for (lines, access, expected) in [
            ("Kong-Request-ID: mine\r\n", false, true),
            ("", true, true),
            ("", false, false),
        ] {
            let mut request = Request::new(&format!("GET / HTTP/1.1\r\n{lines}"));
            if access {
                request.access(&*handler);
            }
            let record = request.log_phase(|context| {
                ended(|log| {
                    handler.log(context, log);
                    log_record(context, log)
                })
            });
            let id = record.get("correlation_id").and_then(Value::as_str);
            assert_eq!(id.is_some(), expected, "{lines:?} {access}");
            assert!(lines.is_empty() || id == Some("mine"), "{id:?}");
        }
    }

    #[test]
    fn beside_06_a_header_name_with_underscores_finds_hyphens() {
        let check = |lines: &str, upstream: &str, echoed: &str| {
            let config = json!({"header_name": "X_Corr", "echo_downstream": true});
            let handler = built("correlation-id", config);
            let mut request = Request::new(&format!("GET / HTTP/1.1\r\n{lines}"));
            request.access(&*handler);
            request.header_filter(&*handler);
            assert_eq!(request.upstream_headers(), [upstream], "{lines:?}");
            assert_eq!(request.response_headers(), [echoed], "{lines:?}");
        };
        check("x-corr: mine\r\n", "x-corr: mine", "X-Corr: mine");
        check("X_CORR: mine\r\n", "X_CORR: mine", "X-Corr: mine");
    }

    #[test]
    fn beside_07_an_id_is_echoed_without_an_access_phase() {
        let check = |lines: &str, echo: bool, expected: Option<&str>| {
            let config = json!({"echo_downstream": echo, "generator": "uuid"});
            let handler = built("correlation-id", config);
            let mut request = Request::new(&format!("GET / HTTP/1.1\r\n{lines}"));
            request.header_filter(&*handler);
            let found = request.response_headers();
            let id = found
                .iter()
                .find_map(|line| line.strip_prefix("Kong-Request-ID: "));
            match expected {
                Some("") => assert!(Uuid::parse_str(id.expect("an id")).is_ok(), "{id:?}"),
                expected => assert_eq!(id, expected, "{lines:?}"),
            }
        };
        check("", true, Some(""));
        check("Kong-Request-ID: mine\r\n", true, Some("mine"));
        check("Kong-Request-ID: mine\r\n", false, None);
    }

    #[test]
    fn trial_26_a_header_name_that_is_none_is_encoded() {
        let config =
            json!({"header_name": "my id: x", "generator": "uuid", "echo_downstream": true});
        let handler = built("correlation-id", config);
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        request.access(&*handler);
        for lines in [request.upstream_headers(), request.response_headers()] {
            let (name, _) = lines[0].split_once(": ").expect("a header");
            assert_eq!(name, "my%20id%3A%20x");
        }
    }

    #[test]
    fn ids_are_made_when_there_is_none() {
        let without = "GET / HTTP/1.1\r\nKong-Request-ID: \r\n";
        let (id, echo) = run(
            json!({"generator": "uuid", "echo_downstream": true}),
            without,
        );
        assert_eq!(
            Uuid::parse_str(&id).expect("a uuid").get_version_num(),
            4,
            "{id}"
        );
        assert_eq!(echo, [format!("Kong-Request-ID: {id}")]);

        let (first, echo) = run(json!({}), without);
        let (second, _) = run(json!({}), without);
        assert!(echo.is_empty());
        let split = |id: &str| {
            let (uuid, n) = id.split_once('#').expect("a counter");
            (
                Uuid::parse_str(uuid).expect("a uuid"),
                n.parse::<u64>().expect("a number"),
            )
        };
        assert_eq!(split(&first).0, split(&second).0);
        assert!(split(&first).1 < split(&second).1);

        let (id, _) = run(json!({"generator": "tracker"}), without);
        let process = std::process::id();
        assert_eq!(id, format!("127.0.0.1-8000-{process}-7-1-1700000000.250"));
    }
}
