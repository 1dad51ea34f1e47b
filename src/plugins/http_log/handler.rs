//! Sends the records of requests to an HTTP server, in batches, and again where it does not take them.

use super::config::Config;
use super::endpoint::Endpoint;
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, HttpClient, HttpOptions,
    HttpRequest, RecordHandler, ResponseBody, queue_name,
};
use awc::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use bytes::Bytes;
use std::sync::Arc;

const AGENT: &str = concat!("langur/", env!("CARGO_PKG_VERSION"));

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    if config.counts_retries() {
        tracing::warn!(
            plugin = %build.plugin.id,
            "http-log: retry_count has no effect: queue.max_retry_time bounds the attempts"
        );
    }
    let fields = CustomFields::build("http-log", build, &config.custom_fields_by_lua)?;
    let parameters = config.queue();
    let collector = Collector::new(build, &config)?;
    let (host, name) = (&build.resources.host, queue_name(&config));
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, collector),
        lines: false,
    }))
}

/// A server that takes records.
struct Collector {
    client: HttpClient,
    request: HttpRequest,
    /// Records come in a list, even a single one.
    list: bool,
}

impl Collector {
    fn new(build: &Build<'_>, config: &Config) -> Result<Collector, BuildError> {
        let bad = |field: &str, reason: &str| BuildError::Config {
            name: build.plugin.name.clone(),
            reason: format!("{field}: {reason}"),
        };
        let endpoint = Endpoint::parse(&config.http_endpoint);
        let endpoint = endpoint.map_err(|reason| bad("http_endpoint", reason))?;
        let value = |field: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|_| bad(field, "no value of a header"))
        };
        let mut headers = vec![
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            (CONTENT_TYPE, value("content_type", &config.content_type)?),
        ];
        for (name, text) in &config.headers {
            let field = format!("headers.{name}");
            let value = value(&field, text)?;
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| bad(&field, "no name of a header"))?;
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        if let Some(text) = &endpoint.authorization {
            headers.push((AUTHORIZATION, value("http_endpoint", text)?));
        }
        let options = HttpOptions {
            // As Kong: collectors often have a certificate of their own making.
            verify: false,
            keep_alive: config.keepalive(),
        };
        let client = build.resources.http.client(options);
        Ok(Collector {
            client: client.map_err(|error| bad("http_endpoint", &error.to_string()))?,
            request: HttpRequest {
                method: config.method.as_str(),
                url: endpoint.url,
                headers,
                body: Bytes::new(),
                timeout: config.timeout(),
                response: ResponseBody::Ignored,
            },
            list: config.queue().max_batch_size != 1,
        })
    }
}

impl Deliver<Bytes> for Collector {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let request = HttpRequest {
                body: match batch {
                    [record] if !self.list => record.clone(),
                    records => list(records),
                },
                ..self.request.clone()
            };
            let response = self.client.send(request).await;
            match response.map_err(|error| error.to_string())?.status {
                ..300 => Ok(()),
                status => Err(format!("the answer is {status}").into()),
            }
        })
    }
}

/// Records as one JSON list.
fn list(records: &[Bytes]) -> Bytes {
    let length: usize = records.iter().map(|record| record.len() + 1).sum();
    let mut text = Vec::with_capacity(length + 1);
    text.push(b'[');
    for (n, record) in records.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(record);
    }
    text.push(b']');
    text.into()
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
