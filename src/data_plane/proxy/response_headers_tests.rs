//! What clients get of the upstream's headers, and of ours.

use super::super::testing::response_head;
use super::*;

const PROXIED: Timing = Timing::Proxied {
    proxy: 3,
    upstream: 12,
    upstream_status: Some(200),
    http2: false,
};

fn own(timing: Timing) -> Own<'static> {
    Own {
        tokens: ResponseTokens::default(),
        request_id: "RID",
        timing,
        charset: Some("UTF-8"),
        status: 200,
    }
}

fn lines(head: &ResponseHead, edits: &HeaderEdits) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(PRODUCT, "langur");
    edits
        .apply(&head.headers)
        .map(|(name, value)| format!("{}: {}", text(name), text(value)))
        .collect()
}

#[test]
fn headers_of_the_connection_end_here() {
    let check = |asked: Asked, upstream: &str, expected: &[&str]| {
        let head = response_head(&format!("HTTP/1.1 200 OK\r\n{upstream}"));
        let mut edits = HeaderEdits::default();
        clean(&head, &mut edits, asked);
        assert_eq!(lines(&head, &edits), expected, "{upstream}");
    };
    let plain = Asked::default();
    check(plain, "Connection: close\r\nA: b\r\n", &["A: b"]);
    check(plain, "Connection: X-Hop\r\nX-Hop: 1\r\nx-hop: 2\r\n", &[]);
    check(
        plain,
        "Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n",
        &[],
    );
    check(
        plain,
        "X-Accel-Redirect: /x\r\nX-Accel-Buffering: no\r\nX-Accel-Expires: 5\r\n",
        &[],
    );
    check(plain, "X-Accel-Other: 1\r\n", &["X-Accel-Other: 1"]);
    check(
        plain,
        "Content-Type: \r\nContent-Length: 2\r\n",
        &["Content-Length: 2"],
    );
    check(plain, "Upgrade: h2c\r\nTrailer: X\r\n", &[]);
    check(
        plain,
        "Proxy-Authenticate: x\r\n",
        &["Proxy-Authenticate: x"],
    );
    check(
        plain,
        "Set-Cookie: a\r\nSet-Cookie: b\r\n",
        &["Set-Cookie: a", "Set-Cookie: b"],
    );
    let trailers = Asked {
        trailers: true,
        ..plain
    };
    check(trailers, "Trailer: X\r\n", &["Trailer: X"]);
    let websocket = Asked {
        websocket: true,
        ..plain
    };
    check(websocket, "Upgrade: websocket\r\n", &["Upgrade: websocket"]);
    check(websocket, "Upgrade: h2c\r\n", &[]);
}

#[test]
fn plugins_headers_cannot_be_named_away() {
    let head = response_head("HTTP/1.1 200 OK\r\nConnection: X-RateLimit\r\nX-RateLimit: 9\r\n");
    let mut edits = HeaderEdits::default();
    edits.set("X-RateLimit", "1");
    clean(&head, &mut edits, Asked::default());
    assert_eq!(lines(&head, &edits), ["X-RateLimit: 1"]);
}

#[test]
fn own_headers_follow_the_tokens() {
    let check = |own: Own<'_>, upstream: &str, expected: &[&str]| {
        let head = response_head(&format!("HTTP/1.1 200 OK\r\n{upstream}"));
        let mut edits = HeaderEdits::default();
        own.write(&head, &mut edits);
        assert_eq!(lines(&head, &edits), expected, "{upstream} {own:?}");
    };
    let all = [
        "X-Kong-Upstream-Latency: 12",
        "X-Kong-Proxy-Latency: 3",
        "Via: 1.1 langur",
        "Server: langur",
        "X-Kong-Request-Id: RID",
    ];
    check(own(PROXIED), "", &all);
    check(
        own(PROXIED),
        "X-Kong-Upstream-Latency: 999\r\nX-Kong-Request-Id: up\r\n",
        &all,
    );
    check(
        own(PROXIED),
        "Server: up/1\r\nVia: 1.1 a\r\nVia: 1.1 b\r\n",
        &[
            "Server: up/1",
            "X-Kong-Upstream-Latency: 12",
            "X-Kong-Proxy-Latency: 3",
            "Via: 1.1 a, 1.1 b, 1.1 langur",
            "X-Kong-Request-Id: RID",
        ],
    );
    let made = own(Timing::Made { response: 7 });
    check(
        made,
        "",
        &[
            "X-Kong-Response-Latency: 7",
            "Server: langur",
            "X-Kong-Request-Id: RID",
        ],
    );
    let none = |timing| Own {
        tokens: ResponseTokens::NONE,
        ..own(timing)
    };
    check(none(PROXIED), "Server: up\r\n", &["Server: up"]);
    check(
        none(Timing::Made { response: 7 }),
        "Server: plugin\r\n",
        &[],
    );
    let status = Own {
        tokens: ResponseTokens::from_words(&["x-kong-upstream-status"]),
        ..own(PROXIED)
    };
    check(status, "", &["X-Kong-Upstream-Status: 200"]);
    check(
        Own {
            timing: Timing::Made { response: 0 },
            ..status
        },
        "",
        &[],
    );
    let http2 = Own {
        tokens: ResponseTokens::from_words(&["via"]),
        timing: Timing::Proxied {
            proxy: 0,
            upstream: 0,
            upstream_status: None,
            http2: true,
        },
        ..status
    };
    check(http2, "", &["Via: 2 langur"]);
}

#[test]
fn textual_types_get_a_charset() {
    let check = |status: u16, charset: Option<&str>, content_type: &str, expected: &str| {
        let head = response_head(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
        ));
        let mut edits = HeaderEdits::default();
        Own {
            tokens: ResponseTokens::NONE,
            charset,
            status,
            ..own(PROXIED)
        }
        .write(&head, &mut edits);
        assert_eq!(lines(&head, &edits), [format!("Content-Type: {expected}")]);
    };
    let utf8 = Some("UTF-8");
    check(200, utf8, "text/plain", "text/plain; charset=UTF-8");
    check(404, utf8, "Text/HTML", "Text/HTML; charset=UTF-8");
    check(301, utf8, "text/plain", "text/plain");
    check(302, utf8, "text/html", "text/html");
    check(307, utf8, "text/html", "text/html; charset=UTF-8");
    check(200, None, "text/plain", "text/plain");
    check(200, utf8, "application/json", "application/json");
    check(
        200,
        utf8,
        "text/plain; charset=latin1",
        "text/plain; charset=latin1",
    );
    check(
        200,
        utf8,
        "application/javascript",
        "application/javascript; charset=UTF-8",
    );
}
