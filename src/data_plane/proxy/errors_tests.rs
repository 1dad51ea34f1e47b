//! Error bodies, byte for byte.

use super::*;

const ID: &str = "f0adc13411ec7d46a656864a44dc6506";

fn asked<'a>(accept: Option<&'a str>, content_type: Option<&'a str>) -> Asked<'a> {
    Asked {
        accept: accept.map(str::as_bytes),
        content_type: content_type.map(str::as_bytes),
        version: Version::Http11,
    }
}

fn shown(reply: &Reply) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(reply.header("content-type").unwrap_or_default()),
        text(&reply.body),
    )
}

#[test]
fn bodies_have_kongs_shape() {
    let check = |accept: Option<&str>, content_type: &str, body: &str| {
        let reply = negotiated(404, "no Route matched", &asked(accept, None), ID);
        assert_eq!(reply.status, 404);
        assert_eq!(
            shown(&reply),
            (content_type.to_owned(), body.replace("ID", ID)),
            "{accept:?}"
        );
    };
    let json = "{\n  \"message\":\"no Route matched\",\n  \"request_id\":\"ID\"\n}";
    check(None, JSON, json);
    check(Some("*/*"), JSON, json);
    check(
        Some("text/plain"),
        "text/plain; charset=utf-8",
        "no Route matched\nrequest_id: ID\n",
    );
    check(
        Some("application/xml"),
        "application/xml; charset=utf-8",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>no Route matched</message>\n  <requestid>ID</requestid>\n</error>\n",
    );
    check(
        Some("text/html"),
        "text/html; charset=utf-8",
        "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>no Route matched.</p>\n    <p>request_id: ID</p>\n  </body>\n</html>\n",
    );
    check(Some("application/grpc"), "", "");
}

#[test]
fn messages_are_escaped() {
    let check = |accept: &str, expected: &str| {
        let reply = negotiated(403, "a<b> \"c\" & \n", &asked(Some(accept), None), ID);
        let (_, body) = shown(&reply);
        assert!(body.contains(expected), "{body}");
    };
    check("application/json", r#""a<b> \"c\" & \n""#);
    check("text/html", "a&lt;b&gt; &quot;c&quot; &amp; \n.");
    check("application/xml", "a&lt;b&gt; &quot;c&quot; &amp; \n</");
}

#[test]
fn the_engine_also_looks_at_the_content_type() {
    let check = |accept: Option<&str>, content_type: Option<&str>, expected: &str| {
        let reply = engine(502, &asked(accept, content_type), "text/plain", ID);
        assert_eq!(shown(&reply).0, expected, "{accept:?} {content_type:?}");
    };
    let plain = "text/plain; charset=utf-8";
    check(None, None, plain);
    check(None, Some("application/json"), JSON);
    check(None, Some("application/x-www-form-urlencoded"), JSON);
    check(
        None,
        Some("text/html; charset=utf-8"),
        "text/html; charset=utf-8",
    );
    check(
        Some("text/html"),
        Some("application/json"),
        "text/html; charset=utf-8",
    );
    check(Some(""), None, JSON);
    check(Some("application/grpc"), None, "");
    check(None, Some("application/grpc"), "");
    let body = shown(&engine(504, &asked(None, None), "text/plain", ID)).1;
    assert_eq!(
        body,
        format!("The upstream server is timing out\nrequest_id: {ID}\n")
    );
}

#[test]
fn grpc_gets_its_status_in_headers() {
    let check = |status: u16, grpc_status: &str| {
        let asked = Asked {
            version: Version::Http2,
            ..asked(Some("text/html"), Some("application/grpc+proto"))
        };
        let reply = negotiated(status, "why", &asked, ID);
        assert_eq!(reply.status, status);
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("grpc-status"), Some(grpc_status.as_bytes()));
        assert_eq!(reply.header("grpc-message"), Some(&b"why"[..]));
    };
    check(401, "16");
    check(404, "5");
    check(418, "3");
    check(502, "13");
    check(503, "14");
}

#[test]
fn plain_json_and_pages_are_fixed() {
    assert_eq!(
        shown(&plain_json(500, "An unexpected error occurred")),
        (
            JSON.to_owned(),
            r#"{"message":"An unexpected error occurred"}"#.to_owned()
        )
    );
    assert_eq!(
        shown(&engine_page(301)),
        (
            "text/html".to_owned(),
            "<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n<body>\r\n<center><h1>301 Moved Permanently</h1></center>\r\n</body>\r\n</html>\r\n".to_owned()
        )
    );
}
