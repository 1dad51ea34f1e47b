//! Whether the matchers of a route compile: they run as one expression.
//!
//! The expression is written out only when one of its regular expressions is refused, to
//! point at the place.

use regex::Regex;
use serde_json::{Map, Value};

const MATCHERS: &str =
    "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";

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
        // The expression itself is compiled by the router.
        return None;
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

/// Whether a regular expression is refused for what our engine leaves out on purpose.
pub(super) fn is_engine_limit(err: &regex::Error) -> bool {
    let text = err.to_string();
    text.contains("look-around") || text.contains("backreferences are not supported")
}

/// A piece of the written expression; regular expressions are kept apart.
enum Piece {
    Text(String),
    Regex(String),
}

fn first_refused(route: &Map<String, Value>) -> Option<String> {
    let patterns = patterns(route);
    let err = patterns
        .iter()
        .find_map(|pattern| Regex::new(pattern).err())?;
    // The error is placed by its pattern: the first piece that fails.
    let mut written = String::new();
    for piece in pieces(route) {
        match piece {
            Piece::Text(text) => written.push_str(&text),
            Piece::Regex(pattern) => {
                let text = literal(&pattern);
                match Regex::new(&pattern) {
                    Ok(_) => written.push_str(&text),
                    Err(err) => {
                        let column = written.chars().count();
                        let length = text.chars().count();
                        written.push_str(&text);
                        written.push_str(&rest(route, &written));
                        return Some(pointed(&written, column, length, &err));
                    }
                }
            }
        }
    }
    Some(err.to_string())
}

/// The rest of the expression after what is already written.
fn rest(route: &Map<String, Value>, written: &str) -> String {
    let whole: String = pieces(route)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Regex(pattern) => literal(&pattern),
        })
        .collect();
    whole.get(written.len()..).unwrap_or_default().to_owned()
}

fn pointed(line: &str, column: usize, length: usize, err: &regex::Error) -> String {
    let marker = match length {
        0 | 1 => "^".to_owned(),
        n => format!("^{}^", "-".repeat(n - 2)),
    };
    format!(
        " --> 1:{}\n  |\n1 | {line}\n  | {}{marker}\n  |\n  = {err}",
        column + 1,
        " ".repeat(column),
    )
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

fn pieces(route: &Map<String, Value>) -> Vec<Piece> {
    let mut parts: Vec<Vec<Piece>> = Vec::new();
    let snis: Vec<String> = texts(route.get("snis")).map(sni).collect();
    if !snis.is_empty() {
        let stream = texts(route.get("protocols"))
            .next()
            .is_some_and(|protocol| matches!(protocol, "tcp" | "tls" | "udp" | "tls_passthrough"));
        let tls = if stream { "tls" } else { "https" };
        parts.push(vec![Piece::Text(format!(
            "(net.protocol != r#\"{tls}\"# || ({}))",
            snis.join(" || ")
        ))]);
    }
    let methods: Vec<String> = texts(route.get("methods"))
        .map(|method| format!("http.method == {}", literal(method)))
        .collect();
    if !methods.is_empty() {
        parts.push(vec![Piece::Text(format!("({})", methods.join(" || ")))]);
    }
    let hosts: Vec<String> = texts(route.get("hosts")).map(host).collect();
    if !hosts.is_empty() {
        parts.push(vec![Piece::Text(format!("({})", hosts.join(" || ")))]);
    }
    let paths: Vec<Piece> =
        separated(
            texts(route.get("paths")).map(|path| match path.strip_prefix('~') {
                Some(pattern) => (
                    "http.path ~ ".to_owned(),
                    Piece::Regex(path_pattern(pattern)),
                ),
                None => (
                    format!("http.path ^= {}", literal(path)),
                    Piece::Text(String::new()),
                ),
            }),
        );
    if !paths.is_empty() {
        parts.push(paths);
    }
    let headers = route.get("headers").and_then(Value::as_object);
    for (name, values) in headers.into_iter().flatten() {
        let field = name.to_lowercase().replace('-', "_");
        let field = format!("any(lower(http.headers.{field}))");
        parts.push(separated(texts(Some(values)).map(
            |value| match value.strip_prefix("~*") {
                Some(pattern) => (format!("{field} ~ "), Piece::Regex(pattern.to_lowercase())),
                None => (
                    format!("{field} == {}", literal(&value.to_lowercase())),
                    Piece::Text(String::new()),
                ),
            },
        )));
    }
    let mut all = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            all.push(Piece::Text(" && ".to_owned()));
        }
        all.extend(part);
    }
    all
}

/// `(a || b)`.
fn separated(alternatives: impl Iterator<Item = (String, Piece)>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (at, (text, piece)) in alternatives.enumerate() {
        let before = if at == 0 { "(" } else { " || " };
        pieces.push(Piece::Text(format!("{before}{text}")));
        pieces.push(piece);
    }
    if !pieces.is_empty() {
        pieces.push(Piece::Text(")".to_owned()));
    }
    pieces
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
