//! From request records to Kong's request metrics.

use super::series::{Answered, Buckets, RouteSeries, SharedTable};
use super::table::{
    BANDWIDTH, HTTP_REQUESTS, KONG_LATENCY, Metric, REQUEST_LATENCY, UPSTREAM_LATENCY,
};
use super::{Metrics, Print, text};
use crate::telemetry::record::{MetricChoice, Record};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The only workspace there is.
const WORKSPACE: (&str, &str) = ("workspace", "default");

/// Which metrics a data plane exports: the flags of Kong's prometheus plugin, as settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricOptions {
    /// Fills the `consumer` label.
    pub per_consumer: bool,
    pub status_code_metrics: bool,
    pub latency_metrics: bool,
    pub bandwidth_metrics: bool,
    pub upstream_health_metrics: bool,
}

impl Default for MetricOptions {
    fn default() -> Self {
        MetricOptions {
            per_consumer: false,
            status_code_metrics: true,
            latency_metrics: true,
            bandwidth_metrics: true,
            upstream_health_metrics: true,
        }
    }
}

/// Counts records. Clones count into the same series.
#[derive(Clone)]
pub struct RequestMetrics(Arc<Requests>);

struct Requests {
    options: MetricOptions,
    table: SharedTable<Latencies>,
    shown: Shown,
}

/// Which families are printed: those that the settings want, and those that the plugin
/// prometheus has wanted for any request.
struct Shown {
    status_codes: AtomicBool,
    latencies: AtomicBool,
    bandwidth: AtomicBool,
}

/// What is counted of one request.
#[derive(Clone, Copy)]
struct Counted {
    per_consumer: bool,
    status_codes: bool,
    latencies: bool,
    bandwidth: bool,
}

impl Counted {
    fn of(choice: MetricChoice, options: &MetricOptions) -> Counted {
        match choice {
            MetricChoice::Node => Counted {
                per_consumer: options.per_consumer,
                status_codes: options.status_code_metrics,
                latencies: options.latency_metrics,
                bandwidth: options.bandwidth_metrics,
            },
            MetricChoice::Of {
                per_consumer,
                status_codes,
                latencies,
                bandwidth,
            } => Counted {
                per_consumer,
                status_codes,
                latencies,
                bandwidth,
            },
        }
    }
}

/// The latencies of a route.
#[derive(Debug, Default)]
struct Latencies {
    gateway: Buckets<18>,
    upstream: Buckets<14>,
    request: Buckets<14>,
}

impl RequestMetrics {
    /// Once in a process: `metrics` prints what is counted here.
    pub fn new(metrics: &Metrics, options: MetricOptions) -> RequestMetrics {
        let requests = Arc::new(Requests {
            options,
            table: SharedTable::default(),
            shown: Shown {
                status_codes: options.status_code_metrics.into(),
                latencies: options.latency_metrics.into(),
                bandwidth: options.bandwidth_metrics.into(),
            },
        });
        metrics.print_also(Arc::clone(&requests) as Arc<dyn Print>);
        RequestMetrics(requests)
    }

    /// Counts requests. As Kong, nothing is counted when no route matched.
    ///
    /// First finds all series and then counts: each waits for memory where there are many
    /// routes, and waits that do not depend on one another happen at the same time.
    pub fn observe(&self, records: &[Record]) {
        let Requests {
            options,
            table,
            shown,
        } = &*self.0;
        let mut table = table.lock();
        table.make_room();
        let places: Vec<_> = records
            .iter()
            .map(|record| {
                let route = record.route.as_ref()?;
                Some(table.place(Some(route), record.service.as_ref()))
            })
            .collect();
        for (record, place) in records.iter().zip(places) {
            let Some(place) = place else { continue };
            let counted = Counted::of(record.metrics, options);
            if counted.latencies
                && let Some(series) = table.at(place)
            {
                series.extra.observe(record);
                shown.latencies.store(true, Ordering::Relaxed);
            }
            if !counted.status_codes && !counted.bandwidth {
                continue;
            }
            let consumer = record.consumer.as_ref().filter(|_| counted.per_consumer);
            let Some(traffic) = table.traffic_mut(place, consumer) else {
                continue;
            };
            if counted.status_codes {
                traffic.add_answered(Answered {
                    status: record.status,
                    source: record.source,
                    requests: 1,
                });
                shown.status_codes.store(true, Ordering::Relaxed);
            }
            if counted.bandwidth {
                traffic.add_bytes(record.request_bytes, record.response_bytes);
                shown.bandwidth.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Latencies {
    fn observe(&mut self, record: &Record) {
        self.gateway.record(&KONG_LATENCY, record.gateway_us.into());
        self.request
            .record(&REQUEST_LATENCY, record.total_us.into());
        if let Some(us) = record.upstream_us {
            self.upstream.record(&UPSTREAM_LATENCY, us.into());
        }
    }
}

impl Print for Requests {
    fn print(&self, out: &mut String) {
        let (shown, table) = (&self.shown, &self.table);
        if shown.status_codes.load(Ordering::Relaxed) {
            table.print([&HTTP_REQUESTS], out, print_requests);
        }
        if shown.bandwidth.load(Ordering::Relaxed) {
            table.print([&BANDWIDTH], out, |metric, series, out| {
                series.print_bytes(metric, &[], &[WORKSPACE], out);
            });
        }
        if shown.latencies.load(Ordering::Relaxed) {
            let metrics = [&KONG_LATENCY, &REQUEST_LATENCY, &UPSTREAM_LATENCY];
            table.print(metrics, out, print_latency);
        }
    }
}

fn print_requests(metric: &Metric, series: &RouteSeries<Latencies>, out: &mut String) {
    let [service, route] = series.names();
    for (consumer, traffic) in series.traffic() {
        for answered in &traffic.answered {
            let labels = text::labels(&[
                ("service", service),
                ("route", route),
                ("code", &answered.status.to_string()),
                ("source", answered.source.label()),
                WORKSPACE,
                ("consumer", consumer),
            ]);
            let _ = writeln!(out, "{}{{{labels}}} {}", metric.name, answered.requests);
        }
    }
}

fn print_latency(metric: &Metric, series: &RouteSeries<Latencies>, out: &mut String) {
    let [service, route] = series.names();
    let labels = text::labels(&[("service", service), ("route", route), WORKSPACE]);
    let latencies = &series.extra;
    match metric.name {
        name if name == KONG_LATENCY.name => latencies.gateway.print(metric, &labels, out),
        name if name == REQUEST_LATENCY.name => latencies.request.print(metric, &labels, out),
        _ => latencies.upstream.print(metric, &labels, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::{Label, Named, Source};
    use uuid::Uuid;

    fn label(id: u128, name: &str) -> Option<Named> {
        Some(Named::from(Arc::new(Label {
            id: Uuid::from_u128(id),
            name: name.into(),
        })))
    }

    fn route(name: &str) -> Option<Named> {
        label(1, name)
    }

    fn scraped(options: MetricOptions, records: &[Record]) -> String {
        let metrics = Metrics::new();
        RequestMetrics::new(&metrics, options).observe(records);
        metrics.scrape(|_| {})
    }

    fn records() -> Vec<Record> {
        let ok = Record {
            route: route("pm"),
            service: label(2, "echo"),
            consumer: label(3, "alice"),
            status: 200,
            upstream_status: 200,
            request_bytes: 100,
            response_bytes: 1000,
            total_us: 3500,
            gateway_us: 1000,
            upstream_us: Some(2000),
            ..Record::default()
        };
        let refused = Record {
            consumer: None,
            status: 401,
            source: Source::Gateway,
            upstream_us: None,
            ..ok.clone()
        };
        let unmatched = Record {
            route: None,
            status: 404,
            ..refused.clone()
        };
        vec![ok.clone(), refused, unmatched, ok]
    }

    #[test]
    fn names_labels_and_values_are_kongs() {
        let per_consumer = MetricOptions {
            per_consumer: true,
            ..MetricOptions::default()
        };
        let text = scraped(per_consumer, &records());
        let lines: Vec<&str> = text.lines().collect();
        for expected in [
            r#"kong_http_requests_total{service="echo",route="pm",code="200",source="service",workspace="default",consumer="alice"} 2"#,
            r#"kong_http_requests_total{service="echo",route="pm",code="401",source="kong",workspace="default",consumer=""} 1"#,
            r#"kong_bandwidth_bytes{service="echo",route="pm",direction="egress",workspace="default",consumer="alice"} 2000"#,
            r#"kong_bandwidth_bytes{service="echo",route="pm",direction="ingress",workspace="default",consumer=""} 100"#,
            r#"kong_kong_latency_ms_bucket{service="echo",route="pm",workspace="default",le="1"} 3"#,
            r#"kong_request_latency_ms_bucket{service="echo",route="pm",workspace="default",le="25"} 3"#,
            r#"kong_request_latency_ms_bucket{service="echo",route="pm",workspace="default",le="+Inf"} 3"#,
            r#"kong_request_latency_ms_sum{service="echo",route="pm",workspace="default"} 10.5"#,
            r#"kong_upstream_latency_ms_count{service="echo",route="pm",workspace="default"} 2"#,
        ] {
            assert!(lines.contains(&expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("404"), "{text}");
    }

    #[test]
    fn every_bucket_has_a_place() {
        let Latencies {
            gateway,
            upstream,
            request,
        } = Latencies::default();
        for (places, metric) in [
            (size_of_val(&gateway), &KONG_LATENCY),
            (size_of_val(&upstream), &UPSTREAM_LATENCY),
            (size_of_val(&request), &REQUEST_LATENCY),
        ] {
            // The sum, the bounds, and what is beyond.
            assert_eq!(places / size_of::<u64>(), 1 + metric.buckets.len() + 1);
        }
    }

    #[test]
    fn without_per_consumer_the_label_is_empty() {
        let text = scraped(MetricOptions::default(), &records());
        assert!(!text.contains("alice"), "{text}");
        assert!(text.contains(r#"code="200",source="service",workspace="default",consumer=""} 2"#));
    }

    #[test]
    fn what_is_switched_off_is_not_there() {
        let off = MetricOptions {
            status_code_metrics: false,
            latency_metrics: false,
            bandwidth_metrics: false,
            ..MetricOptions::default()
        };
        let text = scraped(off, &records());
        for name in ["kong_http_requests", "latency_ms", "kong_bandwidth"] {
            assert!(!text.contains(name), "{text}");
        }
    }

    #[test]
    fn the_plugin_chooses_for_its_requests() {
        let chosen = |choice: MetricChoice| {
            let choose = |record| Record {
                metrics: choice,
                ..record
            };
            records().into_iter().map(choose).collect::<Vec<_>>()
        };
        let only = |status_codes, latencies, bandwidth, per_consumer| MetricChoice::Of {
            per_consumer,
            status_codes,
            latencies,
            bandwidth,
        };
        let off = MetricOptions {
            status_code_metrics: false,
            latency_metrics: false,
            bandwidth_metrics: false,
            ..MetricOptions::default()
        };
        let families = [
            "kong_http_requests_total{",
            "latency_ms_count{",
            "kong_bandwidth_bytes{",
        ];
        // The plugin narrows what the settings would count, and extends it.
        for options in [MetricOptions::default(), off] {
            for (choice, there) in [
                (only(true, false, false, false), [true, false, false]),
                (only(false, true, false, false), [false, true, false]),
                (only(false, false, true, false), [false, false, true]),
                (only(false, false, false, true), [false, false, false]),
            ] {
                let text = scraped(options, &chosen(choice));
                let found = families.map(|family| text.contains(family));
                assert_eq!(found, there, "{choice:?}\n{text}");
            }
            let text = scraped(options, &chosen(only(true, false, true, true)));
            assert!(text.contains(r#"consumer="alice"} 2"#), "{text}");
        }
        // Requests without the plugin are counted as the settings say.
        let mut all = chosen(only(false, false, false, false));
        all.extend(records());
        let text = scraped(MetricOptions::default(), &all);
        let expected = r#"code="200",source="service",workspace="default",consumer=""} 2"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_renamed_route_goes_on_under_its_new_name() {
        let mut all = records();
        all.push(Record {
            route: route("renamed"),
            ..all[0].clone()
        });
        let text = scraped(MetricOptions::default(), &all);
        assert!(text.contains(
            r#"route="renamed",code="200",source="service",workspace="default",consumer=""} 1"#
        ));
    }
}
