//! What a route asks of a request besides its path: hosts, methods, headers, server names.

use super::facts::{Facts, split_port};
use super::priority::MatchOrder;
use super::protocols::Protocols;
use crate::model;
use regex::Regex;

/// The longest host or server name of a route, in bytes.
const MAX_NAME: usize = 255;

/// A host of a route, its port split off.
#[derive(Debug, PartialEq, Eq)]
pub struct HostPattern {
    pub name: Pattern,
    pub port: Option<u64>,
}

/// A name with an optional wildcard at one end, in the form of [`Facts::host_and_port`].
#[derive(Debug, PartialEq, Eq)]
pub enum Pattern {
    Exact(Box<str>),
    /// From `*x`: names that end with `x`.
    Suffix(Box<str>),
    /// From `x*`: names that begin with `x`.
    Prefix(Box<str>),
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let text = &text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let pattern = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), _) => Pattern::Suffix(suffix.into()),
            (None, Some(prefix)) => Pattern::Prefix(prefix.into()),
            (None, None) => Pattern::Exact(text.as_str().into()),
        };
        if pattern.text().contains('*') {
            return Err("a wildcard is allowed once, as the first or last character".into());
        }
        if text.len() > MAX_NAME {
            return Err(format!("longer than {MAX_NAME} bytes"));
        }
        Ok(pattern)
    }

    fn text(&self) -> &str {
        match self {
            Pattern::Exact(text) | Pattern::Suffix(text) | Pattern::Prefix(text) => text,
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(text) => name == &**text,
            Pattern::Suffix(text) => name.ends_with(&**text),
            Pattern::Prefix(text) => name.starts_with(&**text),
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<HostPattern, String> {
        let (name, port) = split_port(text);
        Ok(HostPattern {
            name: Pattern::parse(name)?,
            port,
        })
    }
}

/// One header name and the values of which any value of the request must match one.
#[derive(Debug)]
struct HeaderCondition {
    /// Lower case, `-` for `_`.
    name: Box<str>,
    values: Box<[HeaderValue]>,
}

#[derive(Debug)]
enum HeaderValue {
    /// In lower case.
    Equal(Box<str>),
    /// Compiled from the pattern in lower case; not anchored.
    Regex(Regex),
}

/// All conditions of a route but its paths.
#[derive(Debug)]
pub struct Conditions {
    pub hosts: Box<[HostPattern]>,
    /// What is left to check for a request that was found under one of the hosts' names; most
    /// routes have nothing.
    rest: Option<Box<Rest>>,
}

#[derive(Debug)]
struct Rest {
    /// Some hosts have a port, so their names are not enough.
    hosts_with_ports: bool,
    methods: Box<[Box<str>]>,
    headers: Box<[HeaderCondition]>,
    snis: Box<[Pattern]>,
    /// Requests without TLS pass the server name condition (Kong's original behaviour).
    plain_passes_snis: bool,
}

impl Conditions {
    /// Adds one text for the user per invalid field to `violations`.
    pub fn compile(
        route: &model::Route,
        protocols: Protocols,
        order: MatchOrder,
        violations: &mut Vec<String>,
    ) -> Conditions {
        let hosts = parse_all("hosts", &route.hosts, HostPattern::parse, violations);
        let snis = parse_all("snis", &route.snis, Pattern::parse, violations);
        let headers = route
            .headers
            .iter()
            .map(|(name, values)| HeaderCondition {
                name: name.to_ascii_lowercase().replace('_', "-").into(),
                values: parse_all(
                    &format!("headers.{name}"),
                    values,
                    parse_header_value,
                    violations,
                ),
            })
            .collect();
        let only_tls = protocols.is_subset(Protocols::TLS);
        let rest = Rest {
            hosts_with_ports: hosts.iter().any(|host| host.port.is_some()),
            methods: route
                .methods
                .iter()
                .map(|method| method.as_str().into())
                .collect(),
            headers,
            snis,
            plain_passes_snis: order == MatchOrder::Original || !only_tls,
        };
        Conditions {
            hosts,
            rest: (!rest.is_empty()).then(|| Box::new(rest)),
        }
    }

    /// How many of hosts, methods, headers and server names are given.
    pub fn categories(&self) -> u32 {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.categories());
        u32::from(!self.hosts.is_empty()) + rest
    }

    pub fn plain_hosts(&self) -> bool {
        let plain = |host: &HostPattern| matches!(host.name, Pattern::Exact(_));
        !self.hosts.is_empty() && self.hosts.iter().all(plain)
    }

    pub fn header_names(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.headers.len())
    }

    /// Whether a request that was found under one of the hosts' names meets every condition.
    pub fn hold(&self, facts: &Facts<'_>, host: &str, port: u64) -> bool {
        let Some(rest) = &self.rest else { return true };
        let host_holds = |pattern: &HostPattern| {
            pattern.port.is_none_or(|wanted| wanted == port) && pattern.name.matches(host)
        };
        (!rest.hosts_with_ports || self.hosts.iter().any(host_holds))
            && rest.method_holds(facts.method)
            && rest.sni_holds(facts)
            && rest.headers.iter().all(|header| header.holds(facts))
    }
}

impl Rest {
    fn is_empty(&self) -> bool {
        !self.hosts_with_ports && self.categories() == 0
    }

    fn categories(&self) -> u32 {
        [
            !self.methods.is_empty(),
            !self.headers.is_empty(),
            !self.snis.is_empty(),
        ]
        .into_iter()
        .map(u32::from)
        .sum()
    }

    fn method_holds(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|wanted| &**wanted == method)
    }

    fn sni_holds(&self, facts: &Facts<'_>) -> bool {
        if self.snis.is_empty() || !facts.https && self.plain_passes_snis {
            return true;
        }
        let Some(sni) = facts.sni else { return false };
        let sni = sni.strip_suffix('.').unwrap_or(sni);
        self.snis.iter().any(|pattern| pattern.matches(sni))
    }
}

impl HeaderCondition {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        facts.headers.any_value(&self.name, &mut |value| {
            self.values.iter().any(|wanted| wanted.matches(value))
        })
    }
}

impl HeaderValue {
    fn matches(&self, value: &[u8]) -> bool {
        // Lower-casing allocates; ASCII values, which are nearly all, rarely need it.
        match self {
            HeaderValue::Equal(wanted) if value.is_ascii() => {
                value.eq_ignore_ascii_case(wanted.as_bytes())
            }
            HeaderValue::Equal(wanted) => {
                std::str::from_utf8(value).is_ok_and(|value| value.to_lowercase() == **wanted)
            }
            HeaderValue::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| {
                let lower = !value.is_ascii() || value.bytes().any(|b| b.is_ascii_uppercase());
                match lower {
                    true => regex.is_match(&value.to_lowercase()),
                    false => regex.is_match(value),
                }
            }),
        }
    }
}

fn parse_header_value(text: &str) -> Result<HeaderValue, String> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("~*") {
        Some(pattern) => super::regex_path::build(pattern).map(HeaderValue::Regex),
        None => Ok(HeaderValue::Equal(lower.into())),
    }
}

fn parse_all<T>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
    violations: &mut Vec<String>,
) -> Box<[T]> {
    let mut parsed = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        match parse(text) {
            Ok(value) => parsed.push(value),
            Err(reason) => violations.push(format!("{field}[{at}]: {reason}")),
        }
    }
    parsed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns() {
        let exact = |name: &str, port| HostPattern {
            name: Pattern::Exact(name.into()),
            port,
        };
        for (text, expected) in [
            ("a.test", Ok(exact("a.test", None))),
            ("A.Test.", Ok(exact("a.test", None))),
            ("[::1]:80", Ok(exact("[::1]", Some(80)))),
            ("a.test:80", Ok(exact("a.test", Some(80)))),
            (
                "*.A.:81",
                Ok(HostPattern {
                    name: Pattern::Suffix(".a".into()),
                    port: Some(81),
                }),
            ),
            (
                "a.*",
                Ok(HostPattern {
                    name: Pattern::Prefix("a.".into()),
                    port: None,
                }),
            ),
        ] {
            assert_eq!(HostPattern::parse(text), expected, "{text}");
        }
        for text in ["a.*.b", "*.a.*", "**"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn header_values() {
        for (wanted, value, expected) in [
            ("Dev", "dEV", true),
            ("dev", "devx", false),
            ("é", "É", true),
            ("~*^V\\D+$", "vab", false),
            ("~*b", "ABC", true),
            ("~*ü", "Ü", true),
        ] {
            let condition = parse_header_value(wanted).expect("a valid value");
            assert_eq!(
                condition.matches(value.as_bytes()),
                expected,
                "{wanted} {value}"
            );
        }
        assert!(!parse_header_value("a").expect("valid").matches(b"\xff"));
    }
}
