//! The lines of one request.

use super::config::Config;
use crate::plugins::runtime::{Measure, StatType, service_host, without_dots, write_value};
use crate::plugins::{ConsumerIdentifier, Context, RequestLog};

/// What a configuration makes of requests.
pub struct Lines {
    /// With the dot after it.
    prefix: String,
    service_tag: String,
    status_tag: String,
    consumer_tag: String,
    metrics: Vec<Compiled>,
}

struct Compiled {
    measure: Measure,
    kind: StatType,
    rate: Option<f64>,
    consumer: Option<ConsumerIdentifier>,
    /// With a comma before each.
    tags: String,
}

impl Lines {
    pub fn new(config: &Config) -> Lines {
        let mut prefix = config.prefix.clone().unwrap_or_default();
        if !prefix.is_empty() {
            prefix.push('.');
        }
        let tag = |name: &Option<String>, usual: &str| name.as_deref().unwrap_or(usual).to_owned();
        let metrics = config.metrics.iter().filter_map(|metric| {
            Some(Compiled {
                measure: Measure::parse(&metric.name)?,
                kind: metric.stat_type,
                rate: metric.sample_rate,
                consumer: metric.consumer_identifier,
                tags: metric
                    .tags
                    .iter()
                    .flatten()
                    .map(|tag| format!(",{tag}"))
                    .collect(),
            })
        });
        Lines {
            prefix,
            service_tag: tag(&config.service_name_tag, "name"),
            status_tag: tag(&config.status_tag, "status"),
            consumer_tag: tag(&config.consumer_tag, "consumer"),
            metrics: metrics.collect(),
        }
    }

    /// The lines of a request, with line feeds between them.
    pub fn of(&self, context: &Context<'_>, log: &RequestLog<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let named = |name: &str| name.to_owned();
        let service = context.service.and_then(|service| service.name.map(named));
        let service = service
            .or_else(|| service_host(context))
            .unwrap_or_default();
        let (service, status) = (without_dots(&service), log.status);
        for metric in &self.metrics {
            if !out.is_empty() {
                out.push(b'\n');
            }
            out.extend_from_slice(self.prefix.as_bytes());
            out.extend_from_slice(metric.measure.stat().as_bytes());
            let value = metric.measure.of(log);
            write_value(&mut out, &value, metric.kind.symbol(), metric.rate);
            let (name, code) = (&self.service_tag, &self.status_tag);
            out.extend_from_slice(format!("|#{name}:{service},{code}:{status}").as_bytes());
            let consumer = metric.consumer.and_then(|by| by.of(context));
            if let Some(consumer) = consumer {
                out.extend_from_slice(format!(",{}:{consumer}", self.consumer_tag).as_bytes());
            }
            out.extend_from_slice(metric.tags.as_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Consumer;
    use crate::plugins::runtime::testing::{Request, ended};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use uuid::Uuid;

    fn lines(config: Value) -> String {
        let config: Config = serde_json::from_value(config).expect("a configuration");
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        request.identity.consumer = Some(Consumer {
            id: Uuid::from_u128(5),
            username: Some(Arc::from("bob")),
            custom_id: None,
        });
        let lines = Lines::new(&config);
        let text = request.log_phase(|context| ended(|log| lines.of(context, log)));
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn every_line_has_the_tags_of_its_request() {
        let count = json!({"name": "request_count", "stat_type": "counter", "sample_rate": 1, "tags": ["app:kong", "plain"],
            "consumer_identifier": "username"});
        let without = json!({"name": "latency", "stat_type": "distribution", "sample_rate": 0.5, "consumer_identifier": "custom_id"});
        let check =
            |config: Value, expected: &str| assert_eq!(lines(config.clone()), expected, "{config}");
        check(
            json!({"prefix": "kong", "metrics": [count, without]}),
            "kong.request.count:1|c|#name:s,status:200,consumer:bob,app:kong,plain\n\
             kong.latency:50|d|@0.5|#name:s,status:200",
        );
        check(
            json!({"prefix": "pp", "service_name_tag": "svc", "status_tag": "st", "consumer_tag": "who", "metrics": [count]}),
            "pp.request.count:1|c|#svc:s,st:200,who:bob,app:kong,plain",
        );
        check(json!({"metrics": []}), "");
    }
}
