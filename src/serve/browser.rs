//! What a page in a browser may do on a listener that asks nobody who they are.
//!
//! Whoever reaches the Admin API may use it, and a browser reaches what its user reaches. So a page
//! of somebody else must not get a browser to write, nor read what is answered, and a name that an
//! attacker points at a loopback address (DNS rebinding) must not be served there. Programs send
//! neither `Origin` nor `Sec-Fetch-Site`, and are not concerned.

use crate::settings::Pages;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use std::net::IpAddr;

/// To whom an answer may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nobody said which page asks: no browser, or a page's own origin.
    NoOrigin,
    /// To pages of this origin.
    Origin(HeaderValue),
    /// Not to the page that asks.
    Nobody,
}

impl Grant {
    /// The headers by which the browser knows.
    pub fn insert_headers(&self, headers: &mut HeaderMap) {
        if *self != Grant::NoOrigin {
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        let origin = match self {
            Grant::NoOrigin => HeaderValue::from_static("*"),
            Grant::Origin(origin) => origin.clone(),
            Grant::Nobody => return,
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "'{0}' is no name of this machine's loopback address; if it is one of yours, name it in \
         admin_allowed_hosts"
    )]
    Host(String),
    #[error(
        "pages of the origin '{0}' may not use this; if they are yours, name it in \
         admin_allowed_origins"
    )]
    Origin(String),
    #[error(
        "pages of other sites may not use this; if they are yours, name their origin in \
         admin_allowed_origins"
    )]
    OtherSite,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is looked at.
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    /// Whether it came to a listener that is bound to a loopback address.
    loopback: bool,
    /// Whether it came over TLS.
    secure: bool,
}

impl Pages {
    /// Whether a request is answered, and who may see the answer.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn judge(&self, request: &HttpRequest) -> Result<Grant, Refused> {
        let config = request.app_config();
        self.judge_asked(&Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            loopback: config.local_addr().ip().to_canonical().is_loopback(),
            secure: config.secure(),
        })
    }

    fn judge_asked(&self, asked: &Asked<'_>) -> Result<Grant, Refused> {
        let authorities = authorities(asked);
        if asked.loopback {
            let other = |authority: &&String| {
                let host = host(authority);
                !is_loopback(host) && !self.lists_host(host)
            };
            if let Some(other) = authorities.iter().find(other) {
                return Err(Refused::Host(shown(other)));
            }
        }
        // A preflight asks for leave to do what needs it.
        let preflight = asked
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let only_reads = match *asked.method {
            Method::GET | Method::HEAD => true,
            Method::OPTIONS => !preflight,
            _ => false,
        };
        let mut origins = asked.headers.get_all(header::ORIGIN);
        let Some(origin) = origins.next() else {
            let site = asked.headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
            // Another port of the same name is the same site, and still another's page.
            let elsewhere = matches!(site, Some(b"cross-site" | b"same-site"));
            return match elsewhere && !only_reads {
                true => Err(Refused::OtherSite),
                false => Ok(Grant::NoOrigin),
            };
        };
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let alone = origins.next().is_none();
        let own = || self.is_own(&text, &authorities, asked.secure);
        if alone && (self.origins.contains(&text) || own()) {
            return Ok(Grant::Origin(origin.clone()));
        }
        match only_reads {
            true => Ok(Grant::Nobody),
            false => Err(Refused::Origin(shown(&text))),
        }
    }

    /// Whether the page came from here itself. A name proves that only where no attacker can have
    /// pointed it here: an address, a name of the loopback address, or one that is listed.
    fn is_own(&self, origin: &str, authorities: &[String], secure: bool) -> bool {
        let (scheme, port) = match secure {
            true => ("https", ":443"),
            false => ("http", ":80"),
        };
        let [authority] = authorities else {
            return false;
        };
        let host = host(authority);
        let certain = address(host).is_some() || is_loopback(host) || self.lists_host(host);
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        certain && origin == format!("{scheme}://{authority}")
    }

    fn lists_host(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        self.hosts
            .iter()
            .any(|listed| match listed.strip_prefix('*') {
                Some(end) => host.len() > end.len() && host.ends_with(end),
                None => host == listed,
            })
    }
}

/// Who is asked for: every `Host` that is given and the authority of the target, in lower case. Old
/// clients give none, and no browser is among them.
fn authorities(asked: &Asked<'_>) -> Vec<String> {
    let hosts = asked.headers.get_all(header::HOST);
    let hosts = hosts.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let target = asked.uri.authority().map(ToString::to_string);
    let mut all: Vec<String> = hosts
        .chain(target)
        .map(|authority| authority.trim().to_ascii_lowercase())
        .filter(|authority| !authority.is_empty())
        .collect();
    all.dedup();
    all
}

/// The host of an authority, without the dot that ends an absolute name.
fn host(authority: &str) -> &str {
    let after = |authority: &str| authority.rfind(']').map_or(0, |end| end + 1);
    let port = authority[after(authority)..].find(':');
    let end = port.map_or(authority.len(), |at| after(authority) + at);
    let host = &authority[..end];
    host.strip_suffix('.').unwrap_or(host)
}

/// The address that a host is, if it is one.
fn address(host: &str) -> Option<IpAddr> {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Names that lead nowhere else: browsers do not ask the DNS for those that end in `localhost`.
fn is_loopback(host: &str) -> bool {
    let named = host == "localhost" || host.ends_with(".localhost");
    named || address(host).is_some_and(|address| address.to_canonical().is_loopback())
}

/// What a message repeats of a request.
fn shown(text: &str) -> String {
    text.chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn pages() -> Pages {
        Pages {
            origins: vec!["https://manager.test".to_owned()],
            hosts: vec!["admin.test".to_owned(), "*.inside.test".to_owned()],
        }
    }

    fn judge(method: &str, headers: &[(&str, &str)], loopback: bool) -> Result<Grant, Refused> {
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        let request = request.to_http_request();
        pages().judge_asked(&Asked {
            method: &Method::from_bytes(method.as_bytes()).expect("a method"),
            uri: &Uri::from_static("/services"),
            headers: request.headers(),
            loopback,
            secure: false,
        })
    }

    #[test]
    fn trial_14_a_loopback_listener_has_loopback_names_only() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8001", true),
            ("localhost.:8001", true),
            ("kong.localhost", true),
            ("127.0.0.1:8001", true),
            ("127.8.9.10", true),
            ("[::1]:8001", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]:8001", true),
            ("admin.test:1", true),
            ("a.inside.test", true),
            ("", true),
            ("inside.test", false),
            ("evil.example:8001", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("10.0.0.1:8001", false),
            ("127.0.0.1.evil.example", false),
            ("[::2]", false),
            ("[::1].evil.example", false),
        ] {
            for method in ["GET", "POST", "OPTIONS"] {
                let found = judge(method, &[("Host", host)], true);
                let refused = Err(Refused::Host(host.to_ascii_lowercase()));
                let wanted = if expected {
                    Ok(Grant::NoOrigin)
                } else {
                    refused
                };
                assert_eq!(found, wanted, "{method} {host}");
                // Elsewhere every name is served.
                let found = judge(method, &[("Host", host)], false);
                assert_eq!(found, Ok(Grant::NoOrigin), "{method} {host}");
            }
        }
        let twice = judge(
            "GET",
            &[("Host", "localhost"), ("Host", "evil.example")],
            true,
        );
        assert_eq!(twice, Err(Refused::Host("evil.example".to_owned())));
        assert_eq!(judge("GET", &[], true), Ok(Grant::NoOrigin), "HTTP/1.0");
    }

    #[test]
    fn trial_14_the_target_names_a_host_too() {
        let request = TestRequest::default().to_http_request();
        let found = pages().judge_asked(&Asked {
            method: &Method::GET,
            uri: &Uri::from_static("http://evil.example/services"),
            headers: request.headers(),
            loopback: true,
            secure: false,
        });
        assert_eq!(found, Err(Refused::Host("evil.example".to_owned())));
    }

    #[test]
    fn trial_14_pages_of_others_neither_write_nor_read() {
        let here = ("Host", "127.0.0.1:8001");
        let (yes, no) = (true, false);
        for (origin, granted) in [
            ("https://manager.test", yes),
            ("http://127.0.0.1:8001", yes),
            ("http://evil.example", no),
            ("http://manager.test", no),
            ("https://manager.test:8443", no),
            ("https://manager.test.evil.example", no),
            // Another port is another page, though the same site.
            ("http://127.0.0.1:3000", no),
            ("http://localhost:8001", no),
            ("https://127.0.0.1:8001", no),
            ("null", no),
            ("", no),
        ] {
            let headers = [here, ("Origin", origin)];
            let shown = match granted {
                true => Ok(Grant::Origin(HeaderValue::from_static(origin))),
                false => Ok(Grant::Nobody),
            };
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(judge(method, &headers, true), shown, "{method} {origin}");
            }
            let written = match granted {
                true => shown,
                false => Err(Refused::Origin(origin.to_owned())),
            };
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                for loopback in [true, false] {
                    let found = judge(method, &headers, loopback);
                    assert_eq!(found, written, "{method} {origin}");
                }
            }
            let preflight = [
                headers[0],
                headers[1],
                ("Access-Control-Request-Method", "GET"),
            ];
            let found = judge("OPTIONS", &preflight, true);
            assert_eq!(found, written, "a preflight of {origin}");
        }
        let twice = [
            here,
            ("Origin", "https://manager.test"),
            ("Origin", "http://evil.example"),
        ];
        assert!(judge("POST", &twice, true).is_err());
    }

    #[test]
    fn trial_14_a_browser_that_hides_the_origin_says_the_site() {
        for (site, refused) in [
            ("cross-site", true),
            ("same-site", true),
            ("same-origin", false),
            ("none", false),
        ] {
            let headers = [("Host", "localhost:8001"), ("Sec-Fetch-Site", site)];
            assert_eq!(judge("POST", &headers, true).is_err(), refused, "{site}");
            assert_eq!(judge("GET", &headers, true), Ok(Grant::NoOrigin), "{site}");
        }
        // A listed page is of another site by its nature.
        let listed = [
            ("Origin", "https://manager.test"),
            ("Sec-Fetch-Site", "cross-site"),
        ];
        assert!(judge("POST", &listed, true).is_ok());
    }

    #[test]
    fn trial_14_a_name_that_anybody_may_point_here_makes_no_page_ours() {
        for (host, own) in [
            ("10.0.0.1:8001", true),
            ("[fe80::1]:8001", true),
            ("admin.test:8001", true),
            ("evil.example:8001", false),
        ] {
            let origin = format!("http://{host}");
            let headers = [("Host", host), ("Origin", &*origin)];
            assert_eq!(judge("POST", &headers, false).is_ok(), own, "{host}");
        }
        let default_port = [("Host", "10.0.0.1:80"), ("Origin", "http://10.0.0.1")];
        assert!(judge("POST", &default_port, false).is_ok());
    }
}
