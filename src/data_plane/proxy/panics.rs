//! Panics of plugins: each is counted and logged, and costs one request.

use crate::telemetry::metrics::{Metrics, table};
use std::sync::Arc;

/// Where panics are counted. Shared by all workers; only a panic touches it.
#[derive(Clone, Default)]
pub struct PluginPanics(Option<Arc<Metrics>>);

impl PluginPanics {
    /// `plugins` are those whose counter is there from the start, at zero.
    pub fn new<'a>(metrics: Arc<Metrics>, plugins: impl Iterator<Item = &'a str>) -> PluginPanics {
        for name in plugins {
            let counter = metrics.counter(&table::PLUGIN_PANICS, [name.to_owned().into()]);
            counter.increment(0);
        }
        PluginPanics(Some(metrics))
    }

    /// A plugin has panicked in this phase. What it said is not logged here: it may be part of a
    /// request.
    pub fn report(&self, plugin: &str, phase: &str, request_id: &str) {
        tracing::error!(plugin, phase, request_id, "plugin panicked");
        if let Some(metrics) = &self.0 {
            let counter = metrics.counter(&table::PLUGIN_PANICS, [plugin.to_owned().into()]);
            counter.increment(1);
        }
    }
}

impl std::fmt::Debug for PluginPanics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PluginPanics").finish_non_exhaustive()
    }
}
