//! From request records to Kong's request metrics, through handles that are kept.

use super::table::{BANDWIDTH, HTTP_REQUESTS, KONG_LATENCY, REQUEST_LATENCY, UPSTREAM_LATENCY};
use super::{Histogram, Metrics};
use crate::telemetry::record::{ConsumerLabels, Record, RouteLabels, Source};
use hashbrown::HashMap;
use metrics::{Counter, SharedString};
use std::sync::Arc;
use uuid::Uuid;

/// The only workspace there is.
const WORKSPACE: &str = "default";

/// Routes whose handles are kept: far more than a node serves, so that only years of routes that
/// came and went reach it. Then all handles are looked up again; the series are not forgotten.
const KEPT_ROUTES: usize = 1 << 20;

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

/// Counts records. Owned by whoever drains them; the recorder behind it is shared.
pub struct RequestMetrics {
    metrics: Arc<Metrics>,
    options: MetricOptions,
    routes: HashMap<(Uuid, Option<Uuid>), RouteHandles>,
}

struct RouteHandles {
    labels: Arc<RouteLabels>,
    latency: Option<LatencyHandles>,
    consumers: HashMap<Option<Uuid>, ConsumerHandles>,
}

struct LatencyHandles {
    gateway: Arc<Histogram>,
    upstream: Arc<Histogram>,
    request: Arc<Histogram>,
}

struct ConsumerHandles {
    labels: Option<Arc<ConsumerLabels>>,
    bandwidth: Option<(Counter, Counter)>,
    /// Few: searched from the front.
    codes: Vec<((u16, Source), Counter)>,
}

impl RequestMetrics {
    pub fn new(metrics: Arc<Metrics>, options: MetricOptions) -> RequestMetrics {
        RequestMetrics {
            metrics,
            options,
            routes: HashMap::new(),
        }
    }

    /// Counts one request. As Kong, nothing is counted when no route matched.
    pub fn observe(&mut self, record: &Record) {
        let Some(labels) = &record.route else {
            return;
        };
        let RequestMetrics {
            metrics,
            options,
            routes,
            ..
        } = self;
        if routes.len() >= KEPT_ROUTES {
            routes.clear();
        }
        let handles = routes
            .entry((labels.route, labels.service))
            .and_modify(|known| {
                if known.labels != *labels {
                    *known = RouteHandles::new(metrics, options, labels);
                }
            })
            .or_insert_with(|| RouteHandles::new(metrics, options, labels));
        handles.observe(metrics, options, record);
    }
}

impl RouteHandles {
    fn new(metrics: &Metrics, options: &MetricOptions, labels: &Arc<RouteLabels>) -> Self {
        let latency = options.latency_metrics.then(|| {
            let histogram = |metric| {
                let [service, route] = names(labels);
                metrics.histogram(metric, [service, route, WORKSPACE.into()])
            };
            LatencyHandles {
                gateway: histogram(&KONG_LATENCY),
                upstream: histogram(&UPSTREAM_LATENCY),
                request: histogram(&REQUEST_LATENCY),
            }
        });
        RouteHandles {
            labels: labels.clone(),
            latency,
            consumers: HashMap::new(),
        }
    }

    fn observe(&mut self, metrics: &Metrics, options: &MetricOptions, record: &Record) {
        if let Some(latency) = &self.latency {
            latency.observe(record);
        }
        let consumer = match options.per_consumer {
            true => record.consumer.as_ref(),
            false => None,
        };
        let handles = self
            .consumers
            .entry(consumer.map(|labels| labels.consumer))
            .and_modify(|known| {
                if known.labels.as_ref() != consumer {
                    *known = ConsumerHandles::new(metrics, options, &self.labels, consumer);
                }
            })
            .or_insert_with(|| ConsumerHandles::new(metrics, options, &self.labels, consumer));
        if let Some((ingress, egress)) = &handles.bandwidth {
            ingress.increment(record.request_bytes);
            egress.increment(record.response_bytes);
        }
        if options.status_code_metrics {
            handles.count(metrics, &self.labels, record.status, record.source);
        }
    }
}

impl LatencyHandles {
    fn observe(&self, record: &Record) {
        self.gateway.record_thousandths(record.gateway_us.into());
        self.request.record_thousandths(record.total_us.into());
        if let Some(us) = record.upstream_us {
            self.upstream.record_thousandths(us.into());
        }
    }
}

impl ConsumerHandles {
    fn new(
        metrics: &Metrics,
        options: &MetricOptions,
        route: &RouteLabels,
        labels: Option<&Arc<ConsumerLabels>>,
    ) -> Self {
        let handles = ConsumerHandles {
            labels: labels.cloned(),
            bandwidth: None,
            codes: Vec::new(),
        };
        let counter = |direction: &'static str| {
            let ([service, route], consumer) = (names(route), handles.name());
            let values = [service, route, direction.into(), WORKSPACE.into(), consumer];
            metrics.counter(&BANDWIDTH, values)
        };
        let bandwidth = options
            .bandwidth_metrics
            .then(|| (counter("ingress"), counter("egress")));
        ConsumerHandles {
            bandwidth,
            ..handles
        }
    }

    fn name(&self) -> SharedString {
        match &self.labels {
            Some(labels) => labels.name.clone().into(),
            None => "".into(),
        }
    }

    fn count(&mut self, metrics: &Metrics, route: &RouteLabels, status: u16, source: Source) {
        let wanted = (status, source);
        if let Some((_, counter)) = self.codes.iter().find(|(code, _)| *code == wanted) {
            counter.increment(1);
            return;
        }
        let [service, route] = names(route);
        let values = [
            service,
            route,
            status.to_string().into(),
            source.label().into(),
            WORKSPACE.into(),
            self.name(),
        ];
        let counter = metrics.counter(&HTTP_REQUESTS, values);
        counter.increment(1);
        self.codes.push((wanted, counter));
    }
}

fn names(labels: &RouteLabels) -> [SharedString; 2] {
    [
        labels.service_name.clone().into(),
        labels.route_name.clone().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> Option<Arc<RouteLabels>> {
        Some(Arc::new(RouteLabels {
            route: Uuid::from_u128(1),
            route_name: name.into(),
            service: Some(Uuid::from_u128(2)),
            service_name: "echo".into(),
        }))
    }

    fn alice() -> Option<Arc<ConsumerLabels>> {
        Some(Arc::new(ConsumerLabels {
            consumer: Uuid::from_u128(3),
            name: "alice".into(),
        }))
    }

    fn scraped(options: MetricOptions, records: &[Record]) -> String {
        let metrics = Arc::new(Metrics::new());
        let mut requests = RequestMetrics::new(metrics.clone(), options);
        records.iter().for_each(|record| requests.observe(record));
        metrics.scrape(|_| {})
    }

    fn records() -> Vec<Record> {
        let ok = Record {
            route: route("pm"),
            consumer: alice(),
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
