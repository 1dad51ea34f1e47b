//! Sends the record of each request as a datagram.

use super::config::Config;
use crate::plugins::runtime::{config_of, milliseconds};
use crate::plugins::{
    Build, BuildError, CustomFields, Datagrams, Deliver, Delivery, Handler, QueueParameters,
    RecordHandler, queue_name,
};
use bytes::Bytes;
use std::sync::Arc;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("udp-log", build, &config.custom_fields_by_lua)?;
    let parameters = QueueParameters {
        // What cannot be sent is not sent again, as in Kong.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let name = queue_name(&config);
    let records = Records(Datagrams {
        names: build.resources.names.clone(),
        timeout: milliseconds(config.timeout),
        host: config.host,
        port: config.port,
    });
    let host = &build.resources.host;
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, records),
        lines: false,
    }))
}

struct Records(Datagrams);

impl Deliver<Bytes> for Records {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let sent = self.0.send(batch.iter().map(|record| &**record)).await;
            sent.map_err(Into::into)
        })
    }
}
