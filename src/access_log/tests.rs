//! Lines as they are written, and how they get into files.

use super::entry::UpstreamAttempt;
use super::escape::Escape;
use super::values::Values;
use super::writer::Wanted;
use super::*;
use crate::telemetry::metrics::Metrics;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Header lines of a test.
struct Lines<'a>(&'a [(&'a str, &'a [u8])]);

impl Headers for Lines<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.0 {
            visit(name.as_bytes(), value);
        }
    }
}

const REQUEST: Lines = Lines(&[
    ("Host", b"Shop.Example:8443"),
    ("User-Agent", b"curl/8 \"x\""),
    ("Authorization", b"Basic YW5uOnNlY3JldA=="),
    ("Cookie", b"a=1; session=s 2"),
    ("Cookie", b"b=3"),
    ("X-Forwarded-For", b"10.0.0.1"),
    ("X-Two", b"1"),
    ("x-two", b"2"),
    ("X-Empty", b""),
    ("Content-Type", b"text/plain"),
]);
const SENT: Lines = Lines(&[("X-Kong-Proxy-Latency", b"3"), ("Content-Type", b"a/b")]);
const CAME: Lines = Lines(&[("Server", b"up\nstream")]);

fn attempts(visit: &mut dyn FnMut(UpstreamAttempt)) {
    visit(UpstreamAttempt {
        address: "10.0.0.8:80".parse().ok(),
        status: 502,
        total_us: 1_000,
        ..UpstreamAttempt::default()
    });
    visit(UpstreamAttempt {
        address: "[::1]:81".parse().ok(),
        status: 200,
        connect_us: Some(2_400),
        header_us: Some(12_000),
        total_us: 25_999,
    });
}

fn entry() -> Entry<'static> {
    Entry {
        client: "192.0.2.7:4711".parse().ok(),
        peer: "10.1.1.1:99".parse().ok(),
        local: "10.0.0.2:8443".parse().ok(),
        https: true,
        tls_name: Some("shop.example"),
        tls_protocol: Some("TLSv1.3"),
        tls_cipher: Some("TLS_AES_256_GCM_SHA384"),
        method: b"GET",
        target: b"/a%20b?x=1&Y=two",
        protocol: "HTTP/1.1",
        first_line: b"",
        path: b"/a b",
        request_headers: &REQUEST,
        sent_headers: &SENT,
        upstream_headers: &CAME,
        attempts: &attempts,
        upstream_uri: b"/up",
        upstream_host: b"up.example",
        request_id: "0123456789abcdef0123456789abcdef",
        status: 200,
        request_bytes: 120,
        response_bytes: 345,
        body_bytes: 45,
        ended_at: 1_700_000_000_123,
        total_us: 1_234_567,
        complete: true,
        connection: 17,
        connection_requests: 3,
        pipelined: false,
    }
}

fn line(escape: Escape, text: &str, entry: &Entry<'_>) -> String {
    let format = Format::compile(escape, text).expect(text);
    let mut values = Values {
        hostname: "node-1".to_owned(),
        ..Values::default()
    };
    let mut out = Vec::new();
    format.write(entry, &mut values, &mut out);
    let mut text = String::from_utf8(out).expect("text");
    assert_eq!(text.pop(), Some('\n'));
    text
}

#[test]
fn every_variable_has_its_value() {
    for (name, expected) in [
        ("remote_addr", "192.0.2.7"),
        ("remote_port", "4711"),
        ("realip_remote_addr", "10.1.1.1"),
        ("realip_remote_port", "99"),
        ("remote_user", "ann"),
        ("msec", "1700000000.123"),
        ("request", "GET /a%20b?x=1&Y=two HTTP/1.1"),
        ("request_method", "GET"),
        ("request_uri", "/a%20b?x=1&Y=two"),
        ("uri", "/a b"),
        ("document_uri", "/a b"),
        ("args", "x=1&Y=two"),
        ("query_string", "x=1&Y=two"),
        ("is_args", "?"),
        ("arg_x", "1"),
        ("arg_y", "two"),
        ("arg_z", "-"),
        ("scheme", "https"),
        ("https", "on"),
        ("host", "shop.example"),
        ("server_name", "kong"),
        ("server_addr", "10.0.0.2"),
        ("server_port", "8443"),
        ("server_protocol", "HTTP/1.1"),
        ("status", "200"),
        ("bytes_sent", "345"),
        ("body_bytes_sent", "45"),
        ("request_length", "120"),
        ("request_time", "1.234"),
        ("request_completion", "OK"),
        ("request_id", "0123456789abcdef0123456789abcdef"),
        ("kong_request_id", "0123456789abcdef0123456789abcdef"),
        ("content_type", "text/plain"),
        ("content_length", "-"),
        ("proxy_add_x_forwarded_for", "10.0.0.1, 192.0.2.7"),
        ("http_host", "Shop.Example:8443"),
        ("http_user_agent", r"curl/8 \x22x\x22"),
        ("http_referer", "-"),
        ("http_x_two", "1, 2"),
        ("http_x_empty", ""),
        ("http_cookie", "a=1; session=s 2; b=3"),
        ("cookie_session", "s 2"),
        ("cookie_b", "3"),
        ("cookie_none", "-"),
        ("sent_http_content_type", "a/b"),
        ("sent_http_x_kong_proxy_latency", "3"),
        ("sent_http_none", "-"),
        ("upstream_http_server", r"up\x0Astream"),
        ("upstream_addr", "10.0.0.8:80, [::1]:81"),
        ("upstream_status", "502, 200"),
        ("upstream_response_time", "0.001, 0.025"),
        ("upstream_header_time", "-, 0.012"),
        ("upstream_connect_time", "-, 0.002"),
        ("upstream_uri", "/up"),
        ("upstream_host", "up.example"),
        ("ssl_protocol", "TLSv1.3"),
        ("ssl_cipher", "TLS_AES_256_GCM_SHA384"),
        ("ssl_server_name", "shop.example"),
        ("connection", "17"),
        ("connection_requests", "3"),
        ("pipe", "."),
        ("hostname", "node-1"),
        ("gzip_ratio", "-"),
    ] {
        let found = line(Escape::Default, &format!("${name}"), &entry());
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(
        line(Escape::Default, "$pid", &entry()),
        std::process::id().to_string()
    );
    let local = line(Escape::Default, "$time_local|$time_iso8601", &entry());
    let shape: String = local
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(
        shape.starts_with("00/Nov/0000:00:00:00 ") && shape.contains("|0000-00-00T00:00:00"),
        "{local}"
    );
}

#[test]
fn what_is_not_known_is_a_dash_or_nothing() {
    let entry = Entry {
        client: None,
        https: false,
        tls_name: None,
        method: b"",
        target: b"",
        first_line: b"\x16\x03\x01\"",
        path: b"",
        request_headers: &NoHeaders,
        attempts: &|_| {},
        upstream_uri: b"",
        complete: false,
        pipelined: true,
        status: 9,
        ..entry()
    };
    for (text, default, json) in [
        ("$remote_addr", "-", ""),
        ("$remote_user", "-", ""),
        ("$request", r"\x16\x03\x01\x22", r#"\u0016\u0003\u0001\""#),
        ("$request_method", "-", ""),
        ("$server_protocol", "-", ""),
        ("$args$is_args", "-", ""),
        ("$https", "", ""),
        ("$host", "kong", "kong"),
        ("$status", "009", "009"),
        ("$upstream_addr", "-", ""),
        ("$upstream_uri", "-", ""),
        ("$ssl_server_name", "-", ""),
        ("$request_completion", "", ""),
        ("$pipe", "p", "p"),
    ] {
        assert_eq!(line(Escape::Default, text, &entry), default, "{text}");
        assert_eq!(line(Escape::Json, text, &entry), json, "{text}");
    }
    let nobody = Lines(&[
        ("Authorization", b"Basic !!!"),
        ("authorization", b"Bearer x"),
    ]);
    let entry = Entry {
        request_headers: &nobody,
        ..entry
    };
    assert_eq!(line(Escape::Default, "$remote_user", &entry), "-");
}

#[test]
fn trial_09_ready_made_formats() {
    let written = |name: &str| {
        let mut out = Vec::new();
        let format = ready_made(name).expect(name);
        format.write(&entry(), &mut Values::default(), &mut out);
        String::from_utf8(out).expect("text")
    };
    let without_time = |line: String| {
        let (before, rest) = line.split_once('[').expect("a time");
        format!("{before}{}", rest.split_once(']').expect("its end").1)
    };
    let combined = "192.0.2.7 - ann  \"GET /a%20b?x=1&Y=two HTTP/1.1\" 200 45 \"-\" \
                    \"curl/8 \\x22x\\x22\"";
    assert_eq!(without_time(written("combined")), format!("{combined}\n"));
    assert_eq!(
        without_time(written("kong_log_format")),
        format!("{combined} kong_request_id: \"0123456789abcdef0123456789abcdef\"\n")
    );
    assert_eq!(
        without_time(written("basic")),
        "192.0.2.7  HTTP/1.1 200 345 120 1.234\n"
    );
    let json: serde_json::Value = serde_json::from_str(&written("json")).expect("JSON");
    assert_eq!(json["status"], 200);
    assert_eq!(json["request_time"], 1.234);
    assert_eq!(json["user_agent"], "curl/8 \"x\"");
    assert_eq!(json["upstream_status"], "502, 200");
}

proptest! {
    #[test]
    fn a_line_is_one_line_of_printable_text(
        target: Vec<u8>,
        value: Vec<u8>,
        first_line: Vec<u8>,
        known: bool,
    ) {
        let headers = [("User-Agent", &*value), ("Host", &*value), ("Authorization", &*value)];
        let lines = Lines(&headers);
        let entry = Entry {
            method: if known { b"GET" } else { b"" },
            target: &target,
            path: &target,
            first_line: &first_line,
            request_headers: &lines,
            upstream_headers: &lines,
            ..entry()
        };
        let all: String = variable::Variable::names().map(|name| format!("${name} ")).collect();
        let text = format!("{all}$http_user_agent $upstream_http_host $arg_a $cookie_a");
        let found = line(Escape::Default, &text, &entry);
        prop_assert!(found.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{found:?}");
        let json = ready_made("json").expect("json");
        let mut out = Vec::new();
        json.write(&entry, &mut Values::default(), &mut out);
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&out);
        prop_assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&out));
    }
}

fn wanted(path: &Path, format: &str) -> Wanted {
    Wanted {
        setting: "proxy_access_log",
        name: "proxy",
        destination: Destination::File(path.to_owned()),
        format: Arc::new(Format::compile(Escape::Default, format).expect(format)),
        given: true,
    }
}

fn finish(logs: &AccessLogs) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(logs.finish(Duration::from_secs(60)))
}

fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ask() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn numbered(n: u64) -> Entry<'static> {
    Entry {
        connection: n,
        ..entry()
    }
}

#[test]
fn a_line_is_written_although_nothing_follows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("logs/a.log");
    let metrics = Metrics::new();
    let logs = AccessLogs::open(&[wanted(&path, "$connection")], "h", &metrics).expect("open");
    let lane = logs.of("proxy_access_log").expect("a log").lane();
    for n in 1..=3 {
        lane.write(&numbered(n));
        let expected = (1..=n).map(|n| format!("{n}\n")).collect::<String>();
        eventually("the line is there", || {
            std::fs::read_to_string(&path).is_ok_and(|text| text == expected)
        });
    }
    assert!(finish(&logs));
    assert!(finish(&logs), "a second time is nothing to do");
}

#[test]
fn lines_of_many_threads_come_whole_and_in_order() {
    const THREADS: u64 = 4;
    const LINES: u64 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.log");
    let metrics = Metrics::new();
    let format = "$connection_requests $connection $request $http_user_agent";
    let logs = AccessLogs::open(&[wanted(&path, format)], "h", &metrics).expect("open");
    let log = logs.of("proxy_access_log").expect("a log");
    let rotated = |n: u32| -> PathBuf { folder.path().join(format!("a.log.{n}")) };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let lane = log.lane();
            scope.spawn(move || {
                for n in 0..LINES {
                    lane.write(&Entry {
                        connection_requests: thread,
                        ..numbered(n)
                    });
                    if n % 64 == 0 {
                        // A gateway writes no lines without work between them.
                        std::thread::park_timeout(Duration::from_micros(200));
                    }
                }
            });
        }
        for n in 0..3 {
            std::thread::park_timeout(Duration::from_millis(100));
            std::fs::rename(&path, rotated(n)).expect("renamed");
            logs.reopen();
            eventually("the file is opened again", || path.exists());
        }
    });
    assert!(finish(&logs));
    let mut next = [0; THREADS as usize];
    let files = (0..3).map(rotated).chain([path.clone()]);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        assert!(text.is_empty() || text.ends_with('\n'));
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let mut number = || -> u64 { words.next().expect("a word").parse().expect("a number") };
            let (thread, n) = (number(), number());
            assert_eq!(n, next[thread as usize], "{line}");
            next[thread as usize] += 1;
            assert_eq!(
                words.next(),
                Some("GET /a%20b?x=1&Y=two HTTP/1.1 curl/8 \\x22x\\x22")
            );
        }
    }
    assert_eq!(next, [LINES; THREADS as usize]);
}

#[test]
fn lines_that_nobody_takes_are_counted() {
    let metrics = Metrics::new();
    // Whatever is written to it, the disk is full.
    let full = Path::new("/dev/full");
    let logs = AccessLogs::open(&[wanted(full, "$connection")], "h", &metrics).expect("open");
    let lane = logs.of("proxy_access_log").expect("a log").lane();
    for n in 0..5 {
        lane.write(&numbered(n));
    }
    assert!(finish(&logs));
    let text = metrics.scrape(|_| {});
    for (reason, lines) in [("full", 0), ("write", 5)] {
        let expected = format!(
            "langur_access_log_lines_lost_total{{log=\"proxy\",reason=\"{reason}\"}} {lines}\n"
        );
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = Metrics::new();
    let directory = wanted(folder.path(), "$status");
    let error = AccessLogs::open(std::slice::from_ref(&directory), "h", &metrics).map(|_| ());
    let error = error.expect_err("it is a folder").to_string();
    let expected = format!(
        "proxy_access_log: cannot open {}: ",
        folder.path().display()
    );
    assert!(error.starts_with(&expected), "{error}");
    let default = Wanted {
        given: false,
        ..directory
    };
    let logs = AccessLogs::open(&[default], "h", &metrics).expect("it goes without");
    assert!(logs.of("proxy_access_log").is_none());
}
