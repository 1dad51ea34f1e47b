//! One probe of one address.

use crate::data_plane::balancer::{ActiveChecks, Observation, Peer, ProbeKind};
use crate::data_plane::exchange::UpstreamTls;
use crate::data_plane::router::{Snapshot, UpstreamSpec};
use crate::data_plane::upstream::{Stream, Trust, client_config};
use crate::http::host_without_port;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A status line is this long at most, in bytes.
const MAX_LINE: usize = 1024;

/// What probes over TLS use of the node's settings.
#[derive(Clone)]
pub struct Credentials {
    /// `lua_ssl_trusted_certificate`.
    pub roots: Arc<RootCertStore>,
    /// `client_ssl_cert`, for upstreams without a certificate of their own.
    pub certificate: Option<Arc<CertifiedKey>>,
}

/// A probe that is about to be sent.
pub struct Probe {
    address: SocketAddr,
    tls: Option<Result<UpstreamTls, String>>,
    /// Nothing where a connection is enough.
    request: Option<Vec<u8>>,
    timeout: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Connected,
    Status(u16),
    /// Something that is no HTTP.
    Nonsense,
    Failed,
    TimedOut,
    /// This node lacks what a connection needs.
    NotSent,
}

impl Answer {
    /// What it says of the address, if anything.
    pub fn judge(self, checks: &ActiveChecks) -> Option<Observation> {
        match self {
            Answer::Connected => Some(Observation::Success),
            Answer::Status(status) => checks.statuses.judge(status),
            Answer::Nonsense => Some(Observation::HttpFailure),
            Answer::Failed => Some(Observation::TcpFailure),
            Answer::TimedOut => Some(Observation::Timeout),
            Answer::NotSent => None,
        }
    }
}

impl Probe {
    /// The probe of an address; `None` while the name is not resolved.
    pub fn new(
        upstream: &UpstreamSpec,
        checks: &ActiveChecks,
        peer: &Peer,
        snapshot: &Snapshot,
        credentials: &Credentials,
    ) -> Option<Probe> {
        let own = &peer.target.address;
        let host: Cow<'_, str> = match (&upstream.host_header, own.ip) {
            (Some(host), _) => (&**host).into(),
            (None, Some(IpAddr::V6(ip))) => format!("[{ip}]").into(),
            (None, _) => (&*own.host).into(),
        };
        let tls = (checks.probe == ProbeKind::Https)
            .then(|| tls(upstream, checks, &host, snapshot, credentials));
        Some(Probe {
            address: peer.socket()?,
            tls,
            request: (checks.probe != ProbeKind::Tcp).then(|| request(checks, &host)),
            timeout: checks.timeout,
        })
    }

    /// Sends it and waits for the answer.
    pub async fn run(self) -> Answer {
        let tls = match self.tls.transpose() {
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(address = %self.address, error, "a probe has no TLS");
                return Answer::Failed;
            }
        };
        let connecting = Stream::connect(self.address, tls.as_ref());
        let stream = match within(self.timeout, connecting).await {
            Ok(stream) => stream,
            Err(answer) => return answer,
        };
        let Some(request) = self.request else {
            return Answer::Connected;
        };
        match within(self.timeout, ask(stream, &request)).await {
            Ok(line) => status_of(&line).map_or(Answer::Nonsense, Answer::Status),
            Err(answer) => answer,
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Answer> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(Answer::TimedOut),
    }
}

/// A node without a free file descriptor must not take it for a failure of all its targets.
fn failure(error: &io::Error) -> Answer {
    use libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    match error.raw_os_error() {
        Some(EADDRNOTAVAIL | EMFILE | ENFILE | ENOBUFS | ENOMEM) => {
            tracing::warn!(%error, "a probe cannot be sent");
            Answer::NotSent
        }
        _ => Answer::Failed,
    }
}

/// An HTTP/1.0 request, as Kong sends: the connection serves no other.
fn request(checks: &ActiveChecks, host: &str) -> Vec<u8> {
    let mut text = format!("GET {} HTTP/1.0\r\n", checks.path);
    for (name, value) in &checks.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    let own_host = |(name, _): &(Box<str>, Box<str>)| name.eq_ignore_ascii_case("host");
    if !checks.headers.iter().any(own_host) {
        text.extend(["Host: ", host, "\r\n"]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn tls(
    upstream: &UpstreamSpec,
    checks: &ActiveChecks,
    host: &str,
    snapshot: &Snapshot,
    credentials: &Credentials,
) -> Result<UpstreamTls, String> {
    let certificate = match upstream.client_certificate {
        None => credentials.certificate.as_ref(),
        Some(id) => {
            let found = snapshot.client_certificate(id);
            let found = found.ok_or("the client certificate is not in effect")?;
            found.keys.first()
        }
    };
    let trust = match checks.verify_certificate {
        true => Trust::Verify {
            roots: Arc::clone(&credentials.roots),
            depth: None,
        },
        false => Trust::Anyone,
    };
    let config = client_config(trust, certificate).map_err(|error| error.to_string())?;
    let name = match &checks.sni {
        Some(sni) => Arc::clone(sni),
        None => server_name(host).into(),
    };
    Ok(UpstreamTls {
        server_name: name,
        config: Arc::new(config),
        // Connections of probes are not kept.
        profile: 0,
    })
}

/// A host without its port and brackets.
fn server_name(host: &str) -> &str {
    let name = host_without_port(host.as_bytes()).len();
    let name = &host[..name];
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    address.unwrap_or(name)
}

/// Sends the request and reads the first line of the answer.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    first_line(stream).await
}

/// A line, or as much of it as it may be long.
async fn first_line(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(128);
    while !line.contains(&b'\n') && line.len() < MAX_LINE {
        let mut chunk = [0; 128];
        match stream.read(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => line.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(line)
}

/// The status in a status line.
fn status_of(line: &[u8]) -> Option<u16> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words
        .next()
        .filter(|version| version.starts_with("HTTP/"))?;
    let status = words.next().filter(|status| status.len() == 3)?;
    status.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::balancer::Checks;
    use futures_util::FutureExt;
    use serde_json::{Value, json};

    fn active(fields: Value) -> ActiveChecks {
        let mut checks = json!({"healthy": {"interval": 1}});
        let object = checks.as_object_mut().expect("an object");
        object.extend(fields.as_object().expect("an object").clone());
        let checks = serde_json::from_value(json!({ "active": checks })).expect("checks");
        Checks::compile(&checks).active.expect("probes")
    }

    #[test]
    fn requests_are_http_1_0() {
        let check = |fields: Value, host: &str, expected: &str| {
            let written = request(&active(fields), host);
            let expected = expected.replace('\n', "\r\n");
            assert_eq!(String::from_utf8_lossy(&written), expected);
        };
        check(json!({}), "a.test", "GET / HTTP/1.0\nHost: a.test\n\n");
        check(
            json!({}),
            "a.test:80",
            "GET / HTTP/1.0\nHost: a.test:80\n\n",
        );
        check(
            json!({"http_path": "/up?x=1", "headers": {"x-a": ["1", "2"], "host": ["b"]}}),
            "a.test",
            "GET /up?x=1 HTTP/1.0\nhost: b\nx-a: 1\nx-a: 2\n\n",
        );
    }

    #[test]
    fn the_server_name_is_the_host() {
        for (host, name) in [
            ("a.test", "a.test"),
            ("a.test:8443", "a.test"),
            ("[::1]:1", "::1"),
        ] {
            assert_eq!(server_name(host), name);
        }
    }

    #[test]
    fn status_lines_are_read() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\r\nX: y", Some(503)),
            ("HTTP/1.1 20", None),
            ("SSH-2.0-x\r\n", None),
            ("HTTP/1.1 abc\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_of(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let read = |bytes: &[u8]| {
            first_line(bytes)
                .now_or_never()
                .expect("no wait")
                .map_err(|error| error.kind())
        };
        assert_eq!(
            read(b"HTTP/1.0 200 OK\n"),
            Ok(b"HTTP/1.0 200 OK\n".to_vec())
        );
        for half in ["", "HTTP/1.0 200 OK"] {
            assert_eq!(read(half.as_bytes()), Err(io::ErrorKind::UnexpectedEof));
        }
        let endless = read(&vec![b'x'; 1 << 20]).map(|line| line.len());
        assert_eq!(endless, Ok(MAX_LINE));
    }

    #[test]
    fn what_this_node_lacks_says_nothing_of_an_address() {
        for (code, expected) in [
            (libc::EMFILE, Answer::NotSent),
            (libc::EADDRNOTAVAIL, Answer::NotSent),
            (libc::ECONNREFUSED, Answer::Failed),
            (libc::EHOSTUNREACH, Answer::Failed),
        ] {
            assert_eq!(failure(&io::Error::from_raw_os_error(code)), expected);
        }
        assert_eq!(failure(&io::ErrorKind::InvalidData.into()), Answer::Failed);
    }

    #[test]
    fn answers_are_judged() {
        let checks = active(json!({
            "healthy": {"interval": 1, "http_statuses": [200]},
            "unhealthy": {"http_statuses": [500]},
        }));
        for (answer, expected) in [
            (Answer::Connected, Some(Observation::Success)),
            (Answer::Status(200), Some(Observation::Success)),
            (Answer::Status(500), Some(Observation::HttpFailure)),
            (Answer::Status(404), None),
            (Answer::Nonsense, Some(Observation::HttpFailure)),
            (Answer::NotSent, None),
            (Answer::Failed, Some(Observation::TcpFailure)),
            (Answer::TimedOut, Some(Observation::Timeout)),
        ] {
            assert_eq!(answer.judge(&checks), expected, "{answer:?}");
        }
    }
}
