//! Where http-log sends to: the parts of its URL.

use awc::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// An endpoint, without the user info of its URL.
pub struct Endpoint {
    pub url: Uri,
    /// The value of Authorization that the user info makes.
    pub authorization: Option<String>,
}

impl Endpoint {
    /// # Errors
    /// Why nothing can be sent there; without the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Endpoint, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("the URL has no scheme")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err("the URL is neither http nor https");
        }
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        // A query may follow the authority at once.
        let slash = if target.starts_with('/') { "" } else { "/" };
        let url = format!("{}://{place}{slash}{target}", scheme.to_ascii_lowercase());
        Ok(Endpoint {
            url: url.parse().map_err(|_| "this is no URL")?,
            authorization: user.map(|user| {
                let decoded: Vec<u8> = percent_decode_str(user).collect();
                format!("Basic {}", STANDARD.encode(decoded))
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_place_and_perhaps_a_user() {
        let check = |text: &str, url: &str, authorization: Option<&str>| {
            let found = Endpoint::parse(text).expect(text);
            assert_eq!(found.url.to_string(), url, "{text}");
            assert_eq!(found.authorization.as_deref(), authorization, "{text}");
        };
        check("http://log.test/a?b=%20c", "http://log.test/a?b=%20c", None);
        check("HTTPS://log.test:9", "https://log.test:9/", None);
        check("http://log.test?x=1#part", "http://log.test/?x=1", None);
        check("http://[::1]:80/@a", "http://[::1]:80/@a", None);
        check(
            "http://user:pass@log.test/",
            "http://log.test/",
            Some("Basic dXNlcjpwYXNz"),
        );
        check(
            "http://user:p%40ss@log.test/",
            "http://log.test/",
            Some("Basic dXNlcjpwQHNz"),
        );
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_told() {
        for text in ["", "log.test", "ftp://log.test/", "http://", "http://a b/"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
