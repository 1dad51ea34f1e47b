//! The metrics of this process: one Prometheus recorder, its handles, its text.
//!
//! Nothing here is on the hot path. Workers push records; whoever drains the records counts them
//! by route, in a table of our own ([`series`] says why) that is printed with what the exporter
//! prints. Gauges are read and set when somebody scrapes.

mod documentation;
mod histogram;
mod node;
mod requests;
pub mod series;
pub mod table;
pub mod text;

pub use documentation::markdown;
pub use histogram::Histogram;
pub use node::{NodeIdentity, set_node_gauges};
pub use requests::{MetricOptions, RequestMetrics};
pub use table::{Metric, Type};

use histogram::Histograms;
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Kong's media type of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; charset=UTF-8";

/// A gauge nobody sets any more is forgotten by the recorder after this time; it is not
/// printed from the first scrape on that does not set it.
const FORGET_GAUGES: Duration = Duration::from_secs(60);

const METADATA: Metadata<'static> = Metadata::new("langur", Level::INFO, None);

/// The recorder of this process. Made once by `main`, shared by all.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: Histograms,
    printed_also: Mutex<Vec<Arc<dyn Print>>>,
    /// The gauges the last scrape has set. The lock also keeps two scrapes apart.
    gauges: Mutex<HashSet<Key>>,
}

impl Metrics {
    /// A recorder that knows every metric of [`table::ALL`].
    #[allow(
        clippy::new_without_default,
        reason = "a recorder is no value to make in passing"
    )]
    pub fn new() -> Metrics {
        let recorder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::GAUGE, Some(FORGET_GAUGES))
            .build_recorder();
        for metric in table::ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Type::Counter => recorder.describe_counter(name, None, help),
                Type::Gauge => recorder.describe_gauge(name, None, help),
                // Printed by tables of our own.
                Type::Histogram => {}
            }
        }
        let metrics = Metrics {
            handle: recorder.handle(),
            histograms: Histograms::default(),
            printed_also: Mutex::default(),
            recorder,
            gauges: Mutex::default(),
        };
        metrics.counter(&table::METRIC_ERRORS, []).increment(0);
        metrics
    }

    /// The counter of one set of label values, in the order of the metric's labels. Keep it.
    pub fn counter<const N: usize>(&self, metric: &Metric, values: [SharedString; N]) -> Counter {
        debug_assert_eq!(metric.kind, Type::Counter, "{}", metric.name);
        self.recorder
            .register_counter(&key(metric, values), &METADATA)
    }

    /// The histogram of one set of label values, in the order of the metric's labels. Keep it.
    pub fn histogram<const N: usize>(
        &self,
        metric: &'static Metric,
        values: [SharedString; N],
    ) -> Arc<Histogram> {
        debug_assert_eq!(metric.kind, Type::Histogram, "{}", metric.name);
        self.histograms.series(metric, values)
    }

    /// Prints this at every scrape, too.
    pub fn print_also(&self, table: Arc<dyn Print>) {
        self.printed_also().push(table);
    }

    /// Forgets the histogram of one set of label values: what it is about is gone.
    pub fn forget_histogram<const N: usize>(
        &self,
        metric: &'static Metric,
        values: [SharedString; N],
    ) {
        self.histograms.forget(metric, values);
    }

    /// One scrape: `collect` sets all gauges, then everything is printed. A gauge that an
    /// earlier scrape has set and this one does not is gone.
    pub fn scrape(&self, collect: impl FnOnce(&mut Gauges<'_>)) -> String {
        let mut before = self.lock();
        let mut gauges = Gauges {
            metrics: self,
            set: HashSet::new(),
        };
        collect(&mut gauges);
        let now = gauges.set;
        for gone in before.difference(&now) {
            self.gauge(gone).set(text::ABSENT);
        }
        *before = now;
        let mut raw = self.handle.render();
        self.histograms.print(&mut raw);
        let tables = self.printed_also().clone();
        tables.iter().for_each(|table| table.print(&mut raw));
        text::normalise(&raw)
    }

    fn gauge(&self, key: &Key) -> Gauge {
        self.recorder.register_gauge(key, &METADATA)
    }

    fn printed_also(&self) -> MutexGuard<'_, Vec<Arc<dyn Print>>> {
        self.printed_also
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Key>> {
        // After a panic in a collector the set is the one of the scrape before: still right.
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What prints metrics that the exporter does not keep.
pub trait Print: Send + Sync {
    /// Appends families in the text format.
    fn print(&self, out: &mut String);
}

/// The gauges of one scrape.
pub struct Gauges<'a> {
    metrics: &'a Metrics,
    set: HashSet<Key>,
}

impl Gauges<'_> {
    /// Sets the gauge of one set of label values, in the order of the metric's labels.
    pub fn set<const N: usize>(&mut self, metric: &Metric, values: [SharedString; N], value: f64) {
        debug_assert_eq!(metric.kind, Type::Gauge, "{}", metric.name);
        let key = key(metric, values);
        self.metrics.gauge(&key).set(value);
        self.set.insert(key);
    }
}

fn key<const N: usize>(metric: &Metric, values: [SharedString; N]) -> Key {
    debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
    let labels: Vec<_> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, value))
        .collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_that_is_not_set_any_more_is_gone_and_may_come_back() {
        let metrics = Metrics::new();
        let scrape = |nodes: &[&'static str]| {
            metrics.scrape(|gauges| {
                for node in nodes {
                    gauges.set(&table::NODE_INFO, [(*node).into(), "1".into()], 1.0);
                }
            })
        };
        let line = |node| format!("kong_node_info{{node_id=\"{node}\",version=\"1\"}} 1\n");
        let both = scrape(&["b", "a"]);
        assert!(both.contains(&(line("a") + &line("b"))), "{both}");
        let one = scrape(&["b"]);
        assert!(
            one.contains(&line("b")) && !one.contains(&line("a")),
            "{one}"
        );
        assert!(!scrape(&[]).contains("kong_node_info"));
        assert!(scrape(&["a"]).contains(&line("a")));
    }

    #[test]
    fn an_untouched_process_exports_its_error_counter() {
        let text = Metrics::new().scrape(|_| {});
        assert_eq!(
            text,
            "# HELP kong_nginx_metric_errors_total Number of nginx-lua-prometheus errors\n\
             # TYPE kong_nginx_metric_errors_total counter\n\
             kong_nginx_metric_errors_total 0\n"
        );
    }
}
