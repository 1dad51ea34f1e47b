//! URLs, split the lenient way that clients of the Admin API rely on.

/// The parts of a URL; nothing is decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub scheme: Option<String>,
    pub user_info: Option<String>,
    pub host: Option<String>,
    pub port: Option<String>,
    pub path: Option<String>,
    pub has_fragment: bool,
}

/// Splits a URL into its parts; an absent part is `None`.
pub(crate) fn parse(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut rest = text;
    if let Some((before, _)) = rest.split_once('#') {
        parts.has_fragment = true;
        rest = before;
    }
    if let Some((scheme, after)) = rest.split_once(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphanumeric())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        parts.scheme = Some(scheme.to_owned());
        rest = after;
    }
    let mut authority = None;
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        authority = Some(&after[..end]);
        rest = &after[end..];
    }
    let path = rest.split(['?', ';']).next().unwrap_or_default();
    if !path.is_empty() {
        parts.path = Some(path.to_owned());
    }
    let Some(mut authority) = authority else {
        return parts;
    };
    if let Some((user_info, after)) = authority.split_once('@') {
        parts.user_info = Some(user_info.to_owned());
        authority = after;
    }
    if let Some((host, port)) = authority.rsplit_once(':')
        && !port.contains(']')
    {
        parts.port = (!port.is_empty()).then(|| port.to_owned());
        authority = host;
    }
    let host = authority
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(authority);
    parts.host = (!host.is_empty()).then(|| host.to_owned());
    parts
}

/// An absolute URL.
pub(super) fn check(text: &str) -> Result<(), String> {
    let parts = parse(text);
    if parts.host.is_none() {
        return Err("missing host in url".to_owned());
    }
    match parts.scheme {
        Some(_) => Ok(()),
        None => Err("missing scheme in url".to_owned()),
    }
}

/// An absolute URL without a fragment.
pub(super) fn redirect_uri(text: &str) -> Result<(), String> {
    let parts = parse(text);
    if parts.host.is_none() || parts.scheme.is_none() {
        return Err(format!("cannot parse '{text}'"));
    }
    match parts.has_fragment {
        true => Err(format!("fragment not allowed in '{text}'")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        let check = |text: &str, expected: [Option<&str>; 4]| {
            let p = parse(text);
            let found = [&p.scheme, &p.host, &p.port, &p.path].map(Option::as_deref);
            assert_eq!(found, expected, "{text}");
        };
        check(
            "http://ex.test:8080/a",
            [Some("http"), Some("ex.test"), Some("8080"), Some("/a")],
        );
        check("invalid url", [None, None, None, Some("invalid url")]);
        check("//ex.test:443", [None, Some("ex.test"), Some("443"), None]);
        check(
            "http://[::1]:80/x",
            [Some("http"), Some("::1"), Some("80"), Some("/x")],
        );
        check(
            "http://u:p@h/x?y=1#z",
            [Some("http"), Some("h"), None, Some("/x")],
        );
        check(
            "userdata: NULL",
            [Some("userdata"), None, None, Some(" NULL")],
        );
    }
}
