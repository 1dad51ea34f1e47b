//! Headers that concern one connection alone.

use crate::http::HeaderIndex;

/// The headers that a head's Connection lines name, to be dropped.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    head: &'a HeaderIndex,
    any: bool,
}

impl<'a> Named<'a> {
    /// Kong takes a whole value of `keep-alive`, `close` or `upgrade` as naming nothing.
    pub fn by(head: &'a HeaderIndex) -> Named<'a> {
        let any = head.get("connection").is_some()
            && head
                .get_all("connection")
                .any(|value| !is_plain_option(value));
        Named { head, any }
    }

    /// Whether the header is named. The options of the connection themselves are no headers.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.any
            && !is_plain_option(name)
            && self
                .head
                .get_all("connection")
                .filter(|value| !is_plain_option(value))
                .flat_map(|value| value.split(|byte| *byte == b','))
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
    }
}

fn is_plain_option(text: &[u8]) -> bool {
    ["keep-alive", "close", "upgrade"]
        .iter()
        .any(|option| text.eq_ignore_ascii_case(option.as_bytes()))
}

/// Whether a TE value lists `trailers`.
pub fn accepts_trailers(head: &HeaderIndex) -> bool {
    head.get("te").is_some() && lists_trailers(head)
}

fn lists_trailers(head: &HeaderIndex) -> bool {
    head.get_all("te")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(|token| token.split(|byte| *byte == b';').next())
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether the client asks for a WebSocket.
pub fn wants_websocket(head: &HeaderIndex) -> bool {
    head.get("upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::request_head;
    use super::*;

    #[test]
    fn named_headers_are_found() {
        let check = |connection: &str, name: &str, expected: bool| {
            let head = request_head(&format!("GET / HTTP/1.1\r\n{connection}"));
            let named = Named::by(&head.headers);
            assert_eq!(
                named.contains(name.as_bytes()),
                expected,
                "{connection} {name}"
            );
        };
        check("", "x-foo", false);
        check("Connection: keep-alive\r\n", "keep-alive", false);
        check("Connection: close\r\n", "close", false);
        check("Connection: keep-alive, X-Foo\r\n", "x-foo", true);
        check("Connection: keep-alive, X-Foo\r\n", "x-fo", false);
        check("Connection: close, X-Foo\r\n", "close", false);
        check("Connection: X-A\r\nConnection: close\r\n", "X-A", true);
    }

    #[test]
    fn trailers_are_asked_for() {
        let check = |te: &str, expected: bool| {
            let head = request_head(&format!("GET / HTTP/1.1\r\n{te}"));
            assert_eq!(accepts_trailers(&head.headers), expected, "{te}");
        };
        check("", false);
        check("TE: trailers\r\n", true);
        check("TE: gzip, Trailers;q=0.5\r\n", true);
        check("TE: gzip\r\n", false);
    }
}
