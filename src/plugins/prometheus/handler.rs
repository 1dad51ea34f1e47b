//! Writes into a request's record what is to be counted of it.

use super::config::Config;
use crate::plugins::runtime::config_of;
use crate::plugins::{Build, BuildError, Context, Handler, RequestLog};
use crate::telemetry::record::MetricChoice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the instances of a node want that no single request has. Scrapes read it.
#[derive(Debug, Default)]
pub struct Wanted {
    /// How many instances want the health of targets.
    upstream_health: AtomicUsize,
}

impl Wanted {
    pub fn upstream_health(&self) -> bool {
        self.upstream_health.load(Ordering::Relaxed) > 0
    }
}

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let is_on = |flag: Option<bool>| flag == Some(true);
    if is_on(config.ai_metrics) {
        tracing::warn!(
            plugin = %build.plugin.id,
            "prometheus: ai_metrics has no effect, this build has no AI plugins"
        );
    }
    Ok(Arc::new(Prometheus {
        choice: MetricChoice::Of {
            per_consumer: is_on(config.per_consumer),
            status_codes: is_on(config.status_code_metrics),
            latencies: is_on(config.latency_metrics),
            bandwidth: is_on(config.bandwidth_metrics),
        },
        _health: is_on(config.upstream_health_metrics)
            .then(|| WantsHealth::new(build.resources.store())),
    }))
}

struct Prometheus {
    choice: MetricChoice,
    _health: Option<WantsHealth>,
}

/// Wants the health of targets as long as it lives.
struct WantsHealth(Arc<Wanted>);

impl WantsHealth {
    fn new(wanted: Arc<Wanted>) -> WantsHealth {
        wanted.upstream_health.fetch_add(1, Ordering::Relaxed);
        WantsHealth(wanted)
    }
}

impl Drop for WantsHealth {
    fn drop(&mut self) {
        self.0.upstream_health.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler for Prometheus {
    fn log(&self, context: &mut Context<'_>, _: &RequestLog<'_>) {
        *context.metrics = self.choice;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Resources;
    use crate::plugins::runtime::testing::plugin;
    use serde_json::json;

    #[test]
    fn the_health_of_targets_is_wanted_as_long_as_an_instance_wants_it() {
        let resources = Resources::default();
        let wanted = resources.store::<Wanted>();
        let instance = |config| {
            let plugin = plugin("prometheus", config);
            let built = build(&Build {
                plugin: &plugin,
                resources: &resources,
            });
            built.expect("builds")
        };
        let first = instance(json!({"upstream_health_metrics": true}));
        let second = instance(json!({"upstream_health_metrics": true}));
        let _other = instance(json!({"latency_metrics": true, "ai_metrics": null}));
        drop(first);
        assert!(wanted.upstream_health());
        drop(second);
        assert!(!wanted.upstream_health());
    }
}
