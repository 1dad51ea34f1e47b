//! The language of a route's `expression`: its syntax is the one of Kong's own parser, its fields are
//! those of Kong 3.9's router.

use atc_router::ast::{Expression, Type};
use atc_router::parser;
use atc_router::schema::Schema;
use atc_router::semantics::{FieldCounter, Validate};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Deeper parentheses are refused: the parser follows them on the stack.
const MAX_DEPTH: usize = 100;
/// More conjunctions and disjunctions are refused, for the same reason.
const MAX_OPERATORS: usize = 1000;

const SEGMENTS: &str = "http.path.segments.";

/// What a route is for; the fields differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// http, https, grpc and grpcs.
    Http,
    /// tcp, tls, udp and tls_passthrough.
    Stream,
}

static HTTP: LazyLock<Schema> = LazyLock::new(|| {
    let mut fields = connection();
    for name in [
        "http.method",
        "http.host",
        "http.path",
        "http.path.segments.*",
        "http.headers.*",
        "http.queries.*",
    ] {
        fields.add_field(name, Type::String);
    }
    fields.add_field("http.path.segments.len", Type::Int);
    fields
});

static STREAM: LazyLock<Schema> = LazyLock::new(connection);

/// The fields that both families have.
fn connection() -> Schema {
    let mut fields = Schema::default();
    for (name, kind) in [
        ("net.protocol", Type::String),
        ("tls.sni", Type::String),
        ("net.src.ip", Type::IpAddr),
        ("net.src.port", Type::Int),
        ("net.dst.ip", Type::IpAddr),
        ("net.dst.port", Type::Int),
        // Deprecated: the same as net.dst.port.
        ("net.port", Type::Int),
    ] {
        fields.add_field(name, kind);
    }
    fields
}

/// Why an expression is none, in the parser's words.
pub(super) fn check(expression: &str, family: Family) -> Option<String> {
    let parsed = match parse(expression) {
        Ok(parsed) => parsed,
        Err(why) => return Some(why),
    };
    let fields = match family {
        Family::Http => &HTTP,
        Family::Stream => &STREAM,
    };
    if let Err(why) = parsed.validate(fields) {
        return Some(why);
    }
    let mut used = HashMap::new();
    parsed.add_to_counter(&mut used);
    let mut segments = used.keys().filter_map(|field| field.strip_prefix(SEGMENTS));
    let illformed = segments.any(|place| !is_place(place));
    illformed.then(|| "illformed http.path.segments.* field".to_owned())
}

/// The expression, if it is one that is not too large for the stack.
///
/// # Errors
/// Why not, in the parser's words.
pub(super) fn parse(expression: &str) -> Result<Expression, String> {
    if depth(expression) > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} parentheses in one another"));
    }
    let operators = expression.matches("&&").count() + expression.matches("||").count();
    if operators > MAX_OPERATORS {
        return Err(format!("more than {MAX_OPERATORS} of && and ||"));
    }
    parser::parse(expression).map_err(|err| err.to_string())
}

/// `len`, the number of a segment, or a first and a later one: `0_2`.
fn is_place(text: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    match text.split_once('_') {
        Some((from, to)) => matches!((number(from), number(to)), (Some(a), Some(b)) if a < b),
        None => text == "len" || number(text).is_some(),
    }
}

/// The most parentheses that are open at once, those within literals included.
fn depth(text: &str) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_both_families() {
        for text in [
            r#"http.path == "/a""#,
            r##"(http.path ^= "/a" || http.path ~ r#"^/b/\d+$"#) && http.method == "GET""##,
            r#"any(lower(http.headers.x_env)) contains "dev" && !(http.queries.a == "1")"#,
            r#"http.path.segments.0 == "a" && http.path.segments.1_3 == "b/c/d""#,
            "http.path.segments.len >= 0x2 && net.dst.port == 8000 && net.port == 80",
        ] {
            assert_eq!(check(text, Family::Http), None, "{text}");
        }
        for text in [
            "net.src.ip in 10.0.0.0/8 && net.dst.port not in 1",
            r#"http.path == "/a""#,
        ] {
            assert!(check(text, Family::Stream).is_some(), "{text}");
        }
        let stream = r#"net.src.ip in fd00::/8 || net.dst.ip == 10.0.0.1 || tls.sni =^ ".a.test""#;
        assert_eq!(check(stream, Family::Stream), None);
    }

    #[test]
    fn what_is_refused() {
        let check = |text: &str, why: &str| {
            let found = check(text, Family::Http).unwrap_or_default();
            assert!(found.contains(why), "{text}: {found}");
        };
        check("http.path = \"/\"", " --> 1:11");
        check("", "expected");
        check("http.body == \"x\"", "Unknown LHS field");
        check("http.path == 1", "Type mismatch");
        check("net.dst.port ~ \"1\"", "Regex operators");
        check("net.src.ip == 10.0.0.0/8", "Type mismatch");
        check("net.src.ip in 10.0.0.1", "In/NotIn operators");
        check("http.path ~ \"(\"", "unclosed group");
        for place in ["x", "2_1", "1_1", "1_"] {
            let text = format!("http.path.segments.{place} == \"a\"");
            check(&text, "illformed http.path.segments.* field");
        }
    }

    #[test]
    fn nothing_is_so_deep_that_the_stack_ends() {
        let nested = |n: usize| format!("{}net.port == 1{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(check(&nested(MAX_DEPTH), Family::Http), None);
        assert!(check(&nested(1_000_000), Family::Http).is_some());
        let chain = |n: usize| vec!["net.port == 1"; n + 1].join(" && ");
        assert_eq!(check(&chain(MAX_OPERATORS), Family::Http), None);
        assert!(check(&chain(MAX_OPERATORS + 1), Family::Http).is_some());
    }
}
