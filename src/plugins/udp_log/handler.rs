//! Sends the record of each request as a datagram; whether it arrives, nobody knows.

use super::config::Config;
use crate::plugins::runtime::{config_of, milliseconds};
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, Names, QueueParameters,
    RecordHandler, queue_name,
};
use bytes::Bytes;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("udp-log", build, &config.custom_fields_by_lua)?;
    let parameters = QueueParameters {
        // What cannot be sent is not sent again, as in Kong.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let (host, name) = (&build.resources.host, queue_name(&config));
    let datagrams = Datagrams {
        names: build.resources.names.clone(),
        config,
    };
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, datagrams),
        lines: false,
    }))
}

struct Datagrams {
    names: Names,
    config: Config,
}

impl Datagrams {
    async fn send(&self, records: &[Bytes]) -> io::Result<()> {
        let config = &self.config;
        let found = self.names.resolve(&config.host, config.port).await?;
        let Some(address) = found.first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        for record in records {
            socket.send_to(record, address).await?;
        }
        Ok(())
    }
}

impl Deliver<Bytes> for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let limit = milliseconds(self.config.timeout);
            match tokio::time::timeout(limit, self.send(batch)).await {
                Ok(sent) => sent.map_err(|error| error.to_string().into()),
                Err(_) => Err(format!("not sent within {limit:?}").into()),
            }
        })
    }
}
