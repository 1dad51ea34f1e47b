//! Kong's dialect of the Prometheus text format.
//!
//! The exporter prints families and samples in the order of its hash maps; Kong prints them
//! sorted, one HELP and TYPE pair per family, numbers as `%.14g`. Scrapers do not mind,
//! people who compare two scrapes do.

use super::table::Metric;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A gauge of this value is not there any more and is left out.
pub const ABSENT: f64 = f64::NAN;

/// Begins the lines of a metric; it may be begun more than once.
pub fn family(metric: &Metric, out: &mut String) {
    let (name, kind) = (metric.name, metric.kind.name());
    push(out, &["# HELP ", name, " ", metric.help, "\n"]);
    push(out, &["# TYPE ", name, " ", kind, "\n"]);
}

/// `name="value"` for each, escaped as the text format asks for, with commas in between.
pub fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        push(&mut text, &[name, "=\""]);
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

/// The lines of one histogram series: `counts` per bucket, not cumulative; `labels` without
/// braces; the sum in thousandths of the metric's unit.
pub fn histogram(
    metric: &Metric,
    labels: &str,
    counts: impl IntoIterator<Item = u64>,
    thousandths: u64,
    out: &mut String,
) {
    let name = metric.name;
    let (before_le, all) = match labels {
        "" => (String::new(), String::new()),
        labels => (format!("{labels},"), format!("{{{labels}}}")),
    };
    let bounds = metric.buckets.iter().map(f64::to_string);
    let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
    let mut total = 0;
    for (count, bound) in counts.into_iter().zip(bounds) {
        total += count;
        let _ = writeln!(out, "{name}_bucket{{{before_le}le=\"{bound}\"}} {total}");
    }
    let sum = thousandths as f64 / 1000.0;
    let _ = writeln!(out, "{name}_sum{all} {sum}\n{name}_count{all} {total}");
}

#[derive(Default)]
struct Family<'a> {
    help: Option<&'a str>,
    kind: Option<&'a str>,
    /// Sorted by what is printed before the value. The buckets of one set of labels keep the
    /// order they were printed in.
    samples: BTreeMap<(&'a str, &'a str, u32), (&'a str, &'a str)>,
}

/// Sorts what the exporter has printed, and prints numbers as Kong does.
pub fn normalise(raw: &str) -> String {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in raw.lines() {
        if let Some((name, help)) = comment(line, "# HELP ") {
            current = name;
            families.entry(name).or_default().help = Some(help);
        } else if let Some((name, kind)) = comment(line, "# TYPE ") {
            current = name;
            families.entry(name).or_default().kind = Some(kind);
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let family = families.entry(current).or_default();
            let (name, rest) = series.split_at(series.find('{').unwrap_or(series.len()));
            let labels = match rest.rfind("le=\"") {
                Some(bound) if name.ends_with("_bucket") => &rest[..bound],
                _ => rest,
            };
            let place = family.samples.len() as u32;
            family
                .samples
                .insert((name, labels, place), (series, value));
        }
    }
    let mut text = String::with_capacity(raw.len());
    for (name, family) in &families {
        let present = |value: &str| value != "NaN";
        if !family.samples.values().any(|(_, value)| present(value)) {
            continue;
        }
        for (keyword, content) in [("HELP", family.help), ("TYPE", family.kind)] {
            if let Some(content) = content {
                push(&mut text, &["# ", keyword, " ", name, " ", content, "\n"]);
            }
        }
        for (series, value) in family.samples.values() {
            if present(value) {
                push(&mut text, &[series, " ", &number(value), "\n"]);
            }
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
}

fn comment<'a>(line: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(keyword)?.split_once(' ')
}

/// Whole numbers stay exact; everything else has 14 significant digits.
fn number(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(float) if value.len() > 14 && value.parse::<u64>().is_err() => general(float),
        Ok(float) if value.contains('.') || value.contains('e') => general(float),
        _ => value.to_owned(),
    }
}

/// `%.14g` of C: 14 significant digits, no trailing zeros, an exponent where it is shorter.
fn general(value: f64) -> String {
    const DIGITS: i32 = 14;
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = (DIGITS - 1 - exponent) as usize;
        return shortened(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", shortened(mantissa), exponent.abs())
}

fn shortened(number: &str) -> &str {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let text = labels(&[("a", "x\\\"y\nz"), ("b", "")]);
        assert_eq!(text, r#"a="x\\\"y\nz",b="""#);
    }

    #[test]
    fn numbers_are_printed_as_percent_14g() {
        for (value, expected) in [
            (2.637_593_400_180_8e38, "2.6375934001808e+38"),
            (1_795_290_701.0, "1795290701"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.33333333333333"),
            (19.25, "19.25"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (0.000_01, "1e-05"),
            (0.000_1, "0.0001"),
            (-2.5, "-2.5"),
            (0.0, "0"),
        ] {
            assert_eq!(general(value), expected);
        }
        for (text, expected) in [
            ("17", "17"),
            ("123456789012345678", "123456789012345678"),
            (
                "263759340018080000000000000000000000000",
                "2.6375934001808e+38",
            ),
            ("19.000000000000001", "19"),
            ("NaN", "NaN"),
            ("inf", "inf"),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn families_and_samples_are_sorted_and_absent_ones_left_out() {
        let raw = "\
# HELP zoo Animals
# TYPE zoo gauge
zoo{role=\"b\"} 2
zoo{role=\"gone\"} NaN
zoo{role=\"a le=\"} 1.50

# HELP empty Nothing
# TYPE empty gauge
empty NaN

# TYPE lat histogram
lat_bucket{s=\"y\",le=\"5\"} 1
lat_bucket{s=\"y\",le=\"10\"} 2
lat_bucket{s=\"y\",le=\"+Inf\"} 2
lat_sum{s=\"y\"} 7.25
lat_count{s=\"y\"} 2
lat_bucket{s=\"x\",le=\"5\"} 0
lat_bucket{s=\"x\",le=\"10\"} 1
lat_bucket{s=\"x\",le=\"+Inf\"} 1
lat_sum{s=\"x\"} 6
lat_count{s=\"x\"} 1

";
        let expected = "\
# TYPE lat histogram
lat_bucket{s=\"x\",le=\"5\"} 0
lat_bucket{s=\"x\",le=\"10\"} 1
lat_bucket{s=\"x\",le=\"+Inf\"} 1
lat_bucket{s=\"y\",le=\"5\"} 1
lat_bucket{s=\"y\",le=\"10\"} 2
lat_bucket{s=\"y\",le=\"+Inf\"} 2
lat_count{s=\"x\"} 1
lat_count{s=\"y\"} 2
lat_sum{s=\"x\"} 6
lat_sum{s=\"y\"} 7.25
# HELP zoo Animals
# TYPE zoo gauge
zoo{role=\"a le=\"} 1.5
zoo{role=\"b\"} 2
";
        assert_eq!(normalise(raw), expected);
    }
}
