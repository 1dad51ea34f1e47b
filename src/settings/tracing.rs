//! Settings of distributed tracing.

use super::problems::Problems;
use super::values::Values;

/// The parts of a request that have spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instrumentations {
    /// Requests have spans at all.
    pub on: bool,
    pub router: bool,
    pub balancer: bool,
    pub plugin_rewrite: bool,
    pub plugin_access: bool,
    pub plugin_header_filter: bool,
}

/// What plugins that trace begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tracing {
    pub instrumentations: Instrumentations,
    /// The share of traces that are sampled, from 0 to 1.
    pub sampling_rate: f64,
}

/// Parts of Kong that this gateway has no spans for: it looks nothing up in a database, and neither names nor
/// requests of plugins are traced.
const WITHOUT_SPANS: [&str; 3] = ["db_query", "dns_query", "http_client"];

impl Instrumentations {
    const ALL: Instrumentations = Instrumentations {
        on: true,
        router: true,
        balancer: true,
        plugin_rewrite: true,
        plugin_access: true,
        plugin_header_filter: true,
    };

    fn of(words: &[String], problems: &mut Problems) -> Instrumentations {
        let mut found = Instrumentations::default();
        for word in words {
            match word.as_str() {
                "off" => {
                    if words.len() > 1 {
                        problems.violation("tracing_instrumentations: 'off' stands alone");
                    }
                    return Instrumentations::default();
                }
                "all" => return Instrumentations::ALL,
                "request" => {}
                "router" => found.router = true,
                "balancer" => found.balancer = true,
                "plugin_rewrite" => found.plugin_rewrite = true,
                "plugin_access" => found.plugin_access = true,
                "plugin_header_filter" => found.plugin_header_filter = true,
                known if WITHOUT_SPANS.contains(&known) => problems.warning(format!(
                    "tracing_instrumentations: '{known}' has no effect: there are no such spans"
                )),
                unknown => problems.violation(format!(
                    "tracing_instrumentations: '{unknown}' is not one of off, all, request, router, balancer, \
                     plugin_rewrite, plugin_access, plugin_header_filter"
                )),
            }
            found.on = true;
        }
        found
    }
}

impl Tracing {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Tracing {
        let rate = values.number("tracing_sampling_rate").unwrap_or_default();
        if !(0.0..=1.0).contains(&rate) {
            problems.violation("tracing_sampling_rate: must be from 0 to 1");
        }
        Tracing {
            instrumentations: Instrumentations::of(
                values.list("tracing_instrumentations"),
                problems,
            ),
            sampling_rate: rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_one_by_one_or_all() {
        let check = |words: &str, expected: Instrumentations, said: usize| {
            let words: Vec<String> = words.split(',').map(str::to_owned).collect();
            let mut problems = Problems::default();
            assert_eq!(
                Instrumentations::of(&words, &mut problems),
                expected,
                "{words:?}"
            );
            let count = problems.violations().len() + problems.warnings().len();
            assert_eq!(count, said, "{problems:?}");
        };
        let off = Instrumentations::default();
        let on = Instrumentations { on: true, ..off };
        check("off", off, 0);
        check("all", Instrumentations::ALL, 0);
        check("request", on, 0);
        check(
            "router,balancer",
            Instrumentations {
                router: true,
                balancer: true,
                ..on
            },
            0,
        );
        check("dns_query", on, 1);
        check("request,off", off, 1);
        check("nonsense", on, 1);
    }
}
