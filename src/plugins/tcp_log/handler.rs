//! Sends the records of requests over a connection that is kept.

use super::config::Config;
use crate::plugins::runtime::{config_of, milliseconds, tls_config};
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, KeptConnection, LineServer,
    QueueParameters, RecordHandler, queue_name,
};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Most lines that are written at a time.
const MOST_LINES: usize = 100;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let bad = |reason: String| BuildError::Config {
        name: build.plugin.name.clone(),
        reason,
    };
    let fields = CustomFields::build("tcp-log", build, &config.custom_fields_by_lua)?;
    let tls = match config.tls {
        false => None,
        true => {
            let (field, name) = match &config.tls_sni {
                Some(name) => ("tls_sni", name),
                None => ("host", &config.host),
            };
            let server = ServerName::try_from(name.clone());
            let server = server.map_err(|_| bad(format!("{field}: no name of a server")))?;
            // As Kong: whose certificate it is, is not asked.
            let mut own = tls_config(false, &build.resources.roots)
                .map_err(|error| bad(format!("tls: {error}")))?;
            own.alpn_protocols.clear();
            Some((TlsConnector::from(Arc::new(own)), server))
        }
    };
    let parameters = QueueParameters {
        max_batch_size: MOST_LINES,
        max_coalescing_delay: 0.0,
        // What cannot be sent is not sent again, as in Kong.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let name = queue_name(&config);
    let server = LineServer {
        names: build.resources.names.clone(),
        tls,
        timeout: milliseconds(config.timeout),
        keepalive: milliseconds(config.keepalive),
        host: config.host,
        port: config.port,
        kept: KeptConnection::default(),
    };
    let host = &build.resources.host;
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, Lines(server)),
        lines: true,
    }))
}

struct Lines(LineServer);

impl Deliver<Bytes> for Lines {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        let text = batch.concat();
        Box::pin(async move { self.0.send(&text).await.map_err(Into::into) })
    }
}
