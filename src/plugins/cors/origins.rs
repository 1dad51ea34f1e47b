//! Which origins may read a response.

use regex::bytes::Regex;

/// What the answer to any origin is, as far as the configuration alone tells.
#[derive(Debug)]
pub enum Origins {
    /// Every origin.
    Any,
    /// This one, whoever asks.
    One(Box<str>),
    /// The first that matches.
    Listed(Vec<Entry>),
}

/// One configured origin of several.
#[derive(Debug)]
pub enum Entry {
    /// An origin without the port that its scheme implies.
    Origin(Box<[u8]>),
    /// A host alone, whatever scheme and port.
    Host(Box<[u8]>),
    /// Matches the whole origin.
    Pattern(Regex),
    /// Matches the whole host.
    HostPattern(Regex),
}

/// A configured origin that is neither a text nor a regular expression of this build.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPattern(pub String);

impl Origins {
    /// # Errors
    /// Names the pattern that cannot be compiled.
    pub fn new(configured: &[String]) -> Result<Origins, BadPattern> {
        match configured {
            [] => Ok(Origins::Any),
            [one] if one == "*" => Ok(Origins::Any),
            [one] if is_plain(one) => Ok(Origins::One(one.as_str().into())),
            _ => {
                // A `*` counts only when it is alone, as in Kong: here it matches nothing.
                let listed = configured.iter().filter(|entry| *entry != "*");
                listed
                    .map(|entry| Entry::new(entry))
                    .collect::<Result<_, _>>()
                    .map(Origins::Listed)
            }
        }
    }

    /// The origin that a response to `asking` names, of those that are listed.
    pub fn allowed(entries: &[Entry], asking: &[u8]) -> Option<Vec<u8>> {
        let (origin, host) = normalised(asking);
        let is_allowed = entries.iter().any(|entry| match entry {
            Entry::Origin(allowed) => **allowed == *origin,
            Entry::Host(allowed) => host.is_some_and(|host| **allowed == *host),
            Entry::Pattern(pattern) => pattern.is_match(&origin),
            Entry::HostPattern(pattern) => host.is_some_and(|host| pattern.is_match(host)),
        });
        is_allowed.then_some(origin)
    }
}

impl Entry {
    fn new(text: &str) -> Result<Entry, BadPattern> {
        let names_host = !text.contains(':');
        if is_plain(text) {
            let (origin, _) = normalised(text.as_bytes());
            // `null` is what browsers send for pages without an origin.
            return Ok(match names_host && text != "null" {
                true => Entry::Host(origin.into()),
                false => Entry::Origin(origin.into()),
            });
        }
        // Anchored, so that `https://example\.com` does not allow `https://example.com.evil`.
        let anchored = Regex::new(&format!("^(?:{text})$"));
        let pattern = anchored.map_err(|error| BadPattern(format!("'{text}': {error}")))?;
        Ok(match names_host {
            true => Entry::HostPattern(pattern),
            false => Entry::Pattern(pattern),
        })
    }
}

/// Whether a configured origin means itself.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// An origin without the port that its scheme implies, and its host.
fn normalised(origin: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let Some(at) = origin.windows(3).position(|three| three == b"://") else {
        return (origin.to_vec(), None);
    };
    let (scheme, authority) = (&origin[..at], &origin[at + 3..]);
    // An IPv6 address has colons of its own, in brackets.
    let name_end = authority.iter().rposition(|byte| *byte == b']');
    let after = name_end.map_or(0, |end| end + 1);
    let colon = authority[after..].iter().position(|byte| *byte == b':');
    let Some(colon) = colon.map(|colon| colon + after) else {
        return (origin.to_vec(), Some(authority));
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    let implied: &[u8] = match scheme {
        b"http" => b"80",
        b"https" => b"443",
        _ => b"",
    };
    match port == implied {
        true => (origin[..at + 3 + colon].to_vec(), Some(host)),
        false => (origin.to_vec(), Some(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(configured: &[&str]) -> Vec<Entry> {
        let configured: Vec<String> = configured.iter().map(|text| (*text).to_owned()).collect();
        match Origins::new(&configured).expect("patterns") {
            Origins::Listed(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_listed_origin_is_answered_with_itself() {
        let check = |configured: &[&str], asking: &str, expected: Option<&str>| {
            let allowed = Origins::allowed(&listed(configured), asking.as_bytes());
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(allowed, expected, "{configured:?} {asking}");
        };
        let two = &["http://a.com", "https://b.com:8443"][..];
        check(two, "http://a.com", Some("http://a.com"));
        check(two, "http://a.com:80", Some("http://a.com"));
        check(two, "https://a.com", None);
        check(two, "http://a.com:8080", None);
        check(two, "https://b.com:8443", Some("https://b.com:8443"));
        check(two, "null", None);
        check(two, "", None);
        check(
            &["https://a.com:443", "x"],
            "https://a.com",
            Some("https://a.com"),
        );
        check(&["null", "x"], "null", Some("null"));
        // Without a colon it is the host that is meant.
        let hosts = &[r".*\.x\.com$", "plain.com"][..];
        check(hosts, "http://sub.x.com", Some("http://sub.x.com"));
        check(hosts, "https://sub.x.com:9", Some("https://sub.x.com:9"));
        check(hosts, "http://plain.com", Some("http://plain.com"));
        check(hosts, "http://x.com", None);
        check(hosts, "http://plain.com.evil", None);
        check(hosts, "null", None);
        // Patterns match the whole.
        let pattern = &[r"http://.*\.o\.test", r"http://o\.test"][..];
        check(pattern, "http://a.o.test", Some("http://a.o.test"));
        check(pattern, "http://a.o.test:8080", None);
        check(pattern, "http://o.test.evil", None);
        check(&["a|b", "x"], "http://a", Some("http://a"));
        check(&["a|b", "x"], "http://ac", None);
        // A star means everybody only when it is alone.
        check(&["*", "http://a.com"], "http://b.com", None);
    }

    #[test]
    fn some_configurations_need_no_look() {
        let new = |configured: &[&str]| {
            let configured: Vec<String> =
                configured.iter().map(|text| (*text).to_owned()).collect();
            Origins::new(&configured)
        };
        assert!(matches!(new(&[]), Ok(Origins::Any)));
        assert!(matches!(new(&["*"]), Ok(Origins::Any)));
        assert!(matches!(new(&["null"]), Ok(Origins::One(one)) if &*one == "null"));
        let BadPattern(text) = new(&["(?=a)b"]).expect_err("no such pattern here");
        assert!(text.starts_with("'(?=a)b': "), "{text}");
    }
}
