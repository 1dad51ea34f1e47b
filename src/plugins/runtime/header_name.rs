//! Header names that a plugin's configuration gives.

use crate::http::write;
use serde::Deserialize;

/// A header name as somebody configured it.
///
/// A name with underscores also finds the header that has hyphens in their place, as in Kong;
/// a name with hyphens finds nothing but itself. Towards clients the hyphens are written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct HeaderName {
    /// As it was configured.
    text: Box<str>,
    /// Bytes that no header name may have are percent-encoded, as in Kong.
    name: Box<str>,
    /// With hyphens for underscores, where that is another name.
    hyphenated: Option<Box<str>>,
}

impl HeaderName {
    /// The text of the configuration, which may name something else besides, such as a query
    /// argument.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name towards upstreams.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The other name under which the header is found.
    pub fn hyphenated(&self) -> Option<&str> {
        self.hyphenated.as_deref()
    }

    /// The name towards clients.
    pub fn on_response(&self) -> &str {
        self.hyphenated().unwrap_or(&self.name)
    }

    /// Whether the configured text can be a header name as it is.
    pub fn is_legal(&self) -> bool {
        self.text == self.name
    }
}

impl From<String> for HeaderName {
    fn from(text: String) -> HeaderName {
        let mut name = Vec::with_capacity(text.len());
        write::header_name(&mut name, text.as_bytes());
        // An encoded name is ASCII.
        let name = String::from_utf8_lossy(&name).into_owned();
        let hyphenated = name.contains('_').then(|| name.replace('_', "-").into());
        HeaderName {
            text: text.into(),
            name: name.into(),
            hyphenated,
        }
    }
}

impl From<&str> for HeaderName {
    fn from(text: &str) -> HeaderName {
        HeaderName::from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::runtime::testing::Request;

    #[test]
    fn beside_06_underscores_also_find_hyphens() {
        let check = |name: &str, lines: &str, expected: &[&str]| {
            let request = Request::new(&format!("GET / HTTP/1.1\r\n{lines}"));
            assert_eq!(request.configured(name), expected, "{name} {lines:?}");
        };
        check("api_key", "api_key: 1\r\n", &["1"]);
        check("api_key", "API-Key: 1\r\napi-key: 2\r\n", &["1", "2"]);
        check("Api_Key", "api-key: 1\r\n", &["1"]);
        check("a_b_c", "a-b-c: 1\r\n", &["1"]);
        check("a_b_c", "a-b_c: 1\r\n", &[]);
        // The very name comes before the other, even when it is empty.
        check("api_key", "api-key: 1\r\napi_key: 2\r\n", &["2"]);
        check("api_key", "api-key: 1\r\napi_key:\r\n", &[""]);
        check("api-key", "api_key: 1\r\n", &[]);
        check("api-key", "api-key: 1\r\n", &["1"]);
    }

    #[test]
    fn beside_06_clients_see_hyphens() {
        assert_eq!(HeaderName::from("X_Corr").on_response(), "X-Corr");
        assert_eq!(HeaderName::from("X_Corr").as_str(), "X_Corr");
        assert_eq!(HeaderName::from("X-Corr").on_response(), "X-Corr");
    }

    #[test]
    fn trial_26_a_name_is_made_legal() {
        let name = HeaderName::from("my header: x");
        assert_eq!(name.as_str(), "my%20header%3A%20x");
        assert!(!name.is_legal());
        assert!(HeaderName::from("x-a_b.c").is_legal());
    }
}
