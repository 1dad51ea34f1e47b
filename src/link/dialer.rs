//! The data plane's end: opens a WebSocket over mutual TLS.

use super::{Frame, Link, LinkError, watch_peer};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{StatusCode, Uri};
use awc::error::WsClientError;
use awc::ws;
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
    /// What the request shows beside it; a secret is to be marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
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
                watch_peer(&io).map_err(ConnectError::Io)?;
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
        let mut request = client
            .ws(format!("wss://{authority}{}", target.path))
            .max_frame_size(self.max_frame)
            .protocols([subprotocol]);
        for (name, value) in &target.headers {
            request = request.set_header(name.clone(), value.clone());
        }
        let (_, socket) = request
            .connect()
            .await
            .map_err(|err| failed(explain(&err)))?;
        let (sink, stream) = socket.split();
        Ok(Link::new(
            sink.with(|frame: Frame| {
                future::ready(Ok::<_, awc::error::WsProtocolError>(message(frame)))
            })
            .sink_map_err(|err| LinkError::Failed(err.to_string())),
            stream.filter_map(|frame| future::ready(received(frame))),
        ))
    }
}

/// What to do about a control plane that has not taken the link.
fn explain(error: &WsClientError) -> String {
    let WsClientError::InvalidResponseStatus(status) = error else {
        return error.to_string();
    };
    let why = match *status {
        StatusCode::NOT_FOUND => "it takes no such links at this address",
        StatusCode::FORBIDDEN => "this node is not who it says it is, see the log there",
        StatusCode::SERVICE_UNAVAILABLE => "it has no room for more links now",
        _ => "the link is refused",
    };
    format!("the answer is {status}: {why}")
}

fn message(frame: Frame) -> ws::Message {
    match frame {
        Frame::Binary(bytes) => ws::Message::Binary(bytes),
        Frame::Ping => ws::Message::Ping(Bytes::new()),
        Frame::Pong => ws::Message::Pong(Bytes::new()),
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

/// What a frame means for the link.
fn received(
    frame: Result<ws::Frame, awc::error::WsProtocolError>,
) -> Option<Result<Frame, LinkError>> {
    match frame {
        Ok(ws::Frame::Binary(bytes)) => Some(Ok(Frame::Binary(bytes))),
        // Control planes ask by messages of the dialect.
        Ok(ws::Frame::Ping(_)) => None,
        Ok(ws::Frame::Pong(_)) => Some(Ok(Frame::Pong)),
        Ok(ws::Frame::Close(_)) => Some(Err(LinkError::Closed)),
        Ok(ws::Frame::Text(_) | ws::Frame::Continuation(_)) => Some(Err(LinkError::Failed(
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
