//! Sound and hostile request heads.

use super::*;
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> (Result<Option<RequestFacts>, RequestError>, RequestHead) {
    let mut head = RequestHead::default();
    let parsed = RequestParser::default().parse(bytes, &mut head);
    (parsed, head)
}

/// Feeds the bytes in two or more reads.
fn parse_in_pieces(
    bytes: &[u8],
    cuts: &[usize],
) -> (Result<Option<RequestFacts>, RequestError>, RequestHead) {
    let mut head = RequestHead::default();
    let mut parser = RequestParser::default();
    for cut in cuts {
        match parser.parse(&bytes[..(*cut).min(bytes.len())], &mut head) {
            Ok(None) => {}
            done => return (done, head),
        }
    }
    (parser.parse(bytes, &mut head), head)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn described(head: &RequestHead) -> String {
    let lines: String = head
        .headers
        .iter()
        .map(|(name, value)| format!("|{}={}", text(name), text(value)))
        .collect();
    format!("{} {}{lines}", text(head.method()), text(head.target()))
}

#[test]
fn sound_heads() {
    let facts = |framing, keep_alive, expects_continue| (framing, keep_alive, expects_continue);
    let plain = facts(Framing::None, true, false);
    let rows: &[(&str, &str, _)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /|Host=a", plain),
        (
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /|Host=a",
            plain,
        ),
        (
            "GET /p?q=%zz#f HTTP/1.1\r\nhost:a\r\n\r\n",
            "GET /p?q=%zz|host=a",
            plain,
        ),
        (
            "M-S_X / HTTP/1.7\r\nHost: a\r\n\r\n",
            "M-S_X /|Host=a",
            plain,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \t b\tc \t\r\nY:\r\nX:z\r\n\r\n",
            "GET /|Host=a|X=b\tc|Y=|X=z",
            plain,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nx.y: 1\r\nx!#$%&'*+^`|~: 2\r\nx_y: 3\r\n\r\n",
            "GET /|Host=a|x_y=3",
            plain,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n",
            "GET /|Host=a|Connection=foo, CLOSE",
            facts(Framing::None, false, false),
        ),
        (
            "GET / HTTP/1.0\r\n\r\n",
            "GET /",
            facts(Framing::None, false, false),
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET /|Connection=keep-alive",
            plain,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-Continue\r\n\r\n",
            "POST /|Host=a|Content-Length=10|Expect=100-Continue",
            facts(Framing::Length(10), true, true),
        ),
        (
            "POST / HTTP/1.0\r\nContent-Length: 0\r\nExpect: x\r\n\r\n",
            "POST /|Content-Length=0|Expect=x",
            facts(Framing::Length(0), false, false),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "POST /|Host=a|Transfer-Encoding=Chunked",
            facts(Framing::Chunked, true, false),
        ),
        (
            "GET http://x.a.com:81/p?q HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
            "GET /p?q|Host=x.a.com:81|X=1",
            plain,
        ),
        ("GET http://b HTTP/1.1\r\n\r\n", "GET /|Host=b", plain),
        (
            "GET http://b?x=/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?x=/|Host=b",
            plain,
        ),
    ];
    for (bytes, expected, (framing, keep_alive, expects_continue)) in rows {
        let (parsed, head) = parse(bytes.as_bytes());
        let expected_facts = RequestFacts {
            length: bytes.len(),
            framing: *framing,
            keep_alive: *keep_alive,
            expects_continue: *expects_continue,
        };
        assert_eq!(parsed, Ok(Some(expected_facts)), "{bytes:?}");
        assert_eq!(described(&head), *expected, "{bytes:?}");
    }
}

#[test]
fn refused_heads() {
    use RequestError as E;
    let long = "a".repeat(9000);
    let many = "X: 1234567890\r\n".repeat(2500);
    let host = "Host: a\r\n";
    let bad = None;
    let rows: &[(String, Option<E>)] = &[
        (
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n"
                .into(),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3, 3\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length:\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length : 3\r\n\r\n"),
            bad,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            bad,
        ),
        (
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
            Some(E::NotImplemented),
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            Some(E::NotImplemented),
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, gzip\r\n\r\n"),
            Some(E::NotImplemented),
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \u{b}chunked\r\n\r\n"),
            bad,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"),
            Some(E::NotImplemented),
        ),
        (format!("GET / HTTP/1.1\n{host}\r\n"), bad),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n".into(), bad),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n".into(), bad),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".into(), bad),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n".into(), bad),
        (format!("GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n Host: a\r\n{host}\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n{host}X : a\r\n\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n{host}: a\r\n\r\n"), bad),
        (
            format!("GET / HTTP/1.1\r\n{host}Bad Header: a\r\n\r\n"),
            bad,
        ),
        (format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n{host}X: a\u{1b}b\r\n\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n{host}X.Y: a\0b\r\n\r\n"), bad),
        (format!("GET / HTTP/1.1\r\n{host}X\0: a\r\n\r\n"), bad),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), bad),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n".into(), bad),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), bad),
        ("GET / HTTP/1.1\r\n\r\n".into(), bad),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n".into(), bad),
        (format!("GET /%zz HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET /%00 HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET /../a HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET http://u@b/ HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET http:///x HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("get / HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("G@T / HTTP/1.1\r\n{host}\r\n"), bad),
        (format!(" GET / HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("{} / HTTP/1.1\r\n{host}\r\n", "A".repeat(65)), bad),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET / HTTP/1.1 \r\n{host}\r\n"), bad),
        (format!("GET /sp ace HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET /\t HTTP/1.1\r\n{host}\r\n"), bad),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), bad),
        ("GET /\r\n\r\n".into(), bad),
        ("GARBAGE\r\n\r\n".into(), bad),
        ("\r\n".repeat(5) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), bad),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".into(), bad),
        (format!("GET / HTTP/0.9\r\n{host}\r\n"), bad),
        (format!("GET / http/1.1\r\n{host}\r\n"), bad),
        (format!("GET / HTTP/1\r\n{host}\r\n"), bad),
        (format!("GET / HTTP/1.+1\r\n{host}\r\n"), bad),
        (
            format!("GET / HTTP/2.0\r\n{host}\r\n"),
            Some(E::VersionNotSupported),
        ),
        (
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
            Some(E::UriTooLong),
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"),
            Some(E::HeaderTooLarge),
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}{many}\r\n"),
            Some(E::HeaderTooLarge),
        ),
        (
            format!("TRACE / HTTP/1.1\r\n{host}\r\n"),
            Some(E::MethodNotAllowed),
        ),
        (
            format!("CONNECT / HTTP/1.1\r\n{host}\r\n"),
            Some(E::MethodNotAllowed),
        ),
        (format!("CONNECT a:443 HTTP/1.1\r\n{host}\r\n"), bad),
        (
            format!("PUT / HTTP/1.1\r\n{host}Expect: 200-ok\r\n\r\n"),
            Some(E::ExpectationFailed),
        ),
    ];
    for (bytes, expected) in rows {
        let short = &bytes[..bytes.len().min(80)];
        match (parse(bytes.as_bytes()).0, expected) {
            (Err(Malformed(_)), None) => {}
            (Err(error), Some(expected)) => assert_eq!(error, *expected, "{short:?}"),
            (other, _) => panic!("{short:?}: {other:?}"),
        }
    }
}

#[test]
fn beside_02_headers_with_a_single_value_come_once() {
    let twice = |name: &str, other: &str, first: &str| {
        let lines = format!("{name}: {first}\r\nX: 1\r\n{other}: 2\r\n");
        parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).0
    };
    for name in [
        "Authorization",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "If-Range",
        "Content-Range",
        "Expect",
    ] {
        for (other, first) in [(name.to_owned(), "100-continue"), (name.to_lowercase(), "")] {
            let parsed = twice(name, &other, first);
            assert!(matches!(parsed, Err(Malformed(_))), "{name} {parsed:?}");
        }
    }
    for name in ["User-Agent", "Range", "Content-Type", "Cookie", "Accept"] {
        assert!(matches!(twice(name, name, "1"), Ok(Some(_))), "{name}");
    }
    // Different ones of them may come together, and those of the request before do not count.
    let mut parser = RequestParser::default();
    let mut head = RequestHead::default();
    for _ in 0..2 {
        parser.clear();
        let head_text = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nIf-None-Match: b\r\n\r\n";
        assert!(matches!(
            parser.parse(head_text.as_bytes(), &mut head),
            Ok(Some(_))
        ));
    }
}

#[test]
fn trial_25_a_header_line_is_a_legal_name_and_a_colon() {
    for line in [
        "nocolon", "x(y: 1", "x)y: 1", "\"x\": 1", "x/y: 1", "x@y: 1", "x[y: 1", "x,y: 1",
    ] {
        let parsed = parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").as_bytes()).0;
        assert!(matches!(parsed, Err(Malformed(_))), "{line} {parsed:?}");
    }
    for byte in 0x80u8..=0xff {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nx".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"y: 1\r\n\r\n");
        assert!(matches!(parse(&bytes).0, Err(Malformed(_))), "{byte:#x}");
    }
}

#[test]
fn a_head_of_exactly_the_limits_passes() {
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8192 - 16));
    assert!(matches!(parse(head.as_bytes()).0, Ok(Some(_))));
    let longer = head.replacen("/a", "/aa", 1);
    assert_eq!(parse(longer.as_bytes()).0, Err(RequestError::UriTooLong));
}

#[test]
fn five_hundred_headers_pass() {
    let lines: String = (0..500).map(|index| format!("X-{index}: 1\r\n")).collect();
    let (parsed, head) = parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
    assert!(matches!(parsed, Ok(Some(_))));
    assert_eq!(head.headers.len(), 501);
}

#[test]
fn a_refused_head_shows_what_was_read() {
    let (parsed, head) = parse(b"GET /x HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nX : y\r\n\r\n");
    assert!(parsed.is_err());
    assert_eq!(described(&head), "GET /x|Host=a|Accept=text/html");
    let (parsed, head) = parse(b"nonsense\r\n\r\n");
    assert!(parsed.is_err());
    assert_eq!(described(&head), " ");
}

#[test]
fn a_parser_is_reused_after_clear() {
    let mut head = RequestHead::default();
    let mut parser = RequestParser::default();
    for (bytes, expected) in [
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            Framing::Length(1),
        ),
        ("GET /b HTTP/1.1\r\nHost: b\r\n\r\n", Framing::None),
    ] {
        parser.clear();
        let facts = parser.parse(bytes.as_bytes(), &mut head).unwrap().unwrap();
        assert_eq!(facts.framing, expected);
    }
    assert_eq!(described(&head), "GET /b|Host=b");
}

/// Heads made of sound and hostile parts.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "\r\nPOST /a?b HTTP/1.1\r\n",
        "GET http://h/p HTTP/1.1\r\n",
        "PUT /%41 HTTP/1.0\r\n",
        "get / HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET /%z HTTP/1.1\r\n",
        "",
    ]);
    let line = prop_oneof![
        Just("Host: a\r\n".to_owned()),
        Just("Content-Length: 5\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("Connection: close\r\n".to_owned()),
        Just(" folded\r\n".to_owned()),
        Just("X: bare\n".to_owned()),
        Just("no-colon\r\n".to_owned()),
        Just("Authorization: a\r\n".to_owned()),
        "[A-Za-z_.-]{1,8}:[ \t]{0,2}[ -~]{0,20}[ \t]{0,2}\r\n",
        "[ -~\r\n\t]{0,12}\r\n",
    ];
    (start, prop::collection::vec(line, 0..6), any::<bool>()).prop_map(|(start, lines, end)| {
        let mut bytes = start.as_bytes().to_vec();
        lines
            .iter()
            .for_each(|line| bytes.extend_from_slice(line.as_bytes()));
        if end {
            bytes.extend_from_slice(b"\r\nrest");
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn cuts_do_not_change_the_verdict(
        bytes in heads(),
        mut cuts in prop::collection::vec(0usize..200, 0..6),
    ) {
        cuts.sort_unstable();
        let (whole, head) = parse(&bytes);
        let (pieces, other) = parse_in_pieces(&bytes, &cuts);
        prop_assert_eq!(whole, pieces);
        if !matches!(whole, Ok(None)) {
            prop_assert_eq!(described(&head), described(&other));
        }
    }

    #[test]
    fn every_prefix_of_a_head_asks_for_more_or_refuses(bytes in heads()) {
        let whole = parse(&bytes).0;
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]).0 {
                Ok(Some(facts)) => prop_assert_eq!(whole, Ok(Some(facts))),
                Ok(None) => {}
                Err(error) => prop_assert_eq!(whole, Err(error)),
            }
        }
    }

    /// What passes here must mean the same to another, widely used parser.
    #[test]
    fn httparse_reads_accepted_heads_alike(bytes in heads()) {
        let (Ok(Some(facts)), head) = parse(&bytes) else { return Ok(()) };
        let absolute = memchr::memmem::find(&bytes, b"http://").is_some();
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let mut other = httparse::Request::new(&mut slots);
        let parsed = httparse::ParserConfig::default()
            .ignore_invalid_headers_in_requests(true)
            .parse_request(&mut other, &bytes);
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(facts.length)));
        prop_assert_eq!(other.method.unwrap().as_bytes(), head.method());
        if !absolute {
            prop_assert_eq!(other.path.unwrap().as_bytes(), head.target());
            let theirs: Vec<_> = other
                .headers
                .iter()
                .filter(|header| !header.name.contains('.'))
                .map(|header| (header.name.as_bytes(), header.value))
                .collect();
            let ours: Vec<_> = head.headers.iter().collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
