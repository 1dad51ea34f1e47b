//! The end of a request: what its plugins, telemetry and the access log make of it; and the answer in place of one
//! that could not be filtered.

use super::clock::Clock;
use super::errors::plain_json;
use super::exchange::Exchange;
use super::record::{Recorder, record_of};
use super::request_log::with_request_log;
use super::{Proxy, access_log, plugin_run, response_headers, response_run};
use crate::data_plane::exchange::Outcome;
use crate::http::{HeaderEdits, Reply, ResponseHead};
use crate::plugins::Timestamp;

impl<R: Recorder, C: Clock> Proxy<R, C> {
    /// Puts a 500 in the place of an answer whose body a plugin could not filter. No plugin sees it.
    pub(super) fn fail(&self, exchange: &mut Exchange, reply: &mut Reply) {
        let close = reply.close;
        *reply = plain_json(500, plugin_run::UNEXPECTED);
        (reply.close, exchange.status) = (close, reply.status);
        let mut edits = HeaderEdits::default();
        response_headers::take_headers(reply, &mut edits);
        self.own(exchange)
            .write(&ResponseHead::default(), &mut edits);
        response_headers::put_headers(reply, &edits);
        self.keep_sent(exchange, reply);
    }

    /// Keeps the headers of a reply for who looks at them later.
    pub(super) fn keep_sent(&self, exchange: &mut Exchange, reply: &Reply) {
        if self.is_watched(exchange) {
            let lines = reply.headers.iter();
            let lines = lines.map(|(name, value)| (name.as_bytes(), &**value));
            exchange.sent.fill(lines);
        }
    }

    /// The last byte is written: what plugins, telemetry and the access log make of the request.
    pub(super) fn end(&self, exchange: &mut Exchange, outcome: Outcome) {
        let now = self.clock.monotonic_us();
        with_request_log(exchange, outcome, now, |exchange, log| {
            let now = Timestamp(log.ended_at());
            response_run::log(exchange, now, log, &self.settings.plugin_panics);
            if let Some(record) = record_of(exchange, log) {
                self.recorder.record(record);
            }
            if let Some(lane) = &self.access_log {
                access_log::write(lane, exchange, outcome, log);
            }
        });
        // The request is over: its snapshot must not be kept by an idle connection.
        exchange.release();
    }
}
