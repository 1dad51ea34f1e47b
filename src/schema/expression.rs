//! Whether the matchers of a route, or its own expression, compile: both run as one expression.
//!
//! That of the matchers is written out only when one of their regular expressions is refused, to
//! point at the place.

use super::router_language::{self, Family};
use regex::Regex;
use serde_json::{Map, Value};

const MATCHERS: &str =
    "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";

/// How many regular expressions a route may have: each of them is compiled before the answer.
const MOST_PATTERNS: usize = 1_000;

/// What is wrong with the route's matchers.
pub(super) fn check(route: &Map<String, Value>) -> Option<String> {
    let set = |name: &str| route.get(name).is_some_and(super::checks::is_nonempty);
    let nonzero = |name: &str| {
        route
            .get(name)
            .and_then(Value::as_i64)
            .is_some_and(|n| n != 0)
    };
    let classic = [
        "methods",
        "hosts",
        "paths",
        "headers",
        "snis",
        "sources",
        "destinations",
    ]
    .iter()
    .any(|name| set(name));
    if set("expression") {
        if classic {
            return Some(format!(
                "cannot set 'expression' with {MATCHERS} simultaneously"
            ));
        }
        if nonzero("regex_priority") {
            return Some("cannot set 'regex_priority' with 'expression' simultaneously".to_owned());
        }
        let expression = route.get("expression").and_then(Value::as_str);
        return expression.and_then(|text| router_language::check(text, family(route)));
    }
    if classic && nonzero("priority") {
        return Some(format!(
            "cannot set 'priority' with {MATCHERS} simultaneously"
        ));
    }
    header_without_values(route).or_else(|| first_refused(route))
}

/// A header with no value to compare with would be an empty alternative.
fn header_without_values(route: &Map<String, Value>) -> Option<String> {
    let headers = route.get("headers").and_then(Value::as_object);
    let mut empty = headers
        .into_iter()
        .flatten()
        .filter(|(_, values)| values.as_array().is_some_and(Vec::is_empty));
    let (name, _) = empty.next()?;
    Some(format!("header '{name}' must have at least one value"))
}

/// The routes of one protocol are those of its family.
fn family(route: &Map<String, Value>) -> Family {
    match texts(route.get("protocols")).next() {
        Some("tcp" | "tls" | "udp" | "tls_passthrough") => Family::Stream,
        _ => Family::Http,
    }
}

fn first_refused(route: &Map<String, Value>) -> Option<String> {
    let patterns = patterns(route);
    if patterns.len() > MOST_PATTERNS {
        return Some(format!("more than {MOST_PATTERNS} regular expressions"));
    }
    let err = patterns
        .iter()
        .find_map(|pattern| Regex::new(pattern).err())?;
    // The parser says at which place.
    let placed = router_language::parse(&written(route)).err();
    Some(placed.unwrap_or_else(|| err.to_string()))
}

/// The regular expressions of a route: of its paths and of its headers.
fn patterns(route: &Map<String, Value>) -> Vec<String> {
    let paths = texts(route.get("paths"))
        .filter_map(|path| path.strip_prefix('~'))
        .map(path_pattern);
    let headers = route.get("headers").and_then(Value::as_object);
    let headers = headers
        .into_iter()
        .flat_map(Map::values)
        .flat_map(|values| texts(Some(values)))
        .filter_map(|value| value.strip_prefix("~*"))
        .map(str::to_lowercase);
    paths.chain(headers).collect()
}

fn path_pattern(pattern: &str) -> String {
    format!("^{}", pattern.replace("?<", "?P<"))
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// A raw literal, or an escaped one when the text would end it.
fn literal(text: &str) -> String {
    if text.contains("\"#") {
        format!("{text:?}")
    } else {
        format!("r#\"{text}\"#")
    }
}

/// The matchers as one expression.
fn written(route: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    let snis: Vec<String> = texts(route.get("snis")).map(sni).collect();
    if !snis.is_empty() {
        let tls = match family(route) {
            Family::Http => "https",
            Family::Stream => "tls",
        };
        let any = snis.join(" || ");
        parts.push(format!("(net.protocol != r#\"{tls}\"# || ({any}))"));
    }
    let methods = texts(route.get("methods"));
    parts.extend(any_of(
        methods.map(|method| format!("http.method == {}", literal(method))),
    ));
    parts.extend(any_of(texts(route.get("hosts")).map(host)));
    parts.extend(any_of(texts(route.get("paths")).map(path)));
    let headers = route.get("headers").and_then(Value::as_object);
    for (name, values) in headers.into_iter().flatten() {
        parts.extend(any_of(texts(Some(values)).map(|value| header(name, value))));
    }
    parts.join(" && ")
}

/// `(a || b)`, or nothing.
fn any_of(alternatives: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = alternatives.collect();
    (!all.is_empty()).then(|| format!("({})", all.join(" || ")))
}

fn path(path: &str) -> String {
    match path.strip_prefix('~') {
        Some(pattern) => format!("http.path ~ {}", literal(&path_pattern(pattern))),
        None => format!("http.path ^= {}", literal(path)),
    }
}

fn header(name: &str, value: &str) -> String {
    let field = name.to_lowercase().replace('-', "_");
    let field = format!("any(lower(http.headers.{field}))");
    match value.strip_prefix("~*") {
        Some(pattern) => format!("{field} ~ {}", literal(&pattern.to_lowercase())),
        None => format!("{field} == {}", literal(&value.to_lowercase())),
    }
}

fn sni(name: &str) -> String {
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(_), _) => format!("tls.sni =^ {}", literal(&trimmed[1..])),
        (_, Some(prefix)) => format!("tls.sni ^= {}", literal(prefix)),
        _ => format!("tls.sni == {}", literal(trimmed)),
    }
}

fn host(host: &str) -> String {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, Some(port)),
        _ => (host, None),
    };
    let name = match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(suffix), _) => format!("http.host =^ {}", literal(suffix)),
        (_, Some(prefix)) => format!("http.host ^= {}", literal(prefix)),
        _ => format!("http.host == {}", literal(name)),
    };
    match port {
        Some(port) => format!("({name} && net.dst.port == {port})"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trial_27_a_route_has_a_bounded_number_of_patterns() {
        let route = |count: usize| {
            let paths: Vec<_> = (0..count).map(|at| json!(format!("~/{at}"))).collect();
            json!({ "paths": paths })
        };
        let found = |route: Value| super::check(route.as_object().expect("a route"));
        assert_eq!(found(route(1_000)), None);
        assert_eq!(
            found(route(1_001)).as_deref(),
            Some("more than 1000 regular expressions")
        );
    }

    #[test]
    fn the_refused_pattern_is_pointed_at() {
        let check = |route: Value, expected: Option<&str>| {
            let found = super::check(route.as_object().expect("a route"));
            assert_eq!(found.as_deref(), expected);
        };
        check(
            json!({"paths": ["~/a/\\d+$", "/b"], "headers": {"x": ["~*a"]}}),
            None,
        );
        check(
            json!({"headers": {"x": ["~*("]}}),
            Some(
                " --> 1:31\n  |\n1 | (any(lower(http.headers.x)) ~ r#\"(\"#)\n  |                               ^----^\n  |\n  = regex parse error:\n    (\n    ^\nerror: unclosed group",
            ),
        );
        check(
            json!({"headers": {"y": ["1"], "x": []}}),
            Some("header 'x' must have at least one value"),
        );
        let around = super::check(
            json!({"methods": ["GET"], "paths": ["~/(?=a)", "/b"]})
                .as_object()
                .expect("a route"),
        )
        .expect("refused");
        assert!(around.contains(r##"1 | (http.method == r#"GET"#) && (http.path ~ r#"^/(?=a)"# || http.path ^= r#"/b"#)"##), "{around}");
        assert!(around.contains("look-around"), "{around}");
    }
}
