//! Limits the rate of requests.
//!
//! Only the `local` policy is implemented. A plugin with another policy fails to build, so
//! that it is quarantined with a reason instead of limiting each node for itself in silence.

use super::config::{Config, LimitBy, Policy};
use super::counters::{Counters, Identifier, Key, Usage};
use super::window::{PERIODS, Period};
use crate::http::HeaderEdits;
use crate::plugins::runtime::config_of;
use crate::plugins::{Access, Build, BuildError, Context, Flow, Handler, Refusal, Timestamp};
use std::io::Write;
use std::sync::Arc;
use uuid::Uuid;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let plugin = build.plugin;
    let config: Config = config_of(plugin)?;
    let unsupported = |reason| BuildError::Unsupported {
        name: plugin.name.clone(),
        field: "config.policy",
        reason,
    };
    match config.policy {
        Policy::Local => {}
        Policy::Redis => return Err(unsupported("'redis' is not implemented, use 'local'")),
        Policy::Cluster => return Err(unsupported("'cluster' is not possible on a data plane")),
    }
    let bad = |reason: &str| BuildError::Config {
        name: plugin.name.clone(),
        reason: reason.to_owned(),
    };
    let limits = config.limits();
    if limits.iter().all(Option::is_none) {
        return Err(bad("none of second, minute, hour, day, month, year is set"));
    }
    if !(100.0..=999.0).contains(&config.error_code) {
        return Err(bad("error_code: not a status code between 100 and 999"));
    }
    Ok(Arc::new(RateLimiting {
        route: plugin.route.map(|route| route.id),
        service: plugin.service.map(|service| service.id),
        limits,
        error_code: config.error_code as u16,
        config,
        counters: build.resources.store(),
    }))
}

struct RateLimiting {
    /// The scope of the plugin, which is part of every key.
    route: Option<Uuid>,
    service: Option<Uuid>,
    limits: [Option<f64>; PERIODS],
    error_code: u16,
    config: Config,
    counters: Arc<Counters>,
}

impl Handler for RateLimiting {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let key = Key {
            route: self.route,
            service: self.service,
            identifier: self.identifier(context),
        };
        let usage = self.counters.take(key, &self.limits, context.now);
        let window = self.tightest(&usage, context.now);
        if !self.config.hide_client_headers {
            self.write_headers(&usage, &window, context);
        }
        match usage.allowed {
            true => Flow::Continue.into(),
            false => Flow::from(self.refusal(&window)).into(),
        }
    }
}

/// The window with the least remaining requests; of equal ones the longest.
struct Tightest {
    limit: f64,
    remaining: f64,
    /// Seconds until it ends, at least 1.
    reset: u64,
}

impl RateLimiting {
    /// Whom the request counts for. What is missing falls back: a consumer to the
    /// credential, everything to the client's address.
    fn identifier<'c>(&'c self, context: &'c Context<'_>) -> Identifier<'c> {
        let credential = context.identity.credential.map(Identifier::Entity);
        let found = match self.config.limit_by {
            LimitBy::Consumer => {
                let consumer = context.identity.consumer.as_ref();
                consumer
                    .map(|consumer| Identifier::Entity(consumer.id))
                    .or(credential)
            }
            LimitBy::Credential => credential,
            LimitBy::Service => context
                .service
                .map(|service| Identifier::Entity(service.id)),
            LimitBy::Header => {
                let name = self.config.header_name.as_ref();
                name.and_then(|name| context.configured_header(name))
                    .map(Identifier::Header)
            }
            LimitBy::Path => {
                let path = self.config.path.as_deref();
                path.filter(|path| path.as_bytes() == context.head.path())
                    .map(Identifier::Path)
            }
            LimitBy::Ip => None,
        };
        found.unwrap_or(Identifier::Ip(context.peer.client))
    }

    /// What remains of a limit after this request, as clients are told. Of a refused
    /// request only the limits that stopped it would be one lower, and they are at zero.
    fn remaining(usage: &Usage, before: f64) -> f64 {
        let taken = if usage.allowed { 1.0 } else { 0.0 };
        (before - taken).max(0.0)
    }

    fn tightest(&self, usage: &Usage, now: Timestamp) -> Tightest {
        let mut tightest = Tightest {
            limit: 0.0,
            remaining: f64::INFINITY,
            reset: 1,
        };
        for (i, period) in Period::ALL.into_iter().enumerate() {
            let (Some(limit), Some(before)) = (self.limits[i], usage.remaining[i]) else {
                continue;
            };
            let remaining = Self::remaining(usage, before);
            if remaining <= tightest.remaining {
                let elapsed = now.seconds() - period.start(now);
                tightest = Tightest {
                    limit,
                    remaining,
                    reset: period.seconds().saturating_sub(elapsed).max(1),
                };
            }
        }
        tightest
    }

    fn write_headers(&self, usage: &Usage, window: &Tightest, context: &mut Context<'_>) {
        let edits = &mut *context.response_edits;
        for (i, period) in Period::ALL.into_iter().enumerate() {
            let (Some(limit), Some(before)) = (self.limits[i], usage.remaining[i]) else {
                continue;
            };
            set_number(edits, period.limit_header(), limit);
            let remaining = Self::remaining(usage, before);
            set_number(edits, period.remaining_header(), remaining);
        }
        set_number(edits, "RateLimit-Limit", window.limit);
        set_number(edits, "RateLimit-Remaining", window.remaining);
        edits.set_number("RateLimit-Reset", window.reset);
    }

    fn refusal(&self, window: &Tightest) -> Refusal {
        let refusal = Refusal::new(self.error_code, self.config.error_message.clone());
        match self.config.hide_client_headers {
            true => refusal,
            false => refusal.with_header("Retry-After", window.reset.to_string()),
        }
    }
}

/// Limits may have fractions; nearly all are whole, and written without them: `2`, `1.5`.
fn set_number(edits: &mut HeaderEdits, name: &'static str, number: f64) {
    const WHOLE: f64 = (1_u64 << 53) as f64;
    if number.fract() == 0.0 && (0.0..WHOLE).contains(&number) {
        return edits.set_number(name, number as u64);
    }
    let mut text = [0; 32];
    let whole = text.len();
    let mut rest = &mut text[..];
    // Numbers too long for the buffer are cut; limits that large are never reached.
    let _ = write!(rest, "{number}");
    let written = whole - rest.len();
    edits.set(name, &text[..written]);
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
