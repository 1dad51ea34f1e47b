//! Gives a request an id unless the client gave one.

use super::config::{Config, Generator};
use crate::model::Plugin;
use crate::plugins::factory::config_of;
use crate::plugins::{Access, BuildError, Context, Flow, Handler};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// The prefix and the counter of `uuid#counter`. They belong to the process, as in Kong to
/// the worker: a changed configuration goes on counting.
static PREFIX: LazyLock<Uuid> = LazyLock::new(random_uuid);
static COUNTER: AtomicU64 = AtomicU64::new(0);

pub(in crate::plugins) fn build(plugin: &Plugin) -> Result<Arc<dyn Handler>, BuildError> {
    Ok(Arc::new(CorrelationId {
        config: config_of(plugin)?,
    }))
}

struct CorrelationId {
    config: Config,
}

impl Handler for CorrelationId {
    fn priority(&self) -> i32 {
        super::PRIORITY
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let name = &self.config.header_name;
        let given = context.request_header(name);
        if given.is_none_or(<[u8]>::is_empty) {
            let mut id = Id::default();
            // Cannot fail: the longest id is shorter than the buffer.
            let _ = self.write_id(&mut &mut id.text[..], context);
            context.request_edits.set(name, id.as_bytes());
        }
        Flow::Continue.into()
    }

    /// Echoes in the header phase, so that the id is also on answers of other plugins.
    fn header_filter(&self, context: &mut Context<'_>) {
        if !self.config.echo_downstream {
            return;
        }
        let name = &self.config.header_name;
        let id = context.request_edits.get(&context.head.headers, name);
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            context.response_edits.set(name, id);
        }
    }
}

impl CorrelationId {
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
    use crate::plugins::testing::{Request, plugin};
    use serde_json::{Value, json};

    fn run(config: Value, request: &str) -> (String, Vec<String>) {
        let handler = build(&plugin("correlation-id", config)).expect("builds");
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
