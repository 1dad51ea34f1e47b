//! The lines of one request.

use super::config::{Config, Metric, StatusRange, TagStyle};
use super::names::{Identifiers, tagged};
use crate::plugins::runtime::{Measure, StatType, without_dots, write_value};
use crate::plugins::{Context, RequestLog};

/// What a configuration makes of requests.
pub struct Lines {
    /// With the dot after it.
    prefix: String,
    node: String,
    metrics: Vec<Compiled>,
    allowed: Option<Vec<StatusRange>>,
    style: Option<TagStyle>,
}

struct Compiled {
    what: What,
    kind: StatType,
    rate: Option<f64>,
    by: Identifiers,
}

enum What {
    Measure(Measure),
    /// The others always count, whatever type is configured, and have no place where tags are written.
    UniqueUsers,
    RequestPerUser,
    StatusCount,
    StatusCountPerUser,
    StatusCountPerWorkspace,
    StatusCountPerUserPerRoute,
}

impl What {
    /// `None` for shared dictionaries, which there are none of.
    fn parse(name: &str) -> Option<What> {
        Some(match name {
            "unique_users" => What::UniqueUsers,
            "request_per_user" => What::RequestPerUser,
            "status_count" => What::StatusCount,
            "status_count_per_user" => What::StatusCountPerUser,
            "status_count_per_workspace" => What::StatusCountPerWorkspace,
            "status_count_per_user_per_route" => What::StatusCountPerUserPerRoute,
            other => What::Measure(Measure::parse(other)?),
        })
    }
}

impl Lines {
    pub fn new(config: &Config, node: &str) -> Lines {
        let mut prefix = config.prefix.clone().unwrap_or_default();
        if !prefix.is_empty() {
            prefix.push('.');
        }
        if config.hostname_in_prefix == Some(true) {
            prefix.push_str(&format!("node.{}.", without_dots(node)));
        }
        let compiled = |metric: &Metric| {
            Some(Compiled {
                what: What::parse(&metric.name)?,
                kind: metric.stat_type,
                rate: metric.sample_rate,
                by: Identifiers::of(config, metric),
            })
        };
        Lines {
            prefix,
            node: node.to_owned(),
            metrics: config.metrics.iter().filter_map(compiled).collect(),
            allowed: config.allow_status_codes.clone(),
            style: config.tag_style,
        }
    }

    /// The lines of a request, with line feeds between them; empty where it is not told of.
    pub fn of(&self, context: &Context<'_>, log: &RequestLog<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let told = |ranges: &Vec<StatusRange>| {
            ranges
                .iter()
                .any(|range| (range.0..=range.1).contains(&log.status))
        };
        if !self.allowed.as_ref().is_none_or(told) {
            return out;
        }
        for metric in &self.metrics {
            let line = match self.style {
                Some(style) => self.with_tags(style, metric, context, log),
                None => self.without_tags(metric, context, log),
            };
            if let Some(line) = line {
                if !out.is_empty() {
                    out.push(b'\n');
                }
                out.extend_from_slice(self.prefix.as_bytes());
                out.extend_from_slice(&line);
            }
        }
        out
    }

    fn with_tags(
        &self,
        style: TagStyle,
        metric: &Compiled,
        context: &Context<'_>,
        log: &RequestLog<'_>,
    ) -> Option<Vec<u8>> {
        let What::Measure(measure) = metric.what else {
            return None;
        };
        let value = value(measure, metric, log)?;
        let tags = metric.by.tags(context, &self.node, log.status);
        let value = String::from_utf8_lossy(&value);
        Some(tagged(style, measure.stat(), &value, &tags).into_bytes())
    }

    fn without_tags(
        &self,
        metric: &Compiled,
        context: &Context<'_>,
        log: &RequestLog<'_>,
    ) -> Option<Vec<u8>> {
        let (scope, status) = (|| metric.by.scope(context), log.status);
        let consumer = || metric.by.consumer.of(context);
        let counted = |name: String| {
            let mut line = name.into_bytes();
            write_value(&mut line, &1, StatType::Counter.symbol(), metric.rate);
            line
        };
        Some(match metric.what {
            What::Measure(measure) => {
                let mut line = format!("{}.{}", scope(), measure.stat()).into_bytes();
                line.extend_from_slice(&value(measure, metric, log)?);
                line
            }
            What::UniqueUsers => {
                let consumer = consumer()?;
                let mut line = format!("{}.user.uniques", scope()).into_bytes();
                write_value(&mut line, &consumer, StatType::Set.symbol(), None);
                line
            }
            What::RequestPerUser => {
                counted(format!("{}.user.{}.request.count", scope(), consumer()?))
            }
            What::StatusCount => counted(format!("{}.status.{status}", scope())),
            What::StatusCountPerUser => {
                counted(format!("{}.user.{}.status.{status}", scope(), consumer()?))
            }
            What::StatusCountPerWorkspace => {
                let workspace = metric.by.workspace();
                counted(format!("{}.workspace.{workspace}.status.{status}", scope()))
            }
            What::StatusCountPerUserPerRoute => {
                let (route, consumer) = (context.route?.id, consumer()?);
                counted(format!("route.{route}.user.{consumer}.status.{status}"))
            }
        })
    }
}

/// The value with its type; `None` where nothing was measured.
fn value(measure: Measure, metric: &Compiled, log: &RequestLog<'_>) -> Option<Vec<u8>> {
    let number = Some(measure.of(log)).filter(|number| *number >= 0)?;
    let mut out = Vec::new();
    write_value(&mut out, &number, metric.kind.symbol(), metric.rate);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::runtime::testing::{ROUTE, Request, SERVICE, ended};
    use crate::plugins::{Consumer, WORKSPACE};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use uuid::Uuid;

    fn all() -> Value {
        json!([
            {"name": "request_count", "stat_type": "counter", "sample_rate": 1},
            {"name": "latency", "stat_type": "timer"},
            {"name": "request_size", "stat_type": "gauge", "sample_rate": 0.5},
            {"name": "response_size", "stat_type": "histogram"},
            {"name": "upstream_latency", "stat_type": "meter"},
            {"name": "kong_latency", "stat_type": "set"},
            {"name": "unique_users", "stat_type": "counter", "sample_rate": 1},
            {"name": "request_per_user", "stat_type": "timer"},
            {"name": "status_count", "stat_type": "gauge", "sample_rate": 0.25},
            {"name": "status_count_per_user", "stat_type": "set"},
            {"name": "status_count_per_workspace", "stat_type": "set"},
            {"name": "status_count_per_user_per_route", "stat_type": "set"},
            {"name": "shdict_usage", "stat_type": "gauge", "sample_rate": 1},
        ])
    }

    fn lines(config: Value, consumer: bool) -> Vec<String> {
        let mut whole = json!({"prefix": "kong", "metrics": all()});
        for (field, value) in config.as_object().expect("an object") {
            whole[field] = value.clone();
        }
        let config: Config = serde_json::from_value(whole).expect("a configuration");
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        if consumer {
            request.identity.consumer = Some(Consumer {
                id: Uuid::from_u128(5),
                username: Some(Arc::from("bob")),
                custom_id: Some(Arc::from("b-1")),
            });
        }
        let lines = Lines::new(&config, "node.1");
        let text = request.log_phase(|context| ended(|log| lines.of(context, log)));
        let text = String::from_utf8(text).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn names_say_whose_a_request_was() {
        let route = ROUTE.id;
        let mut expected: Vec<String> = [
            "request.count:1|c",
            "latency:50|ms",
            "request.size:123|g|@0.5",
            "response.size:456|h",
            "upstream_latency:30|m",
            "kong_latency:2|s",
            "user.uniques:b-1|s",
            "user.b-1.request.count:1|c",
            "status.200:1|c|@0.25",
            "user.b-1.status.200:1|c",
        ]
        .map(|line| format!("kong.service.s.{line}"))
        .into();
        expected.push(format!(
            "kong.service.s.workspace.{WORKSPACE}.status.200:1|c"
        ));
        expected.push(format!("kong.route.{route}.user.b-1.status.200:1|c"));
        assert_eq!(lines(json!({}), true), expected);
        let anonymous = lines(json!({}), false);
        assert_eq!(anonymous.len(), 8);
        assert!(!anonymous.iter().any(|line| line.contains("user")));
    }

    #[test]
    fn identifiers_prefixes_and_statuses_are_as_configured() {
        let first = |config: Value| lines(config, true).first().cloned();
        let check = |config: Value, expected: Option<&str>| {
            assert_eq!(first(config.clone()).as_deref(), expected, "{config}");
        };
        check(
            json!({"prefix": "my.pre"}),
            Some("my.pre.service.s.request.count:1|c"),
        );
        check(json!({"prefix": null}), Some("service.s.request.count:1|c"));
        check(
            json!({"hostname_in_prefix": true}),
            Some("kong.node.node_1.service.s.request.count:1|c"),
        );
        let id = format!("kong.service.{}.request.count:1|c", SERVICE.id);
        check(
            json!({"service_identifier_default": "service_id"}),
            Some(&id),
        );
        check(
            json!({"service_identifier_default": "service_host"}),
            Some("kong.service.unnamed.request.count:1|c"),
        );
        check(
            json!({"allow_status_codes": ["100-150", "200-204"]}),
            Some("kong.service.s.request.count:1|c"),
        );
        check(json!({"allow_status_codes": ["300-599"]}), None);
        let per_user = json!([{"name": "unique_users", "stat_type": "set", "consumer_identifier": "username"}]);
        check(
            json!({"metrics": per_user}),
            Some("kong.service.s.user.uniques:bob|s"),
        );
        let workspace = json!([{"name": "status_count_per_workspace", "stat_type": "set", "workspace_identifier": "workspace_name"}]);
        check(
            json!({"metrics": workspace}),
            Some("kong.service.s.workspace.default.status.200:1|c"),
        );
    }

    #[test]
    fn with_tags_only_measures_are_told() {
        let found = lines(json!({"tag_style": "dogstatsd"}), true);
        assert_eq!(found.len(), 6);
        assert_eq!(
            found[0],
            format!(
                "kong.request.count:1|c|#service:s,route:r,workspace:{WORKSPACE},node:node.1,consumer:b-1,status:200"
            )
        );
    }
}
