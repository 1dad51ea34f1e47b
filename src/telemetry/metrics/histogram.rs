//! Histograms with fixed buckets, counted in place.
//!
//! The exporter keeps every sample until its next upkeep, which then walks over all series: with
//! a series per route that costs more than the requests do. Here a sample is two additions.

use super::table::Metric;
use super::{SharedString, key, text};
use metrics::Key;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One series of a histogram.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds.
    bounds: &'static [f64],
    /// Samples per bucket, not cumulative; the last one is beyond all bounds.
    counts: Box<[AtomicU64]>,
    /// In thousandths, so that an addition needs no lock; latencies are measured in
    /// microseconds and exported in milliseconds.
    thousandths: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
            thousandths: AtomicU64::default(),
        }
    }

    /// Counts a sample, given in thousandths of the metric's unit.
    pub fn record_thousandths(&self, sample: u64) {
        let value = sample as f64 / 1000.0;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.thousandths.fetch_add(sample, Ordering::Relaxed);
    }

    fn print(&self, metric: &Metric, labels: &str, out: &mut String) {
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let thousandths = self.thousandths.load(Ordering::Relaxed);
        text::histogram(metric, labels, counts, thousandths, out);
    }
}

/// All histograms of a process.
#[derive(Default)]
pub struct Histograms(Mutex<HashMap<Key, (&'static Metric, Arc<Histogram>)>>);

impl Histograms {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (&'static Metric, Arc<Histogram>)>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of one set of label values, in the order of the metric's labels.
    pub fn series<const N: usize>(
        &self,
        metric: &'static Metric,
        values: [SharedString; N],
    ) -> Arc<Histogram> {
        let mut series = self.lock();
        let new = || (metric, Arc::new(Histogram::new(metric.buckets)));
        Arc::clone(&series.entry(key(metric, values)).or_insert_with(new).1)
    }

    /// Forgets a series. Who still holds it counts for nobody; asked for again, it begins at 0.
    pub fn forget<const N: usize>(&self, metric: &'static Metric, values: [SharedString; N]) {
        self.lock().remove(&key(metric, values));
    }

    /// Appends all series to what the exporter has printed.
    pub fn print(&self, out: &mut String) {
        let series: Vec<_> = {
            let series = self.lock();
            series
                .iter()
                .map(|(key, (metric, found))| (key.clone(), *metric, Arc::clone(found)))
                .collect()
        };
        for (key, metric, histogram) in series {
            text::family(metric, out);
            let labels: Vec<_> = key.labels().map(|l| (l.key(), l.value())).collect();
            histogram.print(metric, &text::labels(&labels), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{CONFIG_WRITE_DURATION, REQUEST_LATENCY};
    use super::*;

    #[test]
    fn samples_are_counted_below_their_bound() {
        let histograms = Histograms::default();
        let series = |name: &'static str| {
            histograms.series(
                &REQUEST_LATENCY,
                ["s".into(), name.into(), "default".into()],
            )
        };
        for us in [0, 25_000, 25_001, 60_000_000, 60_000_001] {
            series("a\"b").record_thousandths(us);
        }
        let mut text = String::new();
        histograms.print(&mut text);
        let labels = r#"service="s",route="a\"b",workspace="default""#;
        for line in [
            format!("kong_request_latency_ms_bucket{{{labels},le=\"25\"}} 2"),
            format!("kong_request_latency_ms_bucket{{{labels},le=\"50\"}} 3"),
            format!("kong_request_latency_ms_bucket{{{labels},le=\"60000\"}} 4"),
            format!("kong_request_latency_ms_bucket{{{labels},le=\"+Inf\"}} 5"),
            format!("kong_request_latency_ms_sum{{{labels}}} 120050.002"),
            format!("kong_request_latency_ms_count{{{labels}}} 5"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_series_may_have_no_labels_and_may_be_forgotten() {
        let histograms = Histograms::default();
        let printed = || {
            let mut text = String::new();
            histograms.print(&mut text);
            text
        };
        histograms
            .series(&CONFIG_WRITE_DURATION, [])
            .record_thousandths(2_500);
        let text = printed();
        for line in [
            "langur_config_write_duration_ms_bucket{le=\"1\"} 0",
            "langur_config_write_duration_ms_bucket{le=\"2.5\"} 1",
            "langur_config_write_duration_ms_sum 2.5",
            "langur_config_write_duration_ms_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        histograms.forget(&CONFIG_WRITE_DURATION, []);
        assert_eq!(printed(), "");
    }
}
