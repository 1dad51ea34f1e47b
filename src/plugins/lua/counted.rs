//! What is counted of functions: those that fail, and those that keep their worker.

use crate::telemetry::metrics::{Metric, Metrics, table};
use std::sync::Arc;

/// The plugins whose counters are there from the start, at zero.
const PLUGINS: [&str; 2] = ["pre-function", "post-function"];

/// Shows the counters before anything has happened.
pub fn announce(metrics: &Metrics) {
    for metric in [&table::LUA_ERRORS, &table::LUA_SLOW] {
        for plugin in PLUGINS {
            metrics.counter(metric, [plugin.into()]).increment(0);
        }
    }
}

/// A function of this plugin has failed.
pub fn failed(metrics: Option<&Arc<Metrics>>, plugin: &'static str) {
    count(metrics, &table::LUA_ERRORS, plugin);
}

/// A function of this plugin has kept its worker for too long.
pub fn slow(metrics: Option<&Arc<Metrics>>, plugin: &'static str) {
    count(metrics, &table::LUA_SLOW, plugin);
}

fn count(metrics: Option<&Arc<Metrics>>, metric: &Metric, plugin: &'static str) {
    if let Some(metrics) = metrics {
        metrics.counter(metric, [plugin.into()]).increment(1);
    }
}
