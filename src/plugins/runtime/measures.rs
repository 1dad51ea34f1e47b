//! What statsd and datadog measure of a request, and the lines in which they send it.

use super::{Context, RequestLog};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// What is measured of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    RequestCount,
    RequestSize,
    ResponseSize,
    Latency,
    UpstreamLatency,
    KongLatency,
}

impl Measure {
    /// The measure of this name in a configuration.
    pub fn parse(name: &str) -> Option<Measure> {
        Some(match name {
            "request_count" => Measure::RequestCount,
            "request_size" => Measure::RequestSize,
            "response_size" => Measure::ResponseSize,
            "latency" => Measure::Latency,
            "upstream_latency" => Measure::UpstreamLatency,
            "kong_latency" => Measure::KongLatency,
            _ => return None,
        })
    }

    /// Its name on the wire.
    pub fn stat(self) -> &'static str {
        match self {
            Measure::RequestCount => "request.count",
            Measure::RequestSize => "request.size",
            Measure::ResponseSize => "response.size",
            Measure::Latency => "latency",
            Measure::UpstreamLatency => "upstream_latency",
            Measure::KongLatency => "kong_latency",
        }
    }

    /// A count, bytes, or milliseconds; the latency of the upstream is -1 where none was waited for.
    pub fn of(self, log: &RequestLog<'_>) -> i64 {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match self {
            Measure::RequestCount => 1,
            Measure::RequestSize => number(log.request_bytes),
            Measure::ResponseSize => number(log.response_bytes),
            Measure::Latency => number(log.total_us / 1000),
            Measure::UpstreamLatency => log.waited_ms(),
            Measure::KongLatency => number(log.gateway_ms()),
        }
    }
}

/// How a server counts a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatType {
    Counter,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
    Distribution,
}

impl StatType {
    pub fn symbol(self) -> &'static str {
        match self {
            StatType::Counter => "c",
            StatType::Gauge => "g",
            StatType::Histogram => "h",
            StatType::Meter => "m",
            StatType::Set => "s",
            StatType::Timer => "ms",
            StatType::Distribution => "d",
        }
    }
}

/// How a consumer is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerIdentifier {
    ConsumerId,
    CustomId,
    Username,
}

impl ConsumerIdentifier {
    /// The consumer of a request by this name; `None` where there is no consumer, or it has no such name.
    pub fn of(self, context: &Context<'_>) -> Option<String> {
        let consumer = context.identity.consumer.as_ref()?;
        match self {
            ConsumerIdentifier::ConsumerId => Some(consumer.id.to_string()),
            ConsumerIdentifier::CustomId => consumer.custom_id.as_deref().map(in_a_line),
            ConsumerIdentifier::Username => consumer.username.as_deref().map(in_a_line),
        }
    }
}

/// A text as a part of a line: a line feed in it would begin another metric.
fn in_a_line(text: &str) -> String {
    text.replace(|character: char| character.is_control(), "_")
}

/// The host of a request's service.
pub fn service_host(context: &Context<'_>) -> Option<String> {
    let service = context.matched?.service()?;
    Some(service.get("host")?.as_str()?.to_owned())
}

/// Writes `:value|type` and, where only a share of requests would count, `|@rate`.
pub fn write_value(
    out: &mut Vec<u8>,
    value: &dyn std::fmt::Display,
    symbol: &str,
    rate: Option<f64>,
) {
    // A Vec takes everything.
    let _ = write!(out, ":{value}|{symbol}");
    if let Some(rate) = rate.filter(|rate| *rate != 1.0) {
        let _ = write!(out, "|@{rate}");
    }
}

/// The lines of many requests, put together to packets of at most so many bytes; a longer line is a packet of
/// its own, and with 0 every line is.
pub fn packets(texts: &[impl AsRef<[u8]>], most: usize) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let lines = texts
        .iter()
        .flat_map(|text| text.as_ref().split(|byte| *byte == b'\n'));
    for line in lines.filter(|line| !line.is_empty()) {
        match packets.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= most => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            _ => packets.push(line.to_vec()),
        }
    }
    packets
}

/// The name of a metric's part: dots would divide it.
pub fn without_dots(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_written_with_type_and_rate() {
        let check = |value: i64, kind: StatType, rate, expected: &str| {
            let mut out = b"x".to_vec();
            write_value(&mut out, &value, kind.symbol(), rate);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check(1, StatType::Counter, Some(1.0), "x:1|c");
        check(1, StatType::Counter, Some(0.5), "x:1|c|@0.5");
        check(-1, StatType::Timer, None, "x:-1|ms");
        check(3, StatType::Distribution, None, "x:3|d");
        check(3, StatType::Gauge, None, "x:3|g");
        check(3, StatType::Histogram, None, "x:3|h");
        check(3, StatType::Meter, None, "x:3|m");
        check(3, StatType::Set, None, "x:3|s");
    }

    #[test]
    fn a_consumers_name_begins_no_line_of_its_own() {
        assert_eq!(in_a_line("bob\nkong.fake:1|c\r"), "bob_kong.fake:1|c_");
        assert_eq!(in_a_line("b\u{e9}b 1"), "b\u{e9}b 1");
    }

    #[test]
    fn lines_share_packets_as_far_as_they_fit() {
        let check = |texts: &[&str], most: usize, expected: &[&str]| {
            let found = packets(texts, most);
            let found: Vec<_> = found
                .iter()
                .map(|packet| String::from_utf8_lossy(packet))
                .collect();
            assert_eq!(found, expected, "{most}");
        };
        check(&["aa\nbb", "cc"], 0, &["aa", "bb", "cc"]);
        check(&["aa\nbb", "cc"], 5, &["aa\nbb", "cc"]);
        check(&["aa\nbb", "cc"], 100, &["aa\nbb\ncc"]);
        check(&["aaaa\nb", ""], 3, &["aaaa", "b"]);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_cut_or_moved(texts in prop::collection::vec("[a-z\n]{0,20}", 0..8), most in 0usize..40) {
            let packets = packets(&texts, most);
            let lines = |all: Vec<String>| -> Vec<String> {
                all.iter().flat_map(|text| text.split('\n')).filter(|line| !line.is_empty()).map(str::to_owned).collect()
            };
            let sent: Vec<String> = packets.iter().map(|packet| String::from_utf8_lossy(packet).into_owned()).collect();
            for packet in &sent {
                prop_assert!(packet.len() <= most || !packet.contains('\n'));
            }
            prop_assert_eq!(lines(sent), lines(texts));
        }
    }
}
