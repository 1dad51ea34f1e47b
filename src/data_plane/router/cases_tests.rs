//! The recorded cases: routes and a request, and what Kong 3.9 made of them.

use super::path::{normalise, split_target};
use super::test_support::{apply, route, service, state, to};
use super::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

const CASES: &str = include_str!("../../../tests/data/router_cases.jsonl");

#[derive(Deserialize)]
struct Case {
    id: String,
    flavor: String,
    #[serde(default)]
    stream: bool,
    routes: Vec<Map<String, Value>>,
    request: Request,
    expect: Value,
    expect_original: Option<Value>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    method: String,
    host: Option<String>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    headers: Map<String, Value>,
    scheme: String,
    sni: Option<String>,
    port: Option<u16>,
}

/// What a case says and the router decides; upstream hosts and redirects are not its business.
#[derive(Debug, PartialEq)]
struct Answer {
    route: Option<String>,
    status: Option<u64>,
    upstream_uri: Option<String>,
    captures: Option<Value>,
    stripped: Option<String>,
}

fn answer(case: &Case) -> Answer {
    let mut ops = Vec::new();
    for (at, fields) in case.routes.iter().enumerate() {
        let number = at as u128 + 1;
        let mut fields = fields.clone();
        let own = fields.remove("service").expect("every route has a service");
        ops.push(service(number, own));
        fields.insert("service".into(), to(number));
        let given = fields
            .get("id")
            .and_then(Value::as_str)
            .map(|id| id.parse().expect("an id"));
        let id = given.unwrap_or(Uuid::from_u128(
            0x00000000_0000_4000_8000_000000000000 | number,
        ));
        fields.remove("id");
        ops.push(route(id.as_u128(), Value::Object(fields)));
    }
    let outcome = apply(&mut state(), ops);
    assert_eq!(outcome.quarantined, [], "{}", case.id);

    let (raw, query) = split_target(case.request.path.as_bytes());
    let mut buf = Vec::new();
    let refused = |status| Answer {
        route: None,
        status: Some(u64::from(status)),
        upstream_uri: None,
        captures: None,
        stripped: None,
    };
    let path = match normalise(raw, &mut buf) {
        Ok(path) => path,
        Err(error) => return refused(error.status()),
    };
    let mut headers = Vec::new();
    for (name, value) in &case.request.headers {
        let values = value
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            headers.push((name.clone(), value.as_str().expect("a string").to_owned()));
        }
    }
    let https = case.request.scheme == "https";
    let facts = Facts {
        method: &case.request.method,
        host: case.request.host.as_deref().unwrap_or_default(),
        path,
        https,
        sni: case.request.sni.as_deref(),
        headers: &headers,
        src: (IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        dst_port: case.request.port.unwrap_or(if https { 8443 } else { 8000 }),
    };
    let Some(matched) = outcome.snapshot.find_route(&facts, &mut Scratch::default()) else {
        return refused(404);
    };
    let mut uri = Vec::new();
    outcome
        .snapshot
        .upstream_uri(&matched, path, query, &mut uri);
    let captures = matched.captures(path).map(|captures| {
        let by_index =
            (1..captures.len()).filter_map(|at| Some((at.to_string(), captures.get(at)?)));
        let regex_names = matched.capture_names();
        let by_name = regex_names.filter_map(|name| Some((name.to_owned(), captures.name(name)?)));
        let all = by_index
            .chain(by_name)
            .map(|(name, found)| (name, json!(found.as_str())));
        Value::Object(all.collect())
    });
    Answer {
        route: matched.route.name.as_deref().map(str::to_owned),
        status: None,
        upstream_uri: Some(String::from_utf8(uri).expect("an escaped URI")),
        captures,
        stripped: matched.stripped(path).map(str::to_owned),
    }
}

/// What differs from Kong on purpose: hosts are compared without case and final dot.
/// `shop.` is therefore `shop`, which `shop.*` does not match.
const DIFFERENT: [(&str, Option<&str>); 3] = [
    ("host-006", Some("plain")),
    ("host-007", Some("plain")),
    ("host-021", None),
];

#[test]
fn the_recorded_cases_of_the_default_flavour_pass() {
    let (mut passed, mut different, mut other_flavour, mut stream) = (0, 0, 0, 0);
    let mut failures = Vec::new();
    for line in CASES.lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        if case.flavor != "traditional_compatible" {
            other_flavour += 1;
            continue;
        }
        if case.stream {
            stream += 1;
            continue;
        }
        let expected = case.expect_original.as_ref().unwrap_or(&case.expect);
        let answer = answer(&case);
        if let Some((_, route)) = DIFFERENT.iter().find(|(id, _)| *id == case.id) {
            assert_eq!(answer.route.as_deref(), *route, "{}", case.id);
            different += 1;
            continue;
        }
        let text = |value: &Option<String>| json!(value);
        let mut wrong = Vec::new();
        let mut compare = |field: &str, found: Value| match expected.get(field) {
            Some(wanted) if *wanted != found => {
                wrong.push(format!("{field}: {found}, not {wanted}"))
            }
            _ => {}
        };
        compare("route", text(&answer.route));
        if answer.route.is_none() {
            compare("status", json!(answer.status));
        }
        // Answers of the gateway itself have no upstream.
        if expected.get("status").is_none() {
            compare("upstream_uri", text(&answer.upstream_uri));
            compare("captures", answer.captures.clone().unwrap_or_default());
            compare("x_forwarded_prefix", text(&answer.stripped));
        }
        match wrong.is_empty() {
            true => passed += 1,
            false => failures.push(format!("{}: {wrong:?}", case.id)),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    // Skipped: expressions and the old engine (another flavour), and TCP, TLS and UDP routes.
    let counts = (passed, different, other_flavour, stream);
    assert_eq!(counts, (162, 3, 18, 10));
}
