//! What one stored response is found by.

use super::config::Config;
use crate::http::Version;
use crate::http::query::{Argument, arguments};
use crate::plugins::{Context, HeaderName};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A digest of what makes a request unlike others, of which no two look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// Which of `count` parts of a store the key belongs to.
    pub fn part(&self, count: usize) -> usize {
        let [first, second, ..] = self.0;
        usize::from(u16::from_be_bytes([first, second])) % count
    }

    #[cfg(test)]
    pub fn of(text: &str) -> Key {
        Key(Sha256::digest(text).into())
    }
}

/// What makes one request unlike another, as configured.
#[derive(Debug)]
pub struct KeyRules {
    ignores_case: bool,
    /// All of them when `None`.
    query: Option<Vec<String>>,
    headers: Vec<HeaderName>,
}

impl KeyRules {
    pub fn new(config: &Config) -> KeyRules {
        let names = |names: &Option<Vec<String>>| names.clone().filter(|names| !names.is_empty());
        let headers = names(&config.vary_headers).unwrap_or_default();
        KeyRules {
            ignores_case: config.ignore_uri_case == Some(true),
            query: names(&config.vary_query_params),
            headers: headers.into_iter().map(HeaderName::from).collect(),
        }
    }

    pub fn key(&self, context: &Context<'_>) -> Key {
        let mut digest = owner(context);
        digest.update("|");
        digest.update(context.head.method());
        digest.update("|");
        match self.ignores_case {
            true => digest.update(context.head.path().to_ascii_lowercase()),
            false => digest.update(context.head.path()),
        }
        digest.update("|");
        self.add_query(context.head.query().unwrap_or_default(), &mut digest);
        digest.update("|");
        self.add_headers(context, &mut digest);
        Key(digest.finalize().into())
    }

    /// What clients are shown: the same digest that Kong shows. Some requests that are told apart
    /// here have one in common, since Kong does not mark where a text ends.
    pub fn shown(&self, context: &Context<'_>) -> String {
        let mut digest = owner(context);
        digest.update("|");
        digest.update(context.head.method());
        digest.update("|");
        // The request line, without what follows a question mark.
        let mut line = [context.head.method(), b" ", context.head.path()].concat();
        if context.head.query().is_none() {
            line.extend_from_slice(match context.head.version {
                Version::Http10 => b" HTTP/1.0",
                _ => b" HTTP/1.1",
            });
        }
        if self.ignores_case {
            line.make_ascii_lowercase();
        }
        digest.update(line);
        digest.update("|");
        let sorted = self.sorted(context.head.query().unwrap_or_default());
        let texts = sorted.iter().map(|(name, values)| {
            let mut values: Vec<_> = values.iter().filter_map(|one| one.value()).collect();
            values.sort_unstable();
            field(name, &values)
        });
        digest.update(texts.collect::<Vec<_>>().join(&b':'));
        digest.update("|");
        let mut names: Vec<&HeaderName> = self.headers.iter().collect();
        names.sort_unstable_by(|one, other| one.text().cmp(other.text()));
        let texts = names.iter().filter_map(|name| {
            let values = context.configured_headers(name).map(Cow::Borrowed);
            let mut values: Vec<_> = values.collect();
            values.sort_unstable();
            let is_there = !values.is_empty();
            is_there.then(|| field(name.text().as_bytes(), &values))
        });
        digest.update(texts.collect::<Vec<_>>().join(&b':'));
        let digest = digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The arguments by their names, so that their order does not count. Values of one name keep theirs.
    fn sorted<'q>(&self, query: &'q [u8]) -> BTreeMap<Cow<'q, [u8]>, Vec<Argument<'q>>> {
        let mut sorted: BTreeMap<Cow<'_, [u8]>, Vec<Argument<'_>>> = BTreeMap::new();
        for argument in arguments(query) {
            let name = argument.name();
            let counts = match &self.query {
                Some(names) => names.iter().any(|known| known.as_bytes() == &*name),
                None => true,
            };
            if counts {
                sorted.entry(name).or_default().push(argument);
            }
        }
        sorted
    }

    fn add_query(&self, query: &[u8], digest: &mut Sha256) {
        for (name, values) in &self.sorted(query) {
            for argument in values {
                add_text(name, digest);
                match argument.value() {
                    Some(value) => add_text(&value, digest),
                    None => digest.update([0xff]),
                }
            }
        }
    }

    fn add_headers(&self, context: &Context<'_>, digest: &mut Sha256) {
        for name in &self.headers {
            add_text(name.as_str().as_bytes(), digest);
            for value in context.configured_headers(name) {
                add_text(value, digest);
            }
        }
    }
}

/// Begins with whose responses they are: those of a consumer on a route, or of all others there.
fn owner(context: &Context<'_>) -> Sha256 {
    let mut digest = Sha256::new();
    let mut buffer = Uuid::encode_buffer();
    if let Some(consumer) = &context.identity.consumer {
        digest.update(&*consumer.id.hyphenated().encode_lower(&mut buffer));
        digest.update(":");
    }
    match context.route {
        Some(route) => digest.update(&*route.id.hyphenated().encode_lower(&mut buffer)),
        None => digest.update("default"),
    }
    digest
}

/// `name=value,value`, or the name alone.
fn field(name: &[u8], values: &[Cow<'_, [u8]>]) -> Vec<u8> {
    match values {
        [] => name.to_vec(),
        values => [name, b"=", &values.join(&b',')].concat(),
    }
}

/// With its length before it, so that no two lists of texts look alike.
fn add_text(text: &[u8], digest: &mut Sha256) {
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Consumer;
    use crate::plugins::runtime::testing::{ROUTE, Request};
    use serde_json::json;

    #[test]
    fn clients_are_shown_the_digest_that_kong_shows() {
        let check = |config: serde_json::Value, consumer: bool, request: &str, text: &str| {
            let config: Config = serde_json::from_value(config).expect("valid");
            let mut request = Request::new(request);
            let id = Uuid::from_u128(7);
            request.identity.consumer = consumer.then_some(Consumer {
                id,
                username: None,
                custom_id: None,
            });
            let shown = request.seen(|context| KeyRules::new(&config).shown(context));
            let owner = match consumer {
                true => format!("{id}:{}", ROUTE.id),
                false => ROUTE.id.to_string(),
            };
            let digest = Sha256::digest(format!("{owner}|{text}"));
            let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, expected, "{text}");
        };
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nX-H: 1\r\n");
        check(json!({}), false, &get("/a/x"), "GET|GET /a/x HTTP/1.1||");
        check(json!({}), true, &get("/a/x"), "GET|GET /a/x HTTP/1.1||");
        check(
            json!({}),
            false,
            &get("/x?z=2&q=%31&v"),
            "GET|GET /x|q=1:v:z=2|",
        );
        check(json!({}), false, &get("/x?q=2&q=1"), "GET|GET /x|q=1,2|");
        check(
            json!({"ignore_uri_case": true}),
            false,
            &get("/X"),
            "GET|get /x http/1.1||",
        );
        check(
            json!({"vary_headers": ["X-H", "X-None"], "vary_query_params": ["a"]}),
            false,
            &get("/x?b=1"),
            "GET|GET /x||X-H=1",
        );
    }
}
