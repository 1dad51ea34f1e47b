//! What is known of one request when its line is written.

use std::net::SocketAddr;

/// Header lines, whoever holds them.
pub trait Headers {
    /// Calls `visit` with every name, as it was written, and value.
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8]));
}

/// Nothing is known of these headers.
#[derive(Clone, Copy, Debug)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _: &mut dyn FnMut(&[u8], &[u8])) {}
}

/// One attempt to reach an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamAttempt {
    /// `None` where the name has no address.
    pub address: Option<SocketAddr>,
    /// The status of the response; of a failure the one that it stands for.
    pub status: u16,
    /// Until there was a connection, in microseconds.
    pub connect_us: Option<u64>,
    /// Until the response head was there, in microseconds.
    pub header_us: Option<u64>,
    /// Until the last byte of the response, or the failure, in microseconds.
    pub total_us: u64,
}

/// Calls what it is given with each attempt.
pub type AttemptList<'a> = dyn Fn(&mut dyn FnMut(UpstreamAttempt)) + 'a;

/// One request that has ended.
pub struct Entry<'a> {
    /// The client, as trusted peers name it.
    pub client: Option<SocketAddr>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The address that accepted the connection.
    pub local: Option<SocketAddr>,
    pub https: bool,
    /// The name that the client asked for in the TLS handshake.
    pub tls_name: Option<&'a str>,
    pub tls_protocol: Option<&'static str>,
    pub tls_cipher: Option<&'static str>,
    /// Empty when not even the request line could be read.
    pub method: &'a [u8],
    /// Path and query as they came.
    pub target: &'a [u8],
    pub protocol: &'static str,
    /// What came instead of a request line.
    pub first_line: &'a [u8],
    /// The path as routes are matched with it.
    pub path: &'a [u8],
    pub request_headers: &'a dyn Headers,
    pub sent_headers: &'a dyn Headers,
    pub upstream_headers: &'a dyn Headers,
    /// The attempts in order.
    pub attempts: &'a AttemptList<'a>,
    pub upstream_uri: &'a [u8],
    pub upstream_host: &'a [u8],
    pub request_id: &'a str,
    pub status: u16,
    /// Bytes read from the client, head and body.
    pub request_bytes: u64,
    /// Bytes written to the client, head and body.
    pub response_bytes: u64,
    /// Bytes written to the client after the head.
    pub body_bytes: u64,
    /// Milliseconds since the epoch.
    pub ended_at: u64,
    /// From the first byte of the request to the last of the response, in microseconds.
    pub total_us: u64,
    /// The client got the whole response.
    pub complete: bool,
    /// The number of the connection in this process.
    pub connection: u64,
    /// The number of the request on its connection, from 1.
    pub connection_requests: u64,
    /// The request had come before the answer to the one before it.
    pub pipelined: bool,
}
