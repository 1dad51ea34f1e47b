//! What upstreams see, line by line.

use super::super::settings::ProxySettings;
use super::super::testing::{connection, request_head};
use super::super::trusted::Trust;
use super::*;
use crate::data_plane::exchange::TlsInfo;

struct Setup {
    trusted: bool,
    https: bool,
    prefix: &'static str,
    request_id: bool,
    edits: HeaderEdits,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            trusted: false,
            https: false,
            prefix: "/np",
            request_id: true,
            edits: HeaderEdits::default(),
        }
    }
}

fn write(setup: &Setup, request: &str) -> Vec<String> {
    let head = request_head(request);
    let mut connection = connection();
    connection.tls = setup.https.then(TlsInfo::default);
    let settings = ProxySettings {
        trust: Trust {
            proxies: "127.0.0.1"
                .parse()
                .into_iter()
                .filter(|_| setup.trusted)
                .collect(),
            ..Trust::default()
        },
        ..ProxySettings::default()
    };
    let client = Client::of(&connection, &head, &settings);
    let mut out = Vec::new();
    let client_ip = client.address.ip().to_string();
    UpstreamHead {
        head: &head,
        client_ip: client_ip.as_bytes(),
        method: head.method(),
        edits: &setup.edits,
        client: &client,
        uri: b"/x?y=1&z",
        host: b"127.0.0.1:19000",
        stripped_prefix: setup.prefix.as_bytes(),
        websocket: super::super::hop_by_hop::wants_websocket(&head.headers),
        request_id: setup.request_id.then_some("RID"),
    }
    .write(&mut out);
    let text = String::from_utf8_lossy(&out).replace(PRODUCT, "langur");
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

/// The lines that differ from those of a plain request: `+` new, `-` gone.
fn differs(setup: &Setup, lines: &str) -> Vec<String> {
    let start = "GET /np/x?y=1&z HTTP/1.1\r\nHost: Client.Example:1234\r\n";
    let plain = write(&Setup::default(), start);
    let found = write(setup, &format!("{start}{lines}"));
    let gone = plain.iter().filter(|line| !found.contains(line));
    let new = found.iter().filter(|line| !plain.contains(line));
    gone.map(|line| format!("-{line}"))
        .chain(new.map(|line| format!("+{line}")))
        .collect()
}

#[test]
fn a_plain_request() {
    let request = "GET /np/x?y=1&z HTTP/1.1\r\nHost: Client.Example:1234\r\nX-Dup: 1\r\nX-Dup: 2\r\nX-Empty: \r\nx_under: 1\r\n";
    assert_eq!(
        write(&Setup::default(), request),
        [
            "GET /x?y=1&z HTTP/1.1",
            "Host: 127.0.0.1:19000",
            "Connection: keep-alive",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: client.example",
            "X-Forwarded-Port: 8000",
            "X-Forwarded-Path: /np/x",
            "X-Forwarded-Prefix: /np",
            "X-Real-IP: 127.0.0.1",
            "Via: 1.1 langur",
            "X-Kong-Request-Id: RID",
            "X-Dup: 1",
            "X-Dup: 2",
            "X-Empty: ",
            "x_under: 1",
        ]
    );
}

#[test]
fn headers_of_the_connection_end_here() {
    let check = |lines: &str, expected: &[&str]| {
        assert_eq!(differs(&Setup::default(), lines), expected, "{lines}");
    };
    check("Connection: close\r\n", &[]);
    check(
        "Connection: keep-alive, X-Foo\r\nX-Foo: 1\r\nKeep-Alive: 300\r\n",
        &[],
    );
    check("Connection: upgrade\r\nUpgrade: h2c\r\n", &[]);
    check("Upgrade: foo\r\n", &[]);
    check(
        "Proxy-Connection: keep-alive\r\nProxy: p\r\nExpect: 100-continue\r\n",
        &[],
    );
    check("Transfer-Encoding: chunked\r\n", &[]);
    check("Content-Length: 3\r\n", &[]);
    check("Proxy-Authorization: x\r\n", &["+Proxy-Authorization: x"]);
    check("Close: 1\r\nConnection: close, x\r\n", &["+Close: 1"]);
    check("TE: trailers\r\n", &["+TE: trailers"]);
    check("TE: gzip, trailers;q=0.5\r\n", &["+TE: trailers"]);
    check("TE: gzip\r\n", &[]);
    check(
        "Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n",
        &[
            "-Connection: keep-alive",
            "+Connection: keep-alive, Upgrade",
            "+Upgrade: websocket",
            "+Sec-WebSocket-Key: k",
        ],
    );
}

#[test]
fn untrusted_peers_claim_nothing() {
    let check = |lines: &str, expected: &[&str]| {
        assert_eq!(differs(&Setup::default(), lines), expected, "{lines}");
    };
    check(
        "X-Forwarded-For: 1.2.3.4\r\n",
        &[
            "-X-Forwarded-For: 127.0.0.1",
            "+X-Forwarded-For: 1.2.3.4, 127.0.0.1",
        ],
    );
    check(
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n",
        &[
            "-X-Forwarded-For: 127.0.0.1",
            "+X-Forwarded-For: 1.2.3.4, 127.0.0.1",
        ],
    );
    check(
        "X-Real-IP: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 9\r\nX-Forwarded-Path: /p\r\nX-Forwarded-Prefix: /pre\r\n",
        &[],
    );
    check(
        "Via: 1.0 fred\r\n",
        &["-Via: 1.1 langur", "+Via: 1.0 fred, 1.1 langur"],
    );
    check("X-Kong-Request-Id: mine\r\n", &[]);
    check("X-Consumer-ID: spoof\r\n", &["+X-Consumer-ID: spoof"]);
    check("Forwarded: for=1.1.1.1\r\n", &["+Forwarded: for=1.1.1.1"]);
}

#[test]
fn trusted_peers_are_believed() {
    let setup = || Setup {
        trusted: true,
        ..Setup::default()
    };
    let check = |lines: &str, expected: &[&str]| {
        assert_eq!(differs(&setup(), lines), expected, "{lines}");
    };
    check("", &[]);
    check(
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.com\r\nX-Forwarded-Port: 99\r\nX-Forwarded-Path: /p\r\nX-Forwarded-Prefix: /pre\r\n",
        &[
            "-X-Forwarded-Proto: http",
            "-X-Forwarded-Host: client.example",
            "-X-Forwarded-Port: 8000",
            "-X-Forwarded-Path: /np/x",
            "-X-Forwarded-Prefix: /np",
            "+X-Forwarded-Proto: https",
            "+X-Forwarded-Host: evil.com",
            "+X-Forwarded-Port: 99",
            "+X-Forwarded-Path: /p",
            "+X-Forwarded-Prefix: /pre",
        ],
    );
    check(
        "X-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n",
        &[
            "-X-Forwarded-For: 127.0.0.1",
            "-X-Real-IP: 127.0.0.1",
            "+X-Forwarded-For: 1.2.3.4, 127.0.0.1",
            "+X-Real-IP: 9.9.9.9",
        ],
    );
    check("X-Forwarded-Proto: \r\n", &[]);
}

#[test]
fn the_setup_shows() {
    let check = |setup: Setup, lines: &str, expected: &[&str]| {
        assert_eq!(differs(&setup, lines), expected);
    };
    let https = Setup {
        https: true,
        ..Setup::default()
    };
    check(
        https,
        "",
        &["-X-Forwarded-Proto: http", "+X-Forwarded-Proto: https"],
    );
    let unstripped = Setup {
        prefix: "",
        ..Setup::default()
    };
    check(unstripped, "", &["-X-Forwarded-Prefix: /np"]);
    let root = Setup {
        prefix: "/",
        ..Setup::default()
    };
    check(root, "", &["-X-Forwarded-Prefix: /np"]);
    let hostile = Setup {
        prefix: "/a\r\nX-Admin: 1",
        ..Setup::default()
    };
    check(
        hostile,
        "",
        &[
            "-X-Forwarded-Prefix: /np",
            "+X-Forwarded-Prefix: /a%0D%0AX-Admin: 1",
        ],
    );
    let no_id = Setup {
        request_id: false,
        ..Setup::default()
    };
    check(
        no_id,
        "X-Kong-Request-Id: mine\r\n",
        &["-X-Kong-Request-Id: RID", "+X-Kong-Request-Id: mine"],
    );
}

#[test]
fn plugins_edits_are_applied() {
    let mut setup = Setup::default();
    setup.edits.set("X-Consumer-ID", "1");
    setup.edits.remove("apikey");
    setup.edits.set("Host", "evil");
    let lines = "apikey: k\r\nConnection: X-Consumer-ID, x-other\r\nX-Other: 1\r\n";
    assert_eq!(differs(&setup, lines), ["+X-Consumer-ID: 1"]);
}

#[test]
fn old_versions_are_named() {
    let lines = write(&Setup::default(), "GET /np HTTP/1.0\r\n");
    assert!(lines.contains(&"Via: 1 langur".to_owned()), "{lines:?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("X-Forwarded-Host"))
    );
}
