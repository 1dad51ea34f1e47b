//! The contract between what moves bytes (drivers) and what decides (the proxy pipeline).
//!
//! A driver owns the sockets: it reads a request head, asks the pipeline, moves the bytes,
//! and reports what happened. The pipeline owns the decisions: route, plugins, balancer,
//! headers, error bodies, telemetry. Every driver (HTTP/1.1 now, HTTP/2 and gRPC later) calls
//! the same methods in the same order:
//!
//! `begin` → (`body_limit` → `body`)? → `access` → (`attempt` → upstream)* → `response` →
//! `finish`.

pub use crate::http::Reply;

use crate::http::{HeaderEdits, RequestHead, ResponseHead};
use crate::plugins::{BodyUse, SentFraming};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What is known of a client connection before its first request.
#[derive(Clone, Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The client that a load balancer has named in a header of the PROXY protocol.
    pub client: Option<SocketAddr>,
    /// Set on TLS connections.
    pub tls: Option<TlsInfo>,
    /// The number of the connection in this process, from 1.
    pub number: u64,
}

#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// The server name that the client asked for, lower-cased.
    pub sni: Option<Arc<str>>,
    /// The version that both speak, as nginx writes it: `TLSv1.3`.
    pub protocol: Option<&'static str>,
    /// The cipher suite that was agreed on, as OpenSSL calls it.
    pub cipher: Option<&'static str>,
}

/// What the access phase decided.
#[derive(Debug)]
pub enum Verdict {
    /// Answer from here; nothing is sent upstream. The driver calls `respond` with it.
    Respond(Reply),
    /// Ask `attempt` for an address and send the request there.
    Forward,
}

/// One try to reach an upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub address: Address,
    /// `None` speaks plain HTTP.
    pub tls: Option<Arc<UpstreamTls>>,
    pub connect_timeout: Duration,
    /// Between two writes.
    pub write_timeout: Duration,
    /// Between two reads.
    pub read_timeout: Duration,
}

/// What the driver reads ahead of the slower side, as the route wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// The whole request body is read before an upstream is chosen: a slow client holds no
    /// upstream connection, and the request can be sent again.
    pub request: bool,
    /// The response is read as fast as the upstream sends it: a slow client does not hold the
    /// upstream's connection.
    pub response: bool,
}

/// A host (name or IP address) and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub host: Arc<str>,
    pub port: u16,
    /// The address itself where it is known: then the host is not looked at.
    pub ip: Option<IpAddr>,
}

/// Everything that makes one TLS connection to an upstream unlike another. Connections are
/// pooled per (address, profile), the whole profile: a verified service never reuses an
/// unverified connection.
#[derive(Debug)]
pub struct UpstreamTls {
    /// The name sent as SNI and verified.
    pub server_name: Arc<str>,
    pub config: Arc<rustls::ClientConfig>,
    /// Equal for equal profiles (client certificate, CA set, verification).
    pub profile: u64,
}

/// Why an attempt failed before a response head arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptError {
    /// The name has no address.
    Resolve,
    /// Refused, unreachable, reset while connecting, or the TLS handshake failed.
    Connect,
    ConnectTimeout,
    /// Reset or closed before the response head; `sent` says whether request bytes had left.
    Reset {
        sent: bool,
    },
    /// Nothing read or written within the timeout; `sent` as above.
    Timeout {
        sent: bool,
    },
    /// The response head was malformed or too large.
    BadResponse,
}

impl AttemptError {
    /// The same in a few words, for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptError::Resolve => "no address",
            AttemptError::Connect => "connection failed",
            AttemptError::ConnectTimeout => "connection timed out",
            AttemptError::Reset { .. } => "connection closed",
            AttemptError::Timeout { .. } => "timed out",
            AttemptError::BadResponse => "invalid response",
        }
    }
}

/// How an attempt reached its address, or did not.
#[derive(Debug, Default)]
pub struct Contact {
    /// `None` where the name has no address.
    pub address: Option<SocketAddr>,
    /// Why there is no connection, as the system says it.
    pub error: Option<std::io::Error>,
}

/// What becomes of a piece of a response's body.
#[derive(Debug)]
pub enum Piece {
    /// This is sent in its place; it may be empty.
    Send(Bytes),
    /// The response ends here, incomplete.
    Abort,
}

/// Why the driver refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    BadRequest,
    HeaderTooLarge,
    UriTooLong,
    Timeout,
    BodyTooLarge,
    MethodNotAllowed,
    /// A transfer coding other than `chunked` (501).
    NotImplemented,
    ExpectationFailed,
    VersionNotSupported,
    /// The gateway itself failed: a panic, plugins that took too long, a disk that fails (500).
    Internal,
    /// There is no room for the body, which must be complete before it is sent on (503).
    NoRoom,
}

/// What is known of a request that the driver refuses before `begin`.
#[derive(Clone, Copy, Debug)]
pub struct RefusedRequest<'a> {
    /// What could be parsed of it; `None` when not even the request line could.
    pub head: Option<&'a RequestHead>,
    /// What came instead of a request line.
    pub first_line: &'a [u8],
}

/// What became of an exchange, for telemetry and the log phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes read from the client, head and body.
    pub request_bytes: u64,
    /// Bytes written to the client, head and body.
    pub response_bytes: u64,
    /// Those of them that are the response's head, and interim responses.
    pub head_bytes: u64,
    /// Requests on the connection so far.
    pub requests: u32,
    /// The request was there before the answer to the one before it.
    pub pipelined: bool,
    pub framing: SentFraming,
    /// The client went away before the response was complete.
    pub client_closed: bool,
    /// The request was refused after `begin`, while its body was read for example; the client
    /// was sent what `refuse_body` answered.
    pub refused: Option<Refusal>,
    /// The gateway dropped the request where it stood: a stop that does not wait, or a panic
    /// after the response had begun.
    pub aborted: bool,
}

/// The upgrade, if any, that client and upstream may agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    None,
    WebSocket,
}

/// The proxy pipeline as drivers see it. One value per worker; methods take `&self` and an
/// exchange, the state of one request, which the driver keeps and reuses.
#[allow(
    async_fn_in_trait,
    reason = "workers are single-threaded: the futures need not be Send"
)]
pub trait Pipeline: 'static {
    /// The state of one request, reused by later requests of the worker.
    type Exchange: Default;

    /// Starts a request: remembers the connection and takes the configuration snapshot that
    /// this request keeps to its end. `head` is swapped into the exchange.
    fn begin(&self, exchange: &mut Self::Exchange, connection: &Connection, head: &mut RequestHead);

    /// The id of a request that has begun, for what the driver logs of it.
    fn request_id<'a>(&self, exchange: &'a Self::Exchange) -> &'a str;

    /// How many bytes of the request body the access phase wants to see, if any. A driver
    /// that gets `Some` reads the body before `access`; when it is complete within the limit
    /// it hands a copy over by [`body`](Pipeline::body), else it goes on without.
    fn body_limit(&self, exchange: &Self::Exchange) -> Option<usize> {
        let _ = exchange;
        None
    }

    /// The complete request body, decoded from its framing.
    fn body(&self, exchange: &mut Self::Exchange, body: Bytes) {
        let _ = (exchange, body);
    }

    /// After `access`: the body to send instead of the client's, where a plugin changed it.
    fn new_body(&self, exchange: &mut Self::Exchange) -> Option<Bytes> {
        let _ = exchange;
        None
    }

    /// Route, protocol gates, plugins' access phase. The future is dropped when the client goes
    /// away, or takes longer than the driver's `access_timeout`.
    async fn access(&self, exchange: &mut Self::Exchange) -> Verdict;

    /// After `access`, before the first `attempt`: what is read ahead.
    fn buffering(&self, exchange: &Self::Exchange) -> Buffering;

    /// The next address to try. `failed` is why the attempt before this one failed; the
    /// pipeline decides whether it may be retried, and answers with the error reply if not.
    fn attempt(
        &self,
        exchange: &mut Self::Exchange,
        failed: Option<AttemptError>,
    ) -> Result<Attempt, Reply>;

    /// The address of the current attempt is known, and whether there is a connection to it.
    fn contact(&self, exchange: &mut Self::Exchange, contact: Contact) {
        let _ = (exchange, contact);
    }

    /// The attempt failed and the request cannot be sent again, because part of its body is
    /// gone: the error reply. Called instead of `attempt`.
    fn give_up(&self, exchange: &mut Self::Exchange, failed: AttemptError) -> Reply {
        match self.attempt(exchange, Some(failed)) {
            Err(reply) => reply,
            Ok(_) => Reply {
                status: match failed {
                    AttemptError::Timeout { .. } | AttemptError::ConnectTimeout => 504,
                    _ => 502,
                },
                ..Reply::default()
            },
        }
    }

    /// Writes the request head for the current attempt: request line, Host, edited headers,
    /// all but the body's framing, which the driver appends with the final blank line: no
    /// `Content-Length`, `Transfer-Encoding` or `Expect` of the client may be written here.
    fn write_request_head(&self, exchange: &Self::Exchange, out: &mut Vec<u8>);

    /// The upgrade that the current request asks for and the pipeline permits.
    fn upgrade(&self, exchange: &Self::Exchange) -> Upgrade;

    /// The response head has come: hop-by-hop rules, plugins' header phase, Kong's headers.
    /// The driver writes status and headers through `edits`, and frames the body itself:
    /// it leaves out `Connection`, `Keep-Alive`, `Content-Length` and `Transfer-Encoding` of
    /// head and edits and writes its own. A `Date` is the upstream's or, as Kong has it, none:
    /// the driver adds one to the gateway's own answers only. The answer says what is done with the
    /// body: where it is watched or transformed, each piece of it goes through `piece`.
    ///
    /// # Errors
    /// The response must not reach the client as it is; `respond` follows for the reply.
    fn response(
        &self,
        exchange: &mut Self::Exchange,
        head: &mut ResponseHead,
        edits: &mut HeaderEdits,
    ) -> Result<BodyUse, Reply>;

    /// Asked when the head of the upstream's response has come: up to how many bytes of its body are
    /// to be read before anything else happens. `None`: the body is passed on as it comes.
    fn whole_response(&self, exchange: &Self::Exchange) -> Option<usize> {
        let _ = exchange;
        None
    }

    /// The whole response has come, as `whole_response` wanted it; `response` follows.
    ///
    /// # Errors
    /// As for `response`.
    async fn response_phase(
        &self,
        exchange: &mut Self::Exchange,
        head: &mut ResponseHead,
        body: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        let _ = (exchange, head, body);
        Ok(())
    }

    /// The answer in place of the response with this head, which is larger than `whole_response` takes.
    fn too_large(&self, exchange: &mut Self::Exchange, head: &ResponseHead, limit: usize) -> Reply {
        let _ = (exchange, head, limit);
        Reply::new(502)
    }

    /// A piece of the response's body, where `response` has said that somebody looks at it. The last
    /// one, which may be empty, says so; a body that is cut short has no last one.
    fn piece(&self, exchange: &mut Self::Exchange, data: Bytes, last: bool) -> Piece {
        let _ = (exchange, last);
        Piece::Send(data)
    }

    /// The gateway answers itself (a verdict, a failed attempt); called once for every reply of
    /// `access`, `attempt`, `give_up` and `refuse_body` before it is written: plugins' header
    /// phase and Kong's headers are added to the reply.
    fn respond(&self, exchange: &mut Self::Exchange, reply: &mut Reply);

    /// The whole reply to a request that the driver refused before `begin`; neither `respond`
    /// nor `finish` is called for it, but `refused`. `exchange` is one that no request uses.
    fn refuse(
        &self,
        exchange: &mut Self::Exchange,
        connection: &Connection,
        refused: RefusedRequest<'_>,
        refusal: Refusal,
    ) -> Reply;

    /// The reply of `refuse` is written, or the client is gone: called exactly once after it.
    fn refused(&self, exchange: &mut Self::Exchange, outcome: Outcome) {
        let _ = (exchange, outcome);
    }

    /// The reply to a request whose body turned out malformed, too large or too slow after
    /// `begin`, before or during its attempts, or whose handling failed. `respond` and `finish`
    /// follow.
    fn refuse_body(&self, exchange: &mut Self::Exchange, refusal: Refusal) -> Reply;

    /// The last byte is written, or the client is gone, or the request was dropped: the log
    /// phase. Called exactly once after each `begin`, whatever happens to the request.
    fn finish(&self, exchange: &mut Self::Exchange, outcome: Outcome);
}
