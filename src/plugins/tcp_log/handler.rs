//! Sends the records of requests over a connection that is kept.

use super::config::Config;
use super::connection::Connection;
use crate::plugins::runtime::{config_of, milliseconds, tls_config};
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, Names, QueueParameters,
    RecordHandler, queue_name,
};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
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
    let (host, name) = (&build.resources.host, queue_name(&config));
    let server = Server {
        names: build.resources.names.clone(),
        tls,
        config,
        kept: Mutex::new(None),
    };
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, server),
        lines: true,
    }))
}

struct Server {
    names: Names,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    config: Config,
    /// The connection that was used last, and when.
    kept: Mutex<Option<(Connection, Instant)>>,
}

impl Server {
    async fn send(&self, text: &[u8]) -> io::Result<()> {
        let mut connection = match self.take_kept() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.write(text).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((connection, Instant::now()));
        Ok(())
    }

    fn take_kept(&self) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut connection, used) = kept.take()?;
        let fresh = used.elapsed() < milliseconds(self.config.keepalive);
        (fresh && !connection.is_closed()).then_some(connection)
    }

    async fn connect(&self) -> io::Result<Connection> {
        let (config, limit) = (&self.config, milliseconds(self.config.timeout));
        let stream = self.names.connect(&config.host, config.port, limit).await?;
        Ok(match &self.tls {
            None => Connection::new(stream),
            Some((connector, name)) => {
                Connection::new(connector.connect(name.clone(), stream).await?)
            }
        })
    }
}

impl Deliver<Bytes> for Server {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        let text = batch.concat();
        Box::pin(async move {
            let limit = milliseconds(self.config.timeout);
            match tokio::time::timeout(limit, self.send(&text)).await {
                Ok(sent) => sent.map_err(|error| error.to_string().into()),
                Err(_) => Err(format!("not sent within {limit:?}").into()),
            }
        })
    }
}
