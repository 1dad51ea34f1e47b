//! A response that the gateway makes itself.

use bytes::Bytes;
use std::sync::Arc;

/// A response made by the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names and values, beside Content-Length, Date and Connection, which the driver writes.
    pub headers: Vec<(Arc<str>, Bytes)>,
    pub body: Bytes,
    /// Close the client's connection after this response.
    pub close: bool,
    /// An upstream has made it, some time ago: clients are told so. Its answer to HEAD may name
    /// the length of the body that is not there, in a header.
    pub stored: bool,
}

impl Reply {
    /// An empty response.
    pub fn new(status: u16) -> Reply {
        Reply {
            status,
            ..Reply::default()
        }
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Bytes>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        self.body = body.into();
        self.with_header("Content-Type", content_type)
    }

    /// The first value of a header; names compare without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }
}
