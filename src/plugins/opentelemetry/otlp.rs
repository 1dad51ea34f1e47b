//! The messages of OTLP that are sent, as far as they are filled: `trace/v1/trace.proto`, `logs/v1/logs.proto` and
//! `common/v1/common.proto` of the OpenTelemetry protocol, version 1.
//!
//! A span or a log record is encoded when its request ends. In a batch it stands as bytes, which on the wire is the same as the
//! message.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct ExportTraces {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Encoded messages [`Span`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub spans: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(enumeration = "Kind", tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ExportLogs {
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Encoded messages [`LogRecord`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub log_records: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    #[prost(string, tag = "3")]
    pub severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
}

#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// The code of a status.
pub const ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
}

impl KeyValue {
    pub fn new(key: impl Into<String>, value: Value) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }

    pub fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
        KeyValue::new(key, Value::String(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same with the spans as messages.
    #[derive(Clone, PartialEq, Message)]
    struct Whole {
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }

    #[test]
    fn encoded_spans_in_a_batch_are_messages_on_the_wire() {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "kong".to_owned(),
            kind: Kind::Server.into(),
            start_time_unix_nano: 1,
            end_time_unix_nano: 2,
            attributes: vec![
                KeyValue::text("k", "v"),
                KeyValue::new("n", Value::Double(1.5)),
            ],
            status: Some(Status {
                message: String::new(),
                code: ERROR,
            }),
            ..Span::default()
        };
        let batch = ScopeSpans {
            scope: None,
            spans: vec![span.encode_to_vec().into(), span.encode_to_vec().into()],
        };
        let read = Whole::decode(&*batch.encode_to_vec()).expect("a message");
        assert_eq!(read.spans, [span.clone(), span]);
    }

    #[test]
    fn a_span_is_on_the_wire_as_the_protocol_says() {
        let span = Span {
            trace_id: vec![1],
            span_id: vec![2],
            parent_span_id: vec![3],
            name: "a".to_owned(),
            kind: Kind::Client.into(),
            start_time_unix_nano: 7,
            end_time_unix_nano: 8,
            attributes: vec![KeyValue::new("k", Value::Int(5))],
            status: Some(Status {
                message: String::new(),
                code: ERROR,
            }),
        };
        let expected = [
            &[0x0a, 1, 1, 0x12, 1, 2, 0x22, 1, 3, 0x2a, 1, b'a', 0x30, 3][..],
            &[0x39, 7, 0, 0, 0, 0, 0, 0, 0, 0x41, 8, 0, 0, 0, 0, 0, 0, 0],
            &[0x4a, 7, 0x0a, 1, b'k', 0x12, 2, 0x18, 5],
            &[0x7a, 2, 0x18, 2],
        ];
        assert_eq!(span.encode_to_vec(), expected.concat());
    }
}
