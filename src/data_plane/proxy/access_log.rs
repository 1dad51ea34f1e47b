//! The access log's view of a request.

use super::exchange::Exchange;
use super::facts::Client;
use crate::access_log::{Entry, Headers, Lane, UpstreamAttempt};
use crate::data_plane::exchange::Outcome;
use crate::http::HeaderIndex;
use crate::plugins::{RequestLog, SentHeaders, Try};

impl Headers for HeaderIndex {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.iter().for_each(|(name, value)| visit(name, value));
    }
}

impl Headers for SentHeaders {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.iter().for_each(|(name, value)| visit(name, value));
    }
}

/// Writes the line of a request that has ended.
pub fn write(lane: &Lane, exchange: &Exchange, outcome: Outcome, log: &RequestLog<'_>) {
    let Some(current) = &exchange.current else {
        return;
    };
    let client: &Client = &current.client;
    let tls = current.tls.as_ref();
    let attempts = |visit: &mut dyn FnMut(UpstreamAttempt)| {
        for attempt in log.tries {
            visit(attempt_of(attempt, log));
        }
    };
    lane.write(&Entry {
        client: Some(client.address),
        peer: Some(client.peer),
        local: Some(client.local),
        https: client.https,
        tls_name: tls.and_then(|tls| tls.sni.as_deref()),
        tls_protocol: tls.and_then(|tls| tls.protocol),
        tls_cipher: tls.and_then(|tls| tls.cipher),
        method: exchange.head.method(),
        target: exchange.head.target(),
        protocol: exchange.head.version.as_str(),
        first_line: &exchange.first_line,
        path: exchange.path.as_bytes(),
        request_headers: &exchange.head.headers,
        sent_headers: log.headers,
        upstream_headers: &exchange.came,
        attempts: &attempts,
        upstream_uri: log.upstream_uri,
        upstream_host: log.upstream_host,
        request_id: exchange.request_id.as_str(),
        status: log.status,
        request_bytes: log.request_bytes,
        response_bytes: log.response_bytes,
        body_bytes: log.response_bytes.saturating_sub(outcome.head_bytes),
        ended_at: log.ended_at(),
        total_us: log.total_us,
        complete: !log.client_closed && !outcome.aborted,
        connection: exchange.connection,
        connection_requests: u64::from(outcome.requests),
        pipelined: outcome.pipelined,
    });
}

/// An attempt as nginx tells of it: one that failed has the status that its failure stands for.
fn attempt_of(attempt: &Try, log: &RequestLog<'_>) -> UpstreamAttempt {
    let answered = attempt.status != 0;
    let status = match attempt.failure {
        None => attempt.status,
        Some(_) if attempt.timed_out => 504,
        Some(_) => 502,
    };
    UpstreamAttempt {
        address: attempt.address,
        status,
        connect_us: attempt.connect_us,
        header_us: answered.then_some(attempt.took_us),
        total_us: match answered {
            true => attempt.took_us + log.receive_us.unwrap_or_default(),
            false => attempt.took_us,
        },
    }
}
