//! Sends the records of requests to an HTTP server, in batches, and again where it does not take them.

use super::config::Config;
use crate::plugins::runtime::{Collector, Posting, config_of, list};
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, RecordHandler, queue_name,
};
use awc::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use bytes::Bytes;
use std::sync::Arc;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("http-log", build, &config.custom_fields_by_lua)?;
    let plugin = build.plugin;
    let parameters = config.old.applied_to(&config.queue, "http-log", plugin.id);
    let list = parameters.max_batch_size != 1;
    let records = Records::new(build, &config, list)?;
    let (host, name) = (&build.resources.host, queue_name(&config));
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, records),
        lines: false,
    }))
}

/// A server that takes records.
struct Records {
    collector: Collector,
    /// Records come in a list, even a single one.
    list: bool,
}

impl Records {
    fn new(build: &Build<'_>, config: &Config, list: bool) -> Result<Records, BuildError> {
        let bad = |field: &str, reason: &str| BuildError::Config {
            name: build.plugin.name.clone(),
            reason: format!("{field}: {reason}"),
        };
        let value = |field: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|_| bad(field, "no value of a header"))
        };
        let mut headers = vec![(CONTENT_TYPE, value("content_type", &config.content_type)?)];
        for (name, text) in &config.headers {
            let field = format!("headers.{name}");
            let value = value(&field, text)?;
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| bad(&field, "no name of a header"))?;
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        let posting = Posting {
            method: config.method.as_str(),
            headers,
            timeout: config.timeout(),
            keep_alive: config.keepalive(),
            // As Kong: collectors often have a certificate of their own making.
            verify: false,
            resources: build.resources,
        };
        let collector = Collector::new(&config.http_endpoint, posting);
        Ok(Records {
            collector: collector.map_err(|reason| bad("http_endpoint", &reason))?,
            list,
        })
    }
}

impl Deliver<Bytes> for Records {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let body = match batch {
                [record] if !self.list => record.clone(),
                records => list(records),
            };
            self.collector.send(body).await
        })
    }
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
