//! What rate-limiting tells clients, and whom it counts.

use super::*;
use crate::plugins::Consumer;
use crate::plugins::Resources;
use crate::plugins::runtime::testing::{Request, built, plugin};
use serde_json::{Value, json};
use uuid::Uuid;

struct Limiter {
    handler: Arc<dyn Handler>,
}

impl Limiter {
    fn new(config: Value) -> Limiter {
        Limiter {
            handler: built("rate-limiting", config),
        }
    }

    /// The refusal as `status message retry-after`, empty when the request passes, and
    /// the response's headers.
    fn call(&self, request: &mut Request) -> (String, Vec<String>) {
        let refused = match request.access(&*self.handler) {
            Flow::Continue => String::new(),
            Flow::Refuse(refusal) => {
                let retry = refusal.headers.iter().map(|(name, value)| {
                    assert_eq!(*name, "Retry-After");
                    format!(" {}", String::from_utf8_lossy(value))
                });
                let retry: String = retry.collect();
                format!("{} {}{retry}", refusal.status, refusal.message)
            }
            other => panic!("{other:?}"),
        };
        (refused, request.response_headers())
    }

    fn passes(&self, request: &mut Request) -> bool {
        self.call(request).0.is_empty()
    }
}

fn at(seconds: u64) -> Request {
    let mut request = Request::new("GET / HTTP/1.1\r\n");
    request.now = Timestamp(seconds * 1000);
    request
}

#[test]
fn clients_are_told_what_remains() {
    let limiter = Limiter::new(json!({"minute": 3, "hour": 4}));
    let check = |refused: &str, minute: u32, hour: u32, limit: u32, least: u32, reset: u32| {
        let (answer, headers) = limiter.call(&mut at(609));
        assert_eq!(answer, refused);
        assert_eq!(
            headers,
            [
                "X-RateLimit-Limit-Minute: 3".to_owned(),
                format!("X-RateLimit-Remaining-Minute: {minute}"),
                "X-RateLimit-Limit-Hour: 4".to_owned(),
                format!("X-RateLimit-Remaining-Hour: {hour}"),
                format!("RateLimit-Limit: {limit}"),
                format!("RateLimit-Remaining: {least}"),
                format!("RateLimit-Reset: {reset}"),
            ]
        );
    };
    check("", 2, 3, 3, 2, 51);
    check("", 1, 2, 3, 1, 51);
    check("", 0, 1, 3, 0, 51);
    check("429 API rate limit exceeded 51", 0, 1, 3, 0, 51);
    check("429 API rate limit exceeded 51", 0, 1, 3, 0, 51);
}

#[test]
fn of_equal_windows_the_longest_is_reported() {
    let limiter = Limiter::new(json!({"second": 2, "minute": 2}));
    let (_, headers) = limiter.call(&mut at(600));
    assert!(
        headers.contains(&"RateLimit-Reset: 60".to_owned()),
        "{headers:?}"
    );
}

#[test]
fn every_window_has_its_headers() {
    let config =
        json!({"second": 50, "minute": 60, "hour": 70, "day": 80, "month": 90, "year": 100});
    let (_, headers) = Limiter::new(config).call(&mut at(1_795_290_549));
    for (name, limit) in [
        ("Second", 50),
        ("Minute", 60),
        ("Hour", 70),
        ("Day", 80),
        ("Month", 90),
        ("Year", 100),
    ] {
        assert!(headers.contains(&format!("X-RateLimit-Limit-{name}: {limit}")));
        assert!(headers.contains(&format!("X-RateLimit-Remaining-{name}: {}", limit - 1)));
    }
    assert!(headers.contains(&"RateLimit-Reset: 1".to_owned()));
}

#[test]
fn fractions_are_kept() {
    let limiter = Limiter::new(json!({"minute": 2.5}));
    let remaining = |n: usize| {
        let (answer, headers) = limiter.call(&mut at(60));
        assert!(
            headers.contains(&"RateLimit-Limit: 2.5".to_owned()),
            "{headers:?}"
        );
        let line = headers
            .iter()
            .find(|line| line.starts_with("RateLimit-Remaining"));
        (n, answer.is_empty(), line.cloned().unwrap_or_default())
    };
    assert_eq!(
        remaining(1),
        (1, true, "RateLimit-Remaining: 1.5".to_owned())
    );
    assert_eq!(
        remaining(2),
        (2, true, "RateLimit-Remaining: 0.5".to_owned())
    );
    assert_eq!(remaining(3), (3, true, "RateLimit-Remaining: 0".to_owned()));
    assert_eq!(
        remaining(4),
        (4, false, "RateLimit-Remaining: 0".to_owned())
    );
}

#[test]
fn answers_are_configurable() {
    let hidden = Limiter::new(json!({"minute": 1, "hide_client_headers": true}));
    assert_eq!(hidden.call(&mut at(60)), (String::new(), vec![]));
    assert_eq!(
        hidden.call(&mut at(60)),
        ("429 API rate limit exceeded".to_owned(), vec![])
    );
    let config = json!({"minute": 1, "error_code": 503, "error_message": "slow down"});
    let worded = Limiter::new(config);
    worded.call(&mut at(60));
    assert_eq!(worded.call(&mut at(60)).0, "503 slow down 60");
}

#[test]
fn requests_count_for_whom_is_configured() {
    let consumer = |id: u128| {
        Some(Consumer {
            id: Uuid::from_u128(id),
            username: None,
            custom_id: None,
        })
    };
    // Two requests that differ in everything; which of them share a counter?
    let request = |n: u128| {
        let mut request = Request::new(&format!("GET /p{n} HTTP/1.1\r\nx-t: {n}\r\n"));
        request.client = if n == 1 { "10.0.0.1" } else { "10.0.0.2" };
        request.identity.consumer = consumer(n);
        request.identity.credential = Some(Uuid::from_u128(n));
        request
    };
    let check = |by: &str, change: &dyn Fn(&mut Request), shared: bool| {
        let limiter = Limiter::new(json!({
            "minute": 1, "limit_by": by, "header_name": "X-T", "path": "/p1",
        }));
        let mut second = request(2);
        change(&mut second);
        assert!(limiter.passes(&mut request(1)));
        assert_eq!(!limiter.passes(&mut second), shared, "{by}");
    };
    check("consumer", &|_| {}, false);
    check(
        "consumer",
        &|second| second.identity.consumer = consumer(1),
        true,
    );
    check("credential", &|_| {}, false);
    check(
        "credential",
        &|second| second.identity.credential = Some(Uuid::from_u128(1)),
        true,
    );
    check("ip", &|_| {}, false);
    check("ip", &|second| second.client = "10.0.0.1", true);
    check("service", &|_| {}, true);
    check("header", &|_| {}, false);
    check("header", &|second| second.head = request(1).head, true);
    check("path", &|_| {}, false);
    check("path", &|second| second.head = request(1).head, true);

    // Nothing of what is asked for: the address.
    let bare = |client| {
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        request.client = client;
        request
    };
    for by in ["consumer", "credential", "header", "path"] {
        let limiter = Limiter::new(json!({"minute": 1, "limit_by": by, "header_name": "x-t"}));
        assert!(limiter.passes(&mut bare("10.0.0.1")), "{by}");
        assert!(!limiter.passes(&mut bare("10.0.0.1")), "{by}");
        assert!(limiter.passes(&mut bare("10.0.0.2")), "{by}");
    }
}

#[test]
fn beside_06_a_header_name_with_underscores_finds_hyphens() {
    let shared = |name: &str, line: &str| {
        let config = json!({"minute": 1, "limit_by": "header", "header_name": name});
        let limiter = Limiter::new(config);
        let from = |client| {
            let mut request = Request::new(&format!("GET / HTTP/1.1\r\n{line}: v\r\n"));
            request.client = client;
            request
        };
        assert!(limiter.passes(&mut from("10.0.0.1")));
        !limiter.passes(&mut from("10.0.0.2"))
    };
    assert!(shared("x_lim", "X-Lim"));
    assert!(shared("x_lim", "x_lim"));
    assert!(!shared("x-lim", "x_lim"));
}

#[test]
fn counters_outlive_a_configuration() {
    let resources = Resources::default();
    let plugin_with = |minute: u32, route: Option<u128>| {
        let mut plugin = plugin("rate-limiting", json!({"minute": minute}));
        plugin.route = route.map(|id| crate::model::Reference {
            id: Uuid::from_u128(id),
        });
        let handler = build(&Build {
            plugin: &plugin,
            resources: &resources,
        })
        .expect("builds");
        Limiter { handler }
    };
    assert!(plugin_with(1, None).passes(&mut at(60)));
    assert!(!plugin_with(1, None).passes(&mut at(60)));
    assert!(plugin_with(2, None).passes(&mut at(60)));
    assert!(!plugin_with(2, None).passes(&mut at(60)));
    assert!(plugin_with(1, Some(1)).passes(&mut at(60)), "another scope");
}

#[test]
fn a_configuration_that_cannot_limit_is_refused() {
    let check = |config: Value, expected: &str| {
        let result = build(&Build {
            plugin: &plugin("rate-limiting", config),
            resources: &Resources::default(),
        });
        let error = result.map(|_| ()).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(json!({}), "none of second");
    check(
        json!({"minute": 1, "policy": "redis"}),
        "config.policy: 'redis'",
    );
    check(json!({"minute": 1, "policy": "cluster"}), "not possible");
    check(json!({"minute": 1, "error_code": 7}), "error_code");
    check(json!({"minute": "x"}), "minute: ");
}
