//! The data plane's end: opens a WebSocket over mutual TLS.

use super::{Link, LinkError};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::http::Uri;
use awc::ws::{Frame, Message};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future};
use rand::seq::SliceRandom;
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long connecting, the TLS handshake and the upgrade may take, each.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`; the host is resolved anew for every connection, to one or more addresses.
    pub address: String,
    /// The path of the endpoint, such as `/langur/v1/config`.
    pub path: String,
}

/// Opens links with one identity.
#[derive(Clone)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    /// Sent as SNI and verified where the trust mode verifies names; the host part of the
    /// address when `None`.
    server_name: Option<String>,
    /// Bytes; a larger frame ends the link.
    max_frame: usize,
}

impl Dialer {
    pub fn new(tls: Arc<ClientConfig>, server_name: Option<String>, max_frame: usize) -> Dialer {
        Dialer {
            tls,
            server_name,
            max_frame,
        }
    }

    /// Opens a link.
    ///
    /// # Errors
    /// [`LinkError::Unreachable`] with the address and the reason.
    pub async fn dial(&self, target: &Target, subprotocol: &str) -> Result<Link, LinkError> {
        let failed = |reason: String| LinkError::Unreachable {
            address: target.address.clone(),
            reason,
        };
        // awc takes SNI from the URI and would also dial it; the connector dials the address
        // instead, so that name and address may differ.
        let address = target.address.clone();
        let connect = actix_service::fn_service(move |info: ConnectInfo<Uri>| {
            let address = address.clone();
            async move {
                let found = lookup_host(&address).await.map_err(ConnectError::Io)?;
                let io = connect_any(found.collect())
                    .await
                    .map_err(ConnectError::Io)?;
                io.set_nodelay(true).map_err(ConnectError::Io)?;
                Ok::<_, ConnectError>(Connection::new(info.request().clone(), io))
            }
        });
        let connector = awc::Connector::new()
            .connector(connect)
            .timeout(TIMEOUT)
            .handshake_timeout(TIMEOUT)
            .rustls_0_23(Arc::clone(&self.tls));
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(TIMEOUT)
            .finish();
        let authority = match &self.server_name {
            Some(name) => name.as_str(),
            None => target.address.as_str(),
        };
        let request = client
            .ws(format!("wss://{authority}{}", target.path))
            .max_frame_size(self.max_frame)
            .protocols([subprotocol]);
        let (_, socket) = request
            .connect()
            .await
            .map_err(|err| failed(err.to_string()))?;
        let (sink, stream) = socket.split();
        Ok(Link::new(
            sink.with(|frame: Bytes| {
                future::ready(Ok::<_, awc::error::WsProtocolError>(Message::Binary(frame)))
            })
            .sink_map_err(|err| LinkError::Failed(err.to_string())),
            stream.filter_map(|frame| future::ready(frame_bytes(frame))),
        ))
    }
}

/// Connects to one of the addresses of a name, whichever answers. They are tried in random
/// order: resolvers sort them, which would bring a whole fleet to the same control plane.
async fn connect_any(mut addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    addresses.shuffle(&mut rand::rng());
    // One that says nothing leaves time for the others.
    let each = TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(refused)) => error = refused,
            Err(elapsed) => error = elapsed.into(),
        }
    }
    Err(error)
}

/// What a frame means for the link; control frames that mean nothing are skipped.
fn frame_bytes(
    frame: Result<Frame, awc::error::WsProtocolError>,
) -> Option<Result<Bytes, LinkError>> {
    match frame {
        Ok(Frame::Binary(bytes)) => Some(Ok(bytes)),
        // The dialect has heartbeats of its own.
        Ok(Frame::Ping(_) | Frame::Pong(_)) => None,
        Ok(Frame::Close(_)) => Some(Err(LinkError::Closed)),
        Ok(Frame::Text(_) | Frame::Continuation(_)) => Some(Err(LinkError::Failed(
            "a frame that is not binary and whole".into(),
        ))),
        Err(err) => Some(Err(LinkError::Failed(err.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::closed_address;
    use std::collections::BTreeSet;
    use tokio::net::TcpListener;

    #[actix_rt::test]
    async fn a_name_of_several_addresses_is_all_of_them() {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (first, second) = (listen().await.unwrap(), listen().await.unwrap());
        let [first, second] = [&first, &second].map(|socket| socket.local_addr().unwrap());
        let mut reached = BTreeSet::new();
        // One of two is missed by chance once in 2^62.
        for _ in 0..64 {
            let addresses = vec![first, second, closed_address()];
            let stream = connect_any(addresses).await.unwrap();
            reached.insert(stream.peer_addr().unwrap());
        }
        assert_eq!(reached, BTreeSet::from([first, second]));
    }

    #[actix_rt::test]
    async fn a_name_without_an_address_that_answers() {
        let dead = closed_address();
        let refused = connect_any(vec![dead, dead]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let none = connect_any(Vec::new()).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
