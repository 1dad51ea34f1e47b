//! `docs/metrics.md`, made from the table of metrics.

use super::table::{ALL, LEFT_OUT};
use std::fmt::Write as _;

/// The documentation of all metrics: what `docs/metrics.md` holds.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for metric in ALL {
        let labels = match metric.labels {
            [] => "–".to_owned(),
            labels => labels.join(", "),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {labels} | {} | {} |",
            metric.name,
            metric.kind.name(),
            metric.exported,
            metric.help.replace('|', "\\|"),
        );
    }
    text.push_str("\n## Buckets\n\nUpper bounds in milliseconds; `+Inf` follows.\n\n");
    for metric in ALL.iter().filter(|metric| !metric.buckets.is_empty()) {
        let bounds: Vec<_> = metric.buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(text, "- `{}`: {}", metric.name, bounds.join(", "));
    }
    text.push_str("\n## Left out\n\nNames of Kong 3.9 that are not exported, and why.\n\n");
    for (name, why) in LEFT_OUT {
        let _ = writeln!(text, "- `{name}`: {why}");
    }
    text
}

const INTRODUCTION: &str = "\
# Metrics

<!-- Made from src/telemetry/metrics/table.rs; a test compares. LANGUR_BLESS=1 cargo test --lib metrics writes it anew. -->

`GET /metrics` on the status listener of both roles, and on the admin listener of a control
plane, answers in the Prometheus text format. Data planes use Kong's names, so that Kong's
dashboards go on working; nothing has to be switched on. Where the plugin `prometheus` is
configured, its flags decide what of a request is counted, in place of the settings; health of
targets is exported when either wants it. Control planes export the totals of
the fleet under `langur_fleet_`, each control plane only what it has counted itself since its
start: no request is in the sum over all control planes twice. Requests that no route matched
are not in Kong's request metrics; in the fleet's they have empty `service` and `route` labels.
Names in the fleet's metrics are the control plane's own; requests of an entity that it does not
have (any more) count as `unknown`. What the database keeps of a data plane that is not listed and
has sent nothing for 30 days is forgotten.

Latencies are measured in microseconds and exported in milliseconds with a fraction.
`consumer` is empty unless `metrics_per_consumer` is on; Kong's histograms have no such label.

A target has its state once for each address that its name resolves to, without an address
`dns_error`. `healthchecks_off` is the state of targets without a weight, and of all targets of
an upstream whose health checks take nothing out.

A test compares this table with what running processes of both roles export. What to do when a
value looks wrong is in [observability.md](observability.md).

## Names

| name | type | labels | exported by | help |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Metric, Type};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_histograms_have_rising_buckets() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let buckets = metric.buckets;
            assert!(buckets.is_sorted(), "{}", metric.name);
            assert_eq!(
                buckets.is_empty(),
                metric.kind != Type::Histogram,
                "{}",
                metric.name
            );
        }
    }

    /// What a real Kong 3.9.3 exported, one set of labels per family.
    const KONG: [&str; 2] = [
        include_str!("data/kong_data_plane.txt"),
        include_str!("data/kong_control_plane.txt"),
    ];

    fn labels_of(series: &str) -> Vec<&str> {
        let Some((_, labels)) = series.split_once('{') else {
            return Vec::new();
        };
        labels
            .trim_end_matches('}')
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|name| *name != "le")
            .collect()
    }

    #[test]
    fn every_family_of_kong_is_exported_alike_or_left_out_with_a_reason() {
        let mut compared = 0;
        for scrape in KONG {
            let mut family = None;
            for line in scrape.lines() {
                let words: Vec<&str> = line.splitn(4, ' ').collect();
                match words[..] {
                    ["#", "HELP", name, help] => {
                        family = ALL.iter().find(|metric| metric.name == name);
                        let left_out = LEFT_OUT.iter().any(|(left_out, _)| *left_out == name);
                        assert_ne!(family.is_some(), left_out, "{name}");
                        if let Some(metric) = family {
                            assert_eq!(metric.help, help, "{name}");
                        }
                    }
                    ["#", "TYPE", name, kind] => {
                        if let Some(metric) = family {
                            assert_eq!(metric.kind.name(), kind, "{name}");
                        }
                    }
                    [series, _] => {
                        if let Some(metric) = family {
                            assert_eq!(labels_of(series), metric.labels, "{series}");
                            compared += 1;
                        }
                    }
                    _ => panic!("not understood: {line}"),
                }
            }
        }
        assert!(compared > 60, "{compared} samples compared");
    }

    #[test]
    fn buckets_are_kongs() {
        let kongs = |metric: &&&Metric| metric.name.starts_with("kong_");
        for metric in ALL.iter().filter(kongs) {
            let prefix = format!("{}_bucket{{", metric.name);
            let found: Vec<f64> = KONG[0]
                .lines()
                .filter(|line| line.starts_with(&prefix))
                .filter_map(|line| line.split_once("le=\"")?.1.split_once('"')?.0.parse().ok())
                .filter(|bound: &f64| bound.is_finite())
                .collect();
            assert_eq!(found, metric.buckets, "{}", metric.name);
        }
    }

    #[test]
    fn the_documentation_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("LANGUR_BLESS").is_some() {
            std::fs::write(path, markdown()).expect("docs/metrics.md can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/metrics.md");
        assert_eq!(
            written,
            markdown(),
            "run this test with LANGUR_BLESS=1 to write docs/metrics.md anew"
        );
    }
}
