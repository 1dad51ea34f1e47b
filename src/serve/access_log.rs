//! Access log lines of an actix-web server.
//!
//! The line is written when the answer has been handed over or dropped. The size of an answer's head
//! is not known here: `$bytes_sent` counts its body alone. What the library refuses by itself, such
//! as a request that is malformed, has no line.

use super::patience::Sent;
use crate::access_log::{Entry, Headers, Lane, NoHeaders};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Version;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, http::StatusCode};
use std::any::Any;
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

/// Where the Admin API tells the id of a request.
const REQUEST_ID: &str = "x-kong-admin-request-id";

/// Kept with each connection.
#[derive(Debug)]
pub struct LoggedConnection {
    local: Option<SocketAddr>,
    number: u64,
    requests: Cell<u64>,
}

impl LoggedConnection {
    /// What is known of a new connection.
    pub fn of(connection: &dyn Any) -> LoggedConnection {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let plain = connection.downcast_ref::<TcpStream>();
        let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
        let stream = plain.or_else(|| Some(tls?.get_ref().0));
        LoggedConnection {
            local: stream.and_then(|stream| stream.local_addr().ok()),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            requests: Cell::new(0),
        }
    }
}

impl Headers for HeaderMap {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self {
            visit(name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// A request whose line is written when this is dropped.
struct Line {
    lane: Rc<Lane>,
    request: HttpRequest,
    begun: Instant,
    status: StatusCode,
    sent: HeaderMap,
    body_bytes: u64,
    complete: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let request = &self.request;
        let connection = request.conn_data::<LoggedConnection>();
        let ended = SystemTime::now().duration_since(UNIX_EPOCH);
        let uri = request.uri();
        let text = |name: &str| {
            let value = self.sent.get(name)?;
            value.to_str().ok()
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        self.lane.write(&Entry {
            client: request.peer_addr(),
            peer: request.peer_addr(),
            local: connection.and_then(|connection| connection.local),
            https: request.app_config().secure(),
            tls_name: None,
            tls_protocol: None,
            tls_cipher: None,
            method: request.method().as_str().as_bytes(),
            target: target.as_bytes(),
            protocol: match request.version() {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            first_line: b"",
            path: uri.path().as_bytes(),
            request_headers: request.headers(),
            sent_headers: &self.sent,
            upstream_headers: &NoHeaders,
            attempts: &|_| {},
            upstream_uri: b"",
            upstream_host: b"",
            request_id: text(REQUEST_ID).unwrap_or_default(),
            status: self.status.as_u16(),
            request_bytes: length.unwrap_or(0),
            response_bytes: self.body_bytes,
            body_bytes: self.body_bytes,
            ended_at: ended.map_or(0, |since| since.as_millis() as u64),
            total_us: self.begun.elapsed().as_micros() as u64,
            complete: self.complete,
            connection: connection.map_or(0, |connection| connection.number),
            connection_requests: connection.map_or(0, |connection| connection.requests.get()),
            pipelined: false,
        });
    }
}

/// What is known before a request is answered.
pub struct Logging {
    lane: Rc<Lane>,
    begun: Instant,
}

impl Logging {
    /// A request has come, of which `lane` is told.
    pub fn begin(lane: &Option<Rc<Lane>>) -> Option<Logging> {
        let lane = Rc::clone(lane.as_ref()?);
        Some(Logging {
            lane,
            begun: Instant::now(),
        })
    }

    /// The line of a request, once it is answered with this head.
    fn line(self, request: &HttpRequest, status: StatusCode, sent: &HeaderMap) -> Line {
        if let Some(connection) = request.conn_data::<LoggedConnection>() {
            connection.requests.set(connection.requests.get() + 1);
        }
        Line {
            lane: self.lane,
            request: request.clone(),
            begun: self.begun,
            status,
            sent: sent.clone(),
            body_bytes: 0,
            complete: false,
        }
    }
}

/// The body of an answer, whose line is written when it has been sent.
pub struct Logged<B> {
    body: Sent<B>,
    line: Option<Line>,
}

impl<B> Logged<B> {
    pub fn new(
        body: Sent<B>,
        logging: Option<Logging>,
        request: &HttpRequest,
        (status, sent): (StatusCode, &HeaderMap),
    ) -> Logged<B> {
        let line = logging.map(|logging| logging.line(request, status, sent));
        Logged { body, line }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Logged<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        if let Some(line) = &mut self.line {
            match &polled {
                Poll::Ready(Some(Ok(bytes))) => line.body_bytes += bytes.len() as u64,
                Poll::Ready(None) => line.complete = true,
                _ => {}
            }
        }
        polled
    }
}
