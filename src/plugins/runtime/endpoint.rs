//! Servers that take what plugins post: their URLs, and sending.

use super::http_client::{HttpClient, HttpOptions, HttpRequest, ResponseBody};
use super::queue::DeliveryError;
use super::resources::Resources;
use awc::http::Uri;
use awc::http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use std::time::Duration;

const AGENT: &str = concat!("langur/", env!("CARGO_PKG_VERSION"));

/// An endpoint, without the user info of its URL.
struct Endpoint {
    url: Uri,
    /// The value of Authorization that the user info makes.
    authorization: Option<String>,
}

impl Endpoint {
    /// # Errors
    /// Why nothing can be sent there; without the URL, which may hold a password.
    fn parse(text: &str) -> Result<Endpoint, &'static str> {
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

/// A server that takes bodies.
pub struct Collector {
    client: HttpClient,
    request: HttpRequest,
}

/// How bodies are sent.
pub struct Posting<'a> {
    pub method: &'static str,
    /// They win over the client's name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// For a whole attempt.
    pub timeout: Duration,
    pub keep_alive: Duration,
    /// Verify the certificate of the server.
    pub verify: bool,
    pub resources: &'a Resources,
}

impl Collector {
    /// # Errors
    /// Why nothing can be sent to this URL, which is not told: it may hold a password.
    pub fn new(url: &str, posting: Posting<'_>) -> Result<Collector, String> {
        let endpoint = Endpoint::parse(url)?;
        let mut headers = vec![(USER_AGENT, HeaderValue::from_static(AGENT))];
        for (name, value) in posting.headers {
            headers.retain(|(known, _)| *known != name || *known != USER_AGENT);
            headers.push((name, value));
        }
        if let Some(text) = &endpoint.authorization {
            let value = HeaderValue::from_str(text).map_err(|_| "no value of a header")?;
            headers.push((AUTHORIZATION, value));
        }
        let tls = endpoint.url.scheme_str() == Some("https");
        let options = HttpOptions {
            verify: posting.verify && tls,
            keep_alive: posting.keep_alive,
        };
        let client = posting.resources.http.client(options);
        Ok(Collector {
            client: client.map_err(|error| error.to_string())?,
            request: HttpRequest {
                method: posting.method,
                url: endpoint.url,
                headers,
                body: Bytes::new(),
                timeout: posting.timeout,
                response: ResponseBody::Ignored,
            },
        })
    }

    /// # Errors
    /// There was no answer, or it was none of success.
    pub async fn send(&self, body: Bytes) -> Result<(), DeliveryError> {
        let request = HttpRequest {
            body,
            ..self.request.clone()
        };
        let response = self.client.send(request).await;
        match response.map_err(|error| error.to_string())?.status {
            ..300 => Ok(()),
            status => Err(format!("the answer is {status}").into()),
        }
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
