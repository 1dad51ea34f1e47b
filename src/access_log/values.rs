//! The value of each variable for one request.

use super::civil::LocalTime;
use super::entry::{Entry, Headers, UpstreamAttempt};
use super::escape::Escape;
use super::variable::Variable;
use crate::http::host_without_port;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use std::net::SocketAddr;

/// Kong's `server_name`, which is also the host of requests that name none.
const SERVER_NAME: &[u8] = b"kong";

/// The longest user name of Basic authentication that is told, encoded, in bytes.
const MAX_CREDENTIALS: usize = 1024;

/// What a lane keeps from line to line.
#[derive(Debug, Default)]
pub struct Values {
    pub time: LocalTime,
    pub hostname: String,
}

/// Appends the value of a variable; what is not known is left out as the escape has it.
pub fn write_value(
    variable: &Variable,
    entry: &Entry<'_>,
    values: &mut Values,
    escape: Escape,
    out: &mut Vec<u8>,
) {
    let second = entry.ended_at / 1000;
    let written = match variable {
        Variable::RemoteAddr => ip(entry.client, out),
        Variable::RemotePort => port(entry.client, out),
        Variable::RealipRemoteAddr => ip(entry.peer, out),
        Variable::RealipRemotePort => port(entry.peer, out),
        Variable::ServerAddr => ip(entry.local, out),
        Variable::ServerPort => port(entry.local, out),
        Variable::RemoteUser => remote_user(entry, escape, out),
        Variable::TimeLocal => plain(values.time.local(second), out),
        Variable::TimeIso8601 => plain(values.time.iso8601(second), out),
        Variable::Msec => seconds(entry.ended_at * 1000, out),
        Variable::Request => request_line(entry, escape, out),
        Variable::RequestMethod => given(entry.method, escape, out),
        Variable::RequestUri => given(entry.target, escape, out),
        Variable::Uri => given(entry.path, escape, out),
        Variable::Args => match query(entry) {
            Some(query) => text(query, escape, out),
            None => false,
        },
        Variable::IsArgs => match query(entry) {
            Some(query) if !query.is_empty() => plain(b"?", out),
            _ => true,
        },
        Variable::Argument(name) => match query(entry).and_then(|all| argument(all, name)) {
            Some(value) => text(value, escape, out),
            None => false,
        },
        Variable::Scheme => match entry.https {
            true => plain(b"https", out),
            false => plain(b"http", out),
        },
        Variable::Https => match entry.https {
            true => plain(b"on", out),
            false => true,
        },
        Variable::Host => host(entry, escape, out),
        Variable::ServerName => plain(SERVER_NAME, out),
        Variable::ServerProtocol => match entry.method.is_empty() {
            true => false,
            false => plain(entry.protocol.as_bytes(), out),
        },
        Variable::Status => status(entry.status, out),
        Variable::BytesSent => number(entry.response_bytes, out),
        Variable::BodyBytesSent => number(entry.body_bytes, out),
        Variable::RequestLength => number(entry.request_bytes, out),
        Variable::RequestTime => seconds(entry.total_us, out),
        Variable::RequestCompletion => match entry.complete {
            true => plain(b"OK", out),
            false => true,
        },
        Variable::RequestId => given(entry.request_id.as_bytes(), escape, out),
        Variable::RequestHeader(name) => {
            let separator = if name == "cookie" { "; " } else { ", " };
            header(entry.request_headers, name, separator, escape, out)
        }
        Variable::SentHeader(name) => header(entry.sent_headers, name, ", ", escape, out),
        Variable::UpstreamHeader(name) => header(entry.upstream_headers, name, ", ", escape, out),
        Variable::Cookie(name) => cookie(entry, name, escape, out),
        Variable::ForwardedFor => {
            let headers = entry.request_headers;
            if header(headers, "x_forwarded_for", ", ", escape, out) {
                out.extend_from_slice(b", ");
            }
            ip(entry.client, out)
        }
        Variable::UpstreamAddr => attempts(entry, out, |attempt, out| {
            if let Some(address) = attempt.address {
                formatted(format_args!("{address}"), out);
            } else {
                out.push(b'-');
            }
        }),
        Variable::UpstreamStatus => attempts(entry, out, |attempt, out| {
            status(attempt.status, out);
        }),
        Variable::UpstreamResponseTime => attempts(entry, out, |attempt, out| {
            seconds(attempt.total_us, out);
        }),
        Variable::UpstreamHeaderTime => attempts(entry, out, |attempt, out| {
            optional_seconds(attempt.header_us, out);
        }),
        Variable::UpstreamConnectTime => attempts(entry, out, |attempt, out| {
            optional_seconds(attempt.connect_us, out);
        }),
        Variable::UpstreamUri => given(entry.upstream_uri, escape, out),
        Variable::UpstreamHost => given(entry.upstream_host, escape, out),
        Variable::TlsProtocol => optional(entry.tls_protocol, escape, out),
        Variable::TlsCipher => optional(entry.tls_cipher, escape, out),
        Variable::TlsName => optional(entry.tls_name, escape, out),
        Variable::Connection => number(entry.connection, out),
        Variable::ConnectionRequests => number(entry.connection_requests, out),
        Variable::Pipe => match entry.pipelined {
            true => plain(b"p", out),
            false => plain(b".", out),
        },
        Variable::Hostname => text(values.hostname.as_bytes(), escape, out),
        Variable::Pid => number(u64::from(std::process::id()), out),
        Variable::Never => false,
    };
    if !written {
        escape.write_missing(out);
    }
}

/// Appends text that needs no escape.
fn plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(text);
    true
}

fn text(value: &[u8], escape: Escape, out: &mut Vec<u8>) -> bool {
    escape.write(value, out);
    true
}

/// What is empty is not there.
fn given(value: &[u8], escape: Escape, out: &mut Vec<u8>) -> bool {
    escape.write(value, out);
    !value.is_empty()
}

fn optional(value: Option<&str>, escape: Escape, out: &mut Vec<u8>) -> bool {
    given(value.unwrap_or_default().as_bytes(), escape, out)
}

fn formatted(arguments: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(arguments);
}

fn number(value: u64, out: &mut Vec<u8>) -> bool {
    crate::http::write::decimal(out, value);
    true
}

fn ip(address: Option<SocketAddr>, out: &mut Vec<u8>) -> bool {
    if let Some(address) = address {
        formatted(format_args!("{}", address.ip()), out);
    }
    address.is_some()
}

fn port(address: Option<SocketAddr>, out: &mut Vec<u8>) -> bool {
    address.is_some_and(|address| number(u64::from(address.port()), out))
}

/// Three digits at least.
fn status(status: u16, out: &mut Vec<u8>) -> bool {
    if status < 100 {
        out.extend_from_slice(if status < 10 { b"00" } else { b"0" });
    }
    number(u64::from(status), out)
}

/// Microseconds as seconds with three decimals.
fn seconds(micros: u64, out: &mut Vec<u8>) -> bool {
    let millis = micros / 1000;
    number(millis / 1000, out);
    let fraction = millis % 1000;
    out.push(b'.');
    for divisor in [100, 10, 1] {
        out.push(b'0' + (fraction / divisor % 10) as u8);
    }
    true
}

fn optional_seconds(micros: Option<u64>, out: &mut Vec<u8>) {
    match micros {
        Some(micros) => {
            seconds(micros, out);
        }
        None => out.push(b'-'),
    }
}

/// The request line, or what came instead of one.
fn request_line(entry: &Entry<'_>, escape: Escape, out: &mut Vec<u8>) -> bool {
    if entry.method.is_empty() {
        // nginx writes nothing, and not a dash, for a request that has no line at all.
        return text(entry.first_line, escape, out);
    }
    escape.write(entry.method, out);
    out.push(b' ');
    escape.write(entry.target, out);
    out.push(b' ');
    plain(entry.protocol.as_bytes(), out)
}

fn query<'a>(entry: &Entry<'a>) -> Option<&'a [u8]> {
    let mark = entry.target.iter().position(|byte| *byte == b'?')?;
    entry.target.get(mark + 1..)
}

/// The first argument of a query with this name, whatever its case.
fn argument<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let mark = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at(mark);
        let same = found.eq_ignore_ascii_case(name.as_bytes());
        same.then(|| value.get(1..).unwrap_or_default())
    })
}

/// The Host without its port, in lower case.
fn host(entry: &Entry<'_>, escape: Escape, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    entry.request_headers.each(&mut |name, value| {
        if out.len() == start && name.eq_ignore_ascii_case(b"host") {
            escape.write(host_without_port(value), out);
        }
    });
    match out.get_mut(start..) {
        Some(written) if !written.is_empty() => {
            lower_values(written);
            true
        }
        _ => plain(SERVER_NAME, out),
    }
}

/// Lowers letters, but not those of an escape such as `\x0A`.
fn lower_values(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 4,
            _ => {
                text[at].make_ascii_lowercase();
                at += 1;
            }
        }
    }
}

/// A name of a header, and one of a variable, where `_` is what is neither letter nor digit.
fn same_name(header: &[u8], variable: &str) -> bool {
    header.len() == variable.len()
        && header
            .iter()
            .zip(variable.bytes())
            .all(|(found, wanted)| match found {
                b'-' => wanted == b'_',
                found => found.to_ascii_lowercase() == wanted,
            })
}

/// Every value of a header, in order.
fn header(
    headers: &dyn Headers,
    name: &str,
    separator: &str,
    escape: Escape,
    out: &mut Vec<u8>,
) -> bool {
    let mut found = false;
    headers.each(&mut |header, value| {
        if same_name(header, name) {
            if std::mem::replace(&mut found, true) {
                out.extend_from_slice(separator.as_bytes());
            }
            escape.write(value, out);
        }
    });
    found
}

fn cookie(entry: &Entry<'_>, name: &str, escape: Escape, out: &mut Vec<u8>) -> bool {
    let mut found = false;
    entry.request_headers.each(&mut |header, value| {
        if found || !header.eq_ignore_ascii_case(b"cookie") {
            return;
        }
        for pair in value.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let mark = pair.iter().position(|byte| *byte == b'=');
            let Some((key, value)) = mark.map(|mark| pair.split_at(mark)) else {
                continue;
            };
            if key.eq_ignore_ascii_case(name.as_bytes()) {
                escape.write(value.get(1..).unwrap_or_default(), out);
                found = true;
                return;
            }
        }
    });
    found
}

/// The user of Basic authentication; the password is nobody's business.
fn remote_user(entry: &Entry<'_>, escape: Escape, out: &mut Vec<u8>) -> bool {
    let mut found = false;
    entry.request_headers.each(&mut |header, value| {
        if found || !header.eq_ignore_ascii_case(b"authorization") {
            return;
        }
        let Some((scheme, encoded)) = value.split_at_checked(6) else {
            return;
        };
        let encoded = encoded.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > MAX_CREDENTIALS {
            return;
        }
        let mut decoded = [0; MAX_CREDENTIALS];
        let Ok(length) = STANDARD.decode_slice(encoded, &mut decoded) else {
            return;
        };
        let decoded = decoded.get(..length).unwrap_or_default();
        // Without a colon there is no user, as nginx has it.
        if let Some(colon) = decoded.iter().position(|byte| *byte == b':') {
            found = given(&decoded[..colon], escape, out);
        }
    });
    found
}

/// A value of each attempt, as nginx lists them.
fn attempts(
    entry: &Entry<'_>,
    out: &mut Vec<u8>,
    write: impl Fn(UpstreamAttempt, &mut Vec<u8>),
) -> bool {
    let mut found = false;
    (entry.attempts)(&mut |attempt| {
        if std::mem::replace(&mut found, true) {
            out.extend_from_slice(b", ");
        }
        write(attempt, out);
    });
    found
}
