//! Recorded answers of a Kong 3.9.3 and what its upstream saw, replayed over the pipeline.
//!
//! `data/recorded.jsonl` holds groups: a line with the Admin calls that configured the node,
//! then requests. A request without `status` is sent for its effect on later ones alone.

use super::super::testing::{Harness, body, entity, id, request_head};
use super::super::{PRODUCT, ProxySettings, RealIpSource, Trust};
use crate::data_plane::exchange::{Attempt, AttemptError, Pipeline, TlsInfo};
use crate::http::RequestHead;
use crate::model::{Kind, Row};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

const RECORDED: &str = include_str!("data/recorded.jsonl");

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Group {
        group: String,
        config: Vec<(String, String, Map<String, Value>)>,
    },
    Request(Box<Recorded>),
}

#[derive(Deserialize)]
struct Recorded {
    raw: String,
    tls: bool,
    sni: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    upstream: Option<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    line: String,
    headers: Vec<(String, String)>,
}

/// The entities that Admin calls made; ids are numbers in order of appearance.
#[derive(Default)]
struct Entities {
    ids: HashMap<(String, String), u128>,
    rows: Vec<(Kind, Uuid, Row)>,
}

impl Entities {
    fn number(&mut self, collection: &str, name: &str) -> u128 {
        let next = self.ids.len() as u128 + 1;
        let key = (collection.to_owned(), name.to_owned());
        *self.ids.entry(key).or_insert(next)
    }

    fn add(&mut self, kind: Kind, number: u128, fields: Map<String, Value>) {
        self.rows.retain(|(_, other, _)| *other != id(number));
        self.rows.push(entity(kind, number, Value::Object(fields)));
    }

    fn call(&mut self, path: &str, mut fields: Map<String, Value>) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let service = fields.get("service").and_then(|found| found.get("name"));
        if let Some(name) = service.and_then(Value::as_str).map(str::to_owned) {
            let number = self.number("services", &name);
            fields.insert("service".to_owned(), json!({"id": id(number)}));
        }
        match parts[..] {
            ["services", name] => {
                let number = self.number("services", name);
                fields.insert("name".to_owned(), name.into());
                self.add(Kind::Services, number, fields);
            }
            ["routes", name] => {
                let number = self.number("routes", name);
                fields.insert("name".to_owned(), name.into());
                self.add(Kind::Routes, number, fields);
            }
            ["upstreams", name] => {
                let number = self.number("upstreams", name);
                fields.insert("name".to_owned(), name.into());
                self.add(Kind::Upstreams, number, fields);
            }
            ["consumers", name] => {
                let number = self.number("consumers", name);
                fields.insert("username".to_owned(), name.into());
                self.add(Kind::Consumers, number, fields);
            }
            ["consumers", name, "key-auth"] => {
                let consumer = self.number("consumers", name);
                let number = self.number("credentials", &format!("{path}{}", self.rows.len()));
                fields.insert("consumer".to_owned(), json!({"id": id(consumer)}));
                self.add(Kind::KeyauthCredentials, number, fields);
            }
            ["routes", name, "plugins"] => {
                let route = self.number("routes", name);
                let number = self.number("plugins", &format!("{path}{}", self.rows.len()));
                fields.insert("route".to_owned(), json!({"id": id(route)}));
                self.add(Kind::Plugins, number, fields);
            }
            ["certificates", ..] => {}
            _ => panic!("a call the test does not know: {path}"),
        }
    }
}

fn node(group: &str, config: Vec<(String, String, Map<String, Value>)>) -> Harness {
    let mut entities = Entities::default();
    let echo = json!({"host": "127.0.0.1", "port": 19000});
    entities.call(
        "/services/echo",
        echo.as_object().expect("an object").clone(),
    );
    for (_, path, fields) in config {
        entities.call(&path, fields);
    }
    let trust = match group.starts_with("trusted") {
        true => Trust {
            proxies: vec!["127.0.0.1".parse().expect("an address")],
            source: RealIpSource::Header("X-Forwarded-For".into()),
            recursive: false,
        },
        false => Trust::default(),
    };
    let settings = ProxySettings {
        trust,
        allow_debug_header: true,
        ..ProxySettings::default()
    };
    let factory = Arc::new(crate::plugins::Factory::default());
    Harness::with(entities.rows, settings, factory)
}

/// What the recorded upstream did at an address.
fn failure(attempt: &Attempt) -> Option<AttemptError> {
    match (&*attempt.address.host, attempt.address.port) {
        ("no.such.host.invalid", _) => Some(AttemptError::Resolve),
        ("203.0.113.1", _) => Some(AttemptError::ConnectTimeout),
        (_, 19003) => Some(AttemptError::Connect),
        _ => None,
    }
}

/// The response of the recorded upstream: it obeys `X-Echo-*` headers.
fn echo(head: &RequestHead) -> String {
    let text = |name: &str| {
        let value = head.headers.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let status = text("x-echo-status").unwrap_or_else(|| "200 OK".to_owned());
    let extra = text("x-echo-headers").unwrap_or_default();
    let lines: String = extra
        .split('|')
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let bodyless = status.starts_with("204") || status.starts_with("304");
    let content_type = match bodyless || extra.to_lowercase().contains("content-type=") {
        true => "",
        false => "Content-Type: text/plain\r\n",
    };
    format!("HTTP/1.1 {status}\r\n{content_type}{lines}")
}

/// Values that depend on time, chance or the numbering of entities.
const FREE: &[&str] = &[
    "x-kong-upstream-latency",
    "x-kong-proxy-latency",
    "x-kong-response-latency",
    "x-kong-request-id",
    "kong-route-id",
    "kong-service-id",
    "x-consumer-id",
    "x-credential-identifier",
    "ratelimit-reset",
    "retry-after",
];

/// What the driver writes.
const FRAMING: &[&str] = &[
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "date",
];

fn comparable<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if FRAMING.contains(&&*name) {
            continue;
        }
        // Ids of correlation-id are made up.
        let made_up = value.contains('#') || value.len() == 36 || value.starts_with("127.0.0.1-");
        let value = match FREE.contains(&&*name) || made_up {
            true => "*".to_owned(),
            false => value.replace("kong/3.9.3", PRODUCT),
        };
        map.entry(name).or_default().push(value);
    }
    map.values_mut().for_each(|values| values.sort());
    map
}

fn pairs(lines: &[String]) -> impl Iterator<Item = (&str, &str)> {
    lines.iter().filter_map(|line| line.split_once(": "))
}

/// Plays one request; the differences.
fn replay(node: &mut Harness, recorded: &Recorded) -> Vec<String> {
    let (head, content) = recorded.raw.split_once("\r\n\r\n").expect("a blank line");
    let head = format!("{head}\r\n");
    let port = if recorded.tls { 18443 } else { 18000 };
    node.connection.local.set_port(port);
    node.connection.tls = recorded.tls.then(|| TlsInfo {
        sni: recorded.sni.as_deref().map(Arc::from),
        ..TlsInfo::default()
    });
    let parsed = request_head(&head);
    let mut differences = Vec::new();
    let mut seen = None;
    let (status, lines, content) = if matches!(parsed.method(), b"TRACE" | b"CONNECT") {
        use crate::data_plane::exchange::Refusal::MethodNotAllowed;
        let reply = node.refuse(Some(&parsed), MethodNotAllowed);
        (reply.status, reply_lines(&reply), Some(body(&reply)))
    } else {
        node.begin(&head);
        if node.proxy.body_limit(&node.exchange).is_some() {
            let content = Bytes::from(content.to_owned());
            node.proxy.body(&mut node.exchange, content);
        }
        let mut answer = node.finish_access();
        let mut failed = None;
        while answer.is_ok() {
            match node.attempt(failed) {
                Ok(attempt) => failed = failure(&attempt),
                Err(reply) => answer = Err(reply),
            }
            if failed.is_none() {
                break;
            }
        }
        match answer {
            Ok(()) => {
                seen = Some(node.upstream_request());
                let (status, lines) = node.response(&echo(&parsed));
                (status, lines, None)
            }
            Err(reply) => (reply.status, reply_lines(&reply), Some(body(&reply))),
        }
    };
    let mut differ = |what: &str, recorded: String, found: String| {
        if recorded != found {
            differences.push(format!("{what}: recorded {recorded}, found {found}"));
        }
    };
    let Some(recorded_status) = recorded.status else {
        return Vec::new();
    };
    differ("status", recorded_status.to_string(), status.to_string());
    let recorded_headers = recorded
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()));
    let recorded_headers = format!("{:?}", comparable(recorded_headers));
    differ(
        "headers",
        recorded_headers,
        format!("{:?}", comparable(pairs(&lines))),
    );
    let empty = status == 204 || status == 304 || parsed.method() == b"HEAD";
    if let (Some(content), Some(expected), false) = (content, &recorded.body, empty) {
        let id_of = |mut headers: Box<dyn Iterator<Item = (&str, &str)> + '_>| {
            headers
                .find(|(name, _)| name.eq_ignore_ascii_case("x-kong-request-id"))
                .map(|(_, id)| id.to_owned())
        };
        let theirs = recorded
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()));
        let theirs = id_of(Box::new(theirs)).expect("an id");
        let ours = id_of(Box::new(pairs(&lines))).expect("an id");
        differ("body", expected.replace(&theirs, &ours), content);
    }
    match (&recorded.upstream, seen) {
        (Some(upstream), Some(lines)) => {
            differ("request line", upstream.line.clone(), lines[0].clone());
            let headers = upstream
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()));
            let headers = format!("{:?}", comparable(headers));
            let found = comparable(pairs(&lines[1..]));
            differ("upstream headers", headers, format!("{found:?}"));
        }
        (None, None) => {}
        (upstream, seen) => {
            let (upstream, seen) = (upstream.is_some(), seen.is_some());
            differ("upstream asked", upstream.to_string(), seen.to_string());
        }
    }
    differences
}

fn reply_lines(reply: &crate::http::Reply) -> Vec<String> {
    let headers = reply.headers.iter();
    headers
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect()
}

#[test]
fn recorded_requests_go_as_recorded() {
    let (mut current, mut group_name) = (None, String::new());
    let (mut judged, mut failures) = (0, Vec::new());
    for line in RECORDED.lines() {
        match serde_json::from_str(line).expect("a recorded line") {
            Line::Group { group, config } => {
                current = Some(node(&group, config));
                group_name = group;
            }
            Line::Request(recorded) => {
                let node = current.as_mut().expect("a group before its requests");
                judged += u32::from(recorded.status.is_some());
                for difference in replay(node, &recorded) {
                    let request = recorded.raw.escape_debug();
                    failures.push(format!("{group_name} {request}\n    {difference}"));
                }
            }
        }
    }
    assert!(judged > 300, "{judged}");
    assert!(
        failures.is_empty(),
        "{} differ\n{}",
        failures.len(),
        failures.join("\n")
    );
}
