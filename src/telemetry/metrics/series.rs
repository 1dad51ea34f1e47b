//! Requests counted by route: one block of memory for everything that a request adds to.
//!
//! The exporter has an allocation and a set of label strings for each series, and a request adds
//! to nine of them: with many routes that is nine waits for memory per request, and most of a
//! process' memory. Here a route has one block, and text is made when somebody scrapes.

use super::table::Metric;
use super::text;
use crate::telemetry::record::{Named, Source};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Routes, and consumers by route, that are counted: far more than there are at a time, so that
/// only what came and went for years reaches it. Then counting begins anew, which readers of
/// counters know from restarts. With latencies that is up to 300 MB.
const MAX_SERIES: usize = 1 << 19;

/// Routes printed while counting has to wait.
const PRINTED_AT_ONCE: usize = 256;

/// Requests that have a status and a source in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    pub source: Source,
    pub requests: u64,
}

/// What was answered, and the bytes of it.
#[derive(Debug, Default)]
pub struct Traffic {
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Few: searched from the front.
    pub answered: SmallVec<[Answered; 2]>,
}

impl Traffic {
    pub fn add(&mut self, answered: Answered, request_bytes: u64, response_bytes: u64) {
        self.add_bytes(request_bytes, response_bytes);
        self.add_answered(answered);
    }

    /// Sums stop at the largest number: the sizes may come from elsewhere.
    pub fn add_bytes(&mut self, request_bytes: u64, response_bytes: u64) {
        self.request_bytes = self.request_bytes.saturating_add(request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(response_bytes);
    }

    fn has_bytes(&self) -> bool {
        self.request_bytes > 0 || self.response_bytes > 0
    }

    pub fn add_answered(&mut self, answered: Answered) {
        let same = |known: &&mut Answered| {
            (known.status, known.source) == (answered.status, answered.source)
        };
        match self.answered.iter_mut().find(same) {
            Some(known) => known.requests = known.requests.saturating_add(answered.requests),
            None => self.answered.push(answered),
        }
    }
}

/// A histogram with `N - 1` bounds and a bucket beyond them.
#[derive(Debug)]
pub struct Buckets<const N: usize> {
    /// In thousandths of the metric's unit: latencies are measured in microseconds and exported
    /// in milliseconds.
    thousandths: u64,
    /// Not cumulative.
    counts: [u64; N],
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Buckets {
            thousandths: 0,
            counts: [0; N],
        }
    }
}

impl<const N: usize> Buckets<N> {
    /// Counts a sample, given in thousandths of the metric's unit.
    pub fn record(&mut self, metric: &Metric, thousandths: u64) {
        let value = thousandths as f64 / 1000.0;
        let bucket = metric.buckets.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.thousandths += thousandths;
    }

    /// Appends the histogram's lines, if there is any sample; `labels` without braces.
    pub fn print(&self, metric: &Metric, labels: &str, out: &mut String) {
        if self.counts.iter().all(|count| *count == 0) {
            return;
        }
        text::histogram(metric, labels, self.counts, self.thousandths, out);
    }
}

/// All that is counted for one route and service; `E` is what else than [`Traffic`]. What every
/// request touches stands together in front.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RouteSeries<E> {
    names: Names,
    /// Of requests that are not told apart by consumer.
    traffic: Traffic,
    /// By consumer's name.
    consumers: Option<Box<HashMap<Arc<str>, Traffic>>>,
    pub extra: E,
}

impl<E> RouteSeries<E> {
    /// The names of service and route, empty for none.
    pub fn names(&self) -> [&str; 2] {
        let (route, service) = &self.names;
        [service, route].map(|name| name.as_deref().unwrap_or_default())
    }

    /// All traffic there was, with the consumer's name, which is empty for none.
    pub fn traffic(&self) -> impl Iterator<Item = (&str, &Traffic)> {
        let consumers = self.consumers.iter().flat_map(|consumers| consumers.iter());
        let consumers = consumers.map(|(name, traffic)| (&**name, traffic));
        std::iter::once(("", &self.traffic))
            .chain(consumers)
            .filter(|(_, traffic)| !traffic.answered.is_empty() || traffic.has_bytes())
    }

    /// Appends the bytes of all traffic by direction, with labels `before` those of the route and
    /// `after` the direction.
    pub fn print_bytes(
        &self,
        metric: &Metric,
        before: &[(&str, &str)],
        after: &[(&str, &str)],
        out: &mut String,
    ) {
        let [service, route] = self.names();
        for (consumer, traffic) in self.traffic().filter(|(_, traffic)| traffic.has_bytes()) {
            for (direction, bytes) in [
                ("egress", traffic.response_bytes),
                ("ingress", traffic.request_bytes),
            ] {
                let own = [
                    ("service", service),
                    ("route", route),
                    ("direction", direction),
                ];
                let labels = [before, &own, after, &[("consumer", consumer)]].concat();
                let labels = text::labels(&labels);
                let _ = writeln!(out, "{}{{{labels}}} {bytes}", metric.name);
            }
        }
    }

    /// Whether these have the names that are counted here; if so remembers their texts, so that
    /// the next comparison is one of addresses.
    fn adopt(&mut self, route: Option<&Named>, service: Option<&Named>) -> bool {
        fn adopt(known: &mut Option<Arc<str>>, named: Option<&Named>) -> bool {
            match (known, named) {
                (None, None) => true,
                (Some(known), Some(named)) if Arc::ptr_eq(known, &named.name) => true,
                (Some(known), Some(named)) if *known == named.name => {
                    *known = Arc::clone(&named.name);
                    true
                }
                _ => false,
            }
        }
        adopt(&mut self.names.0, route) && adopt(&mut self.names.1, service)
    }
}

/// Names make a series, ids find it.
type Ids = (Option<Uuid>, Option<Uuid>);
/// Of route and service.
type Names = (Option<Arc<str>>, Option<Arc<str>>);

/// The series of all routes.
#[derive(Debug)]
pub struct SeriesTable<E> {
    by_id: HashMap<Ids, u32>,
    by_name: HashMap<Names, u32>,
    routes: Vec<RouteSeries<E>>,
    /// Of all routes together.
    consumers: usize,
}

impl<E> Default for SeriesTable<E> {
    fn default() -> Self {
        SeriesTable {
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            routes: Vec::new(),
            consumers: 0,
        }
    }
}

impl<E: Default> SeriesTable<E> {
    /// Forgets all series when there are too many.
    pub fn make_room(&mut self) {
        if self.by_id.len().max(self.routes.len()) + self.consumers >= MAX_SERIES {
            *self = SeriesTable::default();
        }
    }

    /// Where requests of a consumer count.
    pub fn traffic_mut(&mut self, place: u32, consumer: Option<&Named>) -> Option<&mut Traffic> {
        let series = self.routes.get_mut(place as usize)?;
        let Some(consumer) = consumer else {
            return Some(&mut series.traffic);
        };
        let consumers = series.consumers.get_or_insert_default();
        Some(match consumers.entry(Arc::clone(&consumer.name)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.consumers += 1;
                new.insert(Traffic::default())
            }
        })
    }

    /// Where the series of these labels is; made if there is none. Good until [`make_room`].
    ///
    /// [`make_room`]: SeriesTable::make_room
    pub fn place(&mut self, route: Option<&Named>, service: Option<&Named>) -> u32 {
        let ids = (route.map(|label| label.id), service.map(|label| label.id));
        if let Some(place) = self.by_id.get(&ids)
            && let Some(series) = self.routes.get_mut(*place as usize)
            && series.adopt(route, service)
        {
            return *place;
        }
        // New, or renamed: what was counted under the old name stays there.
        let name = |named: Option<&Named>| named.map(|named| Arc::clone(&named.name));
        let names = (name(route), name(service));
        let next = self.routes.len() as u32;
        let place = *self.by_name.entry(names.clone()).or_insert(next);
        if place == next {
            self.routes.push(RouteSeries {
                names,
                ..RouteSeries::default()
            });
        }
        self.by_id.insert(ids, place);
        place
    }

    pub fn at(&mut self, place: u32) -> Option<&mut RouteSeries<E>> {
        self.routes.get_mut(place as usize)
    }
}

/// A table that one party counts in and scrapes print.
#[derive(Debug)]
pub struct SharedTable<E>(Mutex<SeriesTable<E>>);

impl<E> Default for SharedTable<E> {
    fn default() -> Self {
        SharedTable(Mutex::default())
    }
}

impl<E> SharedTable<E> {
    pub fn lock(&self) -> MutexGuard<'_, SeriesTable<E>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the lines of all metrics for all routes; `lines` appends those of one metric and
    /// route.
    pub fn print<const N: usize>(
        &self,
        metrics: [&Metric; N],
        out: &mut String,
        lines: impl Fn(&Metric, &RouteSeries<E>, &mut String),
    ) {
        let mut from = 0;
        loop {
            let table = self.lock();
            let to = table.routes.len().min(from + PRINTED_AT_ONCE);
            let Some(routes) = table.routes.get(from..to) else {
                return;
            };
            for metric in metrics {
                text::family(metric, out);
                routes.iter().for_each(|series| lines(metric, series, out));
            }
            if to == table.routes.len() {
                return;
            }
            from = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::Label;

    fn label(id: u128, name: &str) -> Named {
        Named::from(Arc::new(Label {
            id: Uuid::from_u128(id),
            name: name.into(),
        }))
    }

    #[test]
    fn a_name_is_one_series_whatever_the_ids() {
        let mut table = SeriesTable::<()>::default();
        let (old, new) = (label(1, "old"), label(1, "new"));
        let first = table.place(Some(&old), None);
        assert_eq!(table.place(Some(&label(1, "old")), None), first);
        let renamed = table.place(Some(&new), None);
        assert_ne!(renamed, first);
        assert_eq!(table.place(Some(&old), None), first, "renamed back");
        assert_eq!(
            table.place(Some(&label(2, "new")), None),
            renamed,
            "made anew"
        );
        assert_ne!(table.place(Some(&new), Some(&label(3, "s"))), renamed);
        assert_ne!(table.place(None, None), renamed);
    }

    #[test]
    fn samples_are_counted_below_their_bound() {
        let metric = &super::super::table::REQUEST_LATENCY;
        let mut buckets = Buckets::<14>::default();
        for us in [0, 25_000, 25_001, 60_000_000, 60_000_001] {
            buckets.record(metric, us);
        }
        let mut text = String::new();
        buckets.print(metric, "route=\"r\"", &mut text);
        for line in [
            r#"kong_request_latency_ms_bucket{route="r",le="25"} 2"#,
            r#"kong_request_latency_ms_bucket{route="r",le="50"} 3"#,
            r#"kong_request_latency_ms_bucket{route="r",le="60000"} 4"#,
            r#"kong_request_latency_ms_bucket{route="r",le="+Inf"} 5"#,
            r#"kong_request_latency_ms_sum{route="r"} 120050.002"#,
            r#"kong_request_latency_ms_count{route="r"} 5"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_long_table_is_printed_whole() {
        let shared = SharedTable::<()>::default();
        let routes = 2 * PRINTED_AT_ONCE + 1;
        for n in 0..routes {
            let route = label(n as u128, &n.to_string());
            shared.lock().place(Some(&route), None);
        }
        let mut text = String::new();
        let metric = &super::super::table::HTTP_REQUESTS;
        shared.print([metric], &mut text, |_, series, out| {
            let _ = writeln!(out, "{}", series.names()[1]);
        });
        let printed = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(printed, routes);
    }
}
