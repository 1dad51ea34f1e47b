//! What became of a request, for plugins, the access log and telemetry.

use super::exchange::Exchange;
use super::target::write_path;
use crate::data_plane::exchange::Outcome;
use crate::plugins::{Phases, RequestLog, ResponseSource};

/// The status of a request whose client went away before the response began.
const CLIENT_CLOSED: u16 = 499;
/// The status of a request that the gateway dropped before the response began.
const ABORTED: u16 = 500;

/// Lends the log of a request that ended at `now` (microseconds of the worker's clock).
pub fn with_request_log(
    exchange: &mut Exchange,
    outcome: Outcome,
    now: u64,
    run: impl FnOnce(&mut Exchange, &RequestLog<'_>),
) {
    if exchange.uri.is_empty() && exchange.phases.contains(Phases::LOG) {
        write_path(exchange);
    }
    // They are read while the rest of the exchange is changed.
    let uri = std::mem::take(&mut exchange.uri);
    let host = std::mem::take(&mut exchange.tries.host);
    exchange.tries.end(now);
    let tries = std::mem::take(&mut exchange.tries.log);
    let parts = std::mem::take(&mut exchange.parts);
    let sent = std::mem::take(&mut exchange.sent);
    let times = exchange.times;
    let answered_by_upstream = exchange.upstream_status != 0;
    let waited = exchange.proxied && times.balanced != 0 && times.answered != 0;
    let answered = match times.answered {
        0 => now,
        answered => answered,
    };
    let gateway_end = match exchange.proxied && times.balanced != 0 {
        true => times.balanced,
        false => answered,
    };
    let log = RequestLog {
        started_at: times.begun_at,
        total_us: now.saturating_sub(times.begun),
        gateway_us: gateway_end.saturating_sub(times.begun),
        upstream_us: answered_by_upstream.then(|| answered.saturating_sub(times.balanced)),
        waited_us: waited.then(|| times.answered.saturating_sub(times.balanced)),
        receive_us: answered_by_upstream.then(|| now.saturating_sub(answered)),
        request_bytes: outcome.request_bytes,
        response_bytes: outcome.response_bytes,
        status: match exchange.status {
            0 if outcome.aborted => ABORTED,
            0 => CLIENT_CLOSED,
            status => status,
        },
        upstream_status: exchange.upstream_status,
        source: match answered_by_upstream {
            true => ResponseSource::Upstream,
            false => ResponseSource::Gateway,
        },
        client_closed: outcome.client_closed,
        upstream_uri: &uri,
        upstream_host: &host,
        tries: &tries,
        parts: &parts,
        headers: &sent,
        framing: outcome.framing,
    };
    run(exchange, &log);
    // The next request uses their memory again.
    exchange.uri = uri;
    exchange.tries.host = host;
    exchange.tries.log = tries;
    exchange.parts = parts;
    exchange.sent = sent;
}
