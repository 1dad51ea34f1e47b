//! Servers that take spans or log records.

use super::otlp::{
    ExportLogs, ExportTraces, KeyValue, Resource, ResourceLogs, ResourceSpans, Scope, ScopeLogs,
    ScopeSpans,
};
use crate::plugins::runtime::Collector;
use crate::plugins::{Deliver, Delivery};
use bytes::Bytes;
use prost::Message;

pub struct Server {
    pub collector: Collector,
    /// What everything that is sent is of.
    pub resource: Vec<KeyValue>,
    pub takes: Takes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Spans,
    LogRecords,
}

impl Server {
    fn request(&self, batch: &[Bytes]) -> Vec<u8> {
        let resource = Some(Resource {
            attributes: self.resource.clone(),
        });
        // As Kong has it.
        let scope = Some(Scope {
            name: "kong-internal".to_owned(),
            version: "0.1.0".to_owned(),
        });
        match self.takes {
            Takes::Spans => ExportTraces {
                resource_spans: vec![ResourceSpans {
                    resource,
                    scope_spans: vec![ScopeSpans {
                        scope,
                        spans: batch.to_vec(),
                    }],
                }],
            }
            .encode_to_vec(),
            Takes::LogRecords => ExportLogs {
                resource_logs: vec![ResourceLogs {
                    resource,
                    scope_logs: vec![ScopeLogs {
                        scope,
                        log_records: batch.to_vec(),
                    }],
                }],
            }
            .encode_to_vec(),
        }
    }
}

impl Deliver<Bytes> for Server {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        let body = Bytes::from(self.request(batch));
        Box::pin(async move { self.collector.send(body).await })
    }
}
