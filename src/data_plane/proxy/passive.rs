//! What the health of an address learns from the requests that it gets.

use super::exchange::Exchange;
use crate::data_plane::balancer::{Observation, PassiveChecks};
use crate::data_plane::exchange::AttemptError;
use crate::data_plane::health::{Source, note};

/// An attempt has failed.
pub fn attempt_failed(exchange: &Exchange, failed: AttemptError) {
    let seen = match failed {
        // No address was asked.
        AttemptError::Resolve => return,
        AttemptError::ConnectTimeout | AttemptError::Timeout { .. } => Observation::Timeout,
        AttemptError::Connect | AttemptError::Reset { .. } | AttemptError::BadResponse => {
            Observation::TcpFailure
        }
    };
    observe(exchange, |_| Some(seen));
}

/// The client is told this status after the last attempt: the upstream's own, or the gateway's
/// 502 for it. As in Kong, 504 is a timeout, whoever says so.
pub fn answered(exchange: &Exchange, status: u16) {
    observe(exchange, |checks| match status {
        504 => Some(Observation::Timeout),
        _ => checks.statuses.judge(status),
    });
}

fn observe(exchange: &Exchange, judge: impl FnOnce(&PassiveChecks) -> Option<Observation>) {
    let tries = &exchange.tries;
    let Some((peer, upstream)) = tries.peers.last().zip(tries.observed.as_ref()) else {
        return;
    };
    let checks = &upstream.spec.checks.passive;
    if let Some(seen) = judge(checks) {
        let changed = peer.health.observe(seen, &checks.limits);
        note(&upstream.spec.name, peer, changed, Source::Passive);
    }
}
