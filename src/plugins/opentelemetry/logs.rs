//! The log lines of one request, as records.

use super::otlp::{AnyValue, KeyValue, LogRecord, Value};
use super::spans::Traced;
use crate::plugins::{Context, LogLine, LogLines, Severity};

/// The records of what was written to the log for this request, so far as anything was.
pub fn records(traced: &Traced, context: &Context<'_>) -> Vec<LogRecord> {
    let lines = context.shared.get::<LogLines>();
    let lines = lines.map(|lines| lines.0.iter()).into_iter().flatten();
    lines
        .map(|line| record(traced, context.request_id, line))
        .collect()
}

fn record(traced: &Traced, request_id: &str, line: &LogLine) -> LogRecord {
    let (number, text) = severity(line.severity);
    LogRecord {
        time_unix_nano: line.at,
        observed_time_unix_nano: line.at,
        severity_number: number,
        severity_text: text.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::String(line.text.clone())),
        }),
        attributes: vec![
            KeyValue::text("request.id", request_id),
            KeyValue::text("plugin", line.plugin.clone()),
        ],
        flags: traced.sampled.into(),
        trace_id: traced.trace.bytes.to_vec(),
        span_id: traced.span.0.to_vec(),
    }
}

/// Number and text of a severity, as the data model of logs maps those of syslog.
fn severity(severity: Severity) -> (i32, &'static str) {
    match severity {
        Severity::Emerg => (21, "EMERG"),
        Severity::Alert => (19, "ALERT"),
        Severity::Crit => (18, "CRIT"),
        Severity::Err => (17, "ERR"),
        Severity::Warning => (13, "WARN"),
        Severity::Notice => (10, "NOTICE"),
        Severity::Info => (9, "INFO"),
        Severity::Debug => (5, "DEBUG"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::runtime::testing::Request;
    use crate::plugins::tracing::{SpanId, TraceId};

    #[test]
    fn lines_are_records_of_the_request_and_its_trace() {
        let traced = Traced {
            trace: TraceId::random(false),
            span: SpanId([1; 8]),
            parent: None,
            balancer: SpanId([2; 8]),
            sampled: true,
        };
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        let none = request.log_phase(|context| records(&traced, context));
        assert_eq!(none, []);
        request.shared.put(LogLines(vec![LogLine {
            at: 17,
            severity: Severity::Warning,
            plugin: "pre-function".to_owned(),
            text: "hello".to_owned(),
        }]));
        let records = request.log_phase(|context| records(&traced, context));
        let [record] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(
            (
                record.time_unix_nano,
                record.severity_number,
                &*record.severity_text,
                record.flags
            ),
            (17, 13, "WARN", 1)
        );
        assert_eq!(
            (&record.trace_id[..], &record.span_id[..]),
            (&traced.trace.bytes[..], &[1; 8][..])
        );
        let body = record.body.clone().and_then(|body| body.value);
        assert_eq!(body, Some(Value::String("hello".to_owned())));
    }
}
