//! UDP datagrams to one host; whether they arrive, nobody knows.

use super::names::Names;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Where datagrams go.
pub struct Datagrams {
    pub names: Names,
    pub host: String,
    pub port: u16,
    /// For all that one call sends, the resolution of the name included.
    pub timeout: Duration,
}

impl Datagrams {
    /// Sends each of these as a datagram.
    ///
    /// # Errors
    /// Why not all of them left the node within the timeout.
    pub async fn send<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
        match tokio::time::timeout(self.timeout, self.send_all(datagrams)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("not sent within {:?}", self.timeout)),
        }
    }

    async fn send_all<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let found = self.names.resolve(&self.host, self.port).await?;
        let Some(address) = found.first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        for datagram in datagrams {
            socket.send_to(datagram, address).await?;
        }
        Ok(())
    }
}
