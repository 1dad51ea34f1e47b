//! The index against a plain scan of all routes in order.

use super::*;
use crate::data_plane::router::priority::{MatchOrder, Weights, group_id, priority};
use crate::model::{Reference, Route, Row};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

type Matchers = Box<[Matcher]>;

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    https: bool,
    sni: Option<&'static str>,
}

impl Request {
    fn facts(&self) -> Facts<'_> {
        Facts {
            method: self.method,
            host: self.host,
            path: self.path,
            https: self.https,
            sni: self.sni,
            headers: &self.headers,
            src: (IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
            dst_port: 8000,
        }
    }
}

/// What the documentation says a route is, written without regard to speed.
mod reference {
    use super::*;

    /// (priority, id, route, matched length) of the parts of a route that match.
    fn matching_parts(
        route: &Route,
        request: &Request,
        order: MatchOrder,
    ) -> Vec<(u64, Uuid, Uuid, Option<usize>)> {
        if !others_hold(route, request, order) {
            return Vec::new();
        }
        let mut groups: Vec<(Option<usize>, Vec<&str>)> = Vec::new();
        for path in &route.paths {
            let kind = (!path.starts_with('~')).then_some(path.len());
            match groups.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, paths)) => paths.push(path),
                None => groups.push((kind, vec![path])),
            }
        }
        let given = [
            !route.hosts.is_empty(),
            !route.methods.is_empty(),
            !route.headers.is_empty(),
            !route.snis.is_empty(),
            !route.paths.is_empty(),
        ];
        let weights = Weights {
            categories: given.iter().filter(|given| **given).count() as u32,
            plain_hosts: !route.hosts.is_empty()
                && !route.hosts.iter().any(|host| host.contains('*')),
            headers: route.headers.len(),
            ..Weights::default()
        };
        if groups.is_empty() {
            return vec![(priority(order, &weights), route.id, route.id, None)];
        }
        let split = groups.len() > 1;
        let mut parts = Vec::new();
        for (at, (kind, paths)) in groups.iter().enumerate() {
            let matched = paths.iter().find_map(|path| match path.strip_prefix('~') {
                Some(pattern) => find_anchored(pattern, request.path),
                None => request.path.starts_with(path).then_some(path.len()),
            });
            let Some(len) = matched else { continue };
            let weights = match kind {
                Some(len) => Weights {
                    prefix_len: *len,
                    ..weights
                },
                None => Weights {
                    regex: Some(route.regex_priority),
                    ..weights
                },
            };
            let id = if split {
                group_id(route.id, at + 1)
            } else {
                route.id
            };
            parts.push((priority(order, &weights), id, route.id, Some(len)));
        }
        parts
    }

    fn find_anchored(pattern: &str, path: &str) -> Option<usize> {
        thread_local! {
            static COMPILED: RefCell<BTreeMap<String, regex::Regex>> = RefCell::default();
        }
        COMPILED.with_borrow_mut(|compiled| {
            let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| {
                regex::Regex::new(&format!("^{pattern}")).expect("a valid pattern")
            });
            regex.find(path).map(|found| found.len())
        })
    }

    fn others_hold(route: &Route, request: &Request, order: MatchOrder) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_lowercase();
        let (host, port) = match request.host.split_once(':') {
            Some((host, "")) => (host, "8000"),
            Some((host, port)) => (host, port),
            None => (request.host, "8000"),
        };
        let host = &*plain(host);
        let wild = |pattern: &str, text: &str| match (
            plain(pattern).strip_prefix('*'),
            plain(pattern).strip_suffix('*'),
        ) {
            (Some(end), _) => text.ends_with(end),
            (_, Some(start)) => text.starts_with(start),
            _ => plain(pattern) == text,
        };
        let host_holds = |pattern: &String| match pattern.split_once(':') {
            Some((name, wanted)) => wanted == port && wild(name, host),
            None => wild(pattern, host),
        };
        let only_tls = route.protocols.iter().all(|protocol| protocol == "https");
        let tls_only = order == MatchOrder::Strict && only_tls;
        let plain_passes = !request.https && !tls_only;
        (route.hosts.is_empty() || route.hosts.iter().any(host_holds))
            && (route.methods.is_empty() || route.methods.iter().any(|m| m == request.method))
            && (route.snis.is_empty()
                || plain_passes
                || request
                    .sni
                    .is_some_and(|sni| route.snis.iter().any(|pattern| wild(pattern, &plain(sni)))))
            && route.headers.iter().all(|(name, values)| {
                request.headers.iter().any(|(received, value)| {
                    received.replace('_', "-").eq_ignore_ascii_case(name)
                        && values
                            .iter()
                            .any(|wanted| wanted.eq_ignore_ascii_case(value))
                })
            })
    }

    pub fn find(
        routes: &[Route],
        request: &Request,
        order: MatchOrder,
    ) -> Option<(Uuid, Option<usize>)> {
        routes
            .iter()
            .flat_map(|route| matching_parts(route, request, order))
            .max_by_key(|(priority, id, ..)| (*priority, *id))
            .map(|(_, _, route, len)| (route, len))
    }
}

fn some_of(values: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    subsequence(values, 0..=most)
        .prop_shuffle()
        .prop_map(|values| values.into_iter().map(String::from).collect())
}

fn route() -> impl Strategy<Value = Route> {
    let hosts = some_of(
        &[
            "a.test",
            "a.test:81",
            "b.test",
            "*.test",
            "*.a.test",
            "a.*",
            "a.*:81",
            "A.Test.",
            "*.TEST",
            "B.test.:81",
        ],
        3,
    );
    let paths = some_of(
        &[
            "/", "/a", "/ab", "/b", "/a/", "/a/b", "/a/b/c", "~/a/\\d+", "~/[ab]", "~/a|/b",
            "~/a/.*$",
        ],
        4,
    );
    let headers = proptest::option::of(some_of(&["x", "Y"], 2)).prop_map(|values| match values {
        Some(values) if !values.is_empty() => BTreeMap::from([("X-Env".to_owned(), values)]),
        _ => BTreeMap::new(),
    });
    let protocols = prop_oneof![Just(vec!["http", "https"]), Just(vec!["https"])];
    (
        (0u128..12, hosts, paths, headers),
        (
            some_of(&["GET", "POST"], 1),
            some_of(&["a.test", "*.test", "B.TEST."], 1),
            protocols,
        ),
        select(vec![0i64, 1, 1024, 5000]),
    )
        .prop_map(
            |((id, hosts, paths, headers), (methods, snis, protocols), regex_priority)| Route {
                id: Uuid::from_u128(id),
                name: None,
                service: Some(Reference { id: Uuid::nil() }),
                protocols: protocols.into_iter().map(String::from).collect(),
                methods,
                hosts,
                paths,
                headers,
                snis,
                expression: None,
                https_redirect_status_code: 426,
                regex_priority,
                strip_path: true,
                preserve_host: false,
                request_buffering: true,
                response_buffering: true,
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    (
        select(vec!["GET", "POST", "get"]),
        select(vec![
            "a.test",
            "a.test:81",
            "b.test",
            "x.a.test",
            "a.b",
            "A.test",
            "a.test:",
            "B.Test.",
            "X.a.TEST.:81",
            "",
            "test",
        ]),
        select(vec![
            "/", "/a", "/ab", "/abc", "/a/b", "/a/b/c/d", "/a/7", "/b", "/x/b", "/zz",
        ]),
        subsequence(vec![("x-env", "X"), ("X_ENV", "y"), ("other", "x")], 0..=3),
        any::<bool>(),
        select(vec![None, Some("a.test"), Some("b.test."), Some("c.org")]),
    )
        .prop_map(|(method, host, path, headers, https, sni)| Request {
            method,
            host,
            path,
            headers,
            https,
            sni,
        })
}

fn found(
    index: &RouteIndex,
    request: &Request,
    scratch: &mut Scratch,
) -> Option<(Uuid, Option<usize>)> {
    index.find(&request.facts(), scratch, |_| true).map(|hit| {
        let len = match hit.path {
            PathMatch::None => None,
            PathMatch::Prefix(len) => Some(len),
            PathMatch::Regex { start, end, .. } => Some(end - start),
        };
        (hit.route.id, len)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_index_answers_as_a_scan_of_all_routes(
        writes in proptest::collection::vec((route(), any::<bool>()), 1..24),
        requests in proptest::collection::vec(request(), 12),
        order in select(vec![MatchOrder::Original, MatchOrder::Strict]),
    ) {
        let row = Row::from_json(&serde_json::Map::new());
        let mut index = RouteIndex::default();
        let mut current = BTreeMap::<Uuid, (Route, Matchers)>::new();
        let mut versions = Vec::new();
        for (route, delete) in writes {
            if let Some((_, old)) = current.remove(&route.id) {
                for matcher in old.iter() {
 index.remove(matcher);
 }
            }
            if !delete {
                let matchers = Matcher::compile(&route, &row, order).expect("a valid route");
                for matcher in matchers.iter() {
 index.insert(matcher);
 }
                current.insert(route.id, (route, matchers));
            }
            let routes: Vec<Route> = current.values().map(|(route, _)| route.clone()).collect();
            versions.push((index.clone(), routes));
        }
        let mut scratch = Scratch::default();
        for (index, routes) in &versions {
            for request in &requests {
                prop_assert_eq!(
                    found(index, request, &mut scratch),
                    reference::find(routes, request, order),
                    "{:?} {:?}", request, routes
                );
            }
        }
        for (_, old) in current.values() {
            for matcher in old.iter() {
 index.remove(matcher);
 }
        }
        prop_assert!(index.is_empty());
    }
}
