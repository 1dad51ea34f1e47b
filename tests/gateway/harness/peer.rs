//! A peer with the certificate of the cluster that says whatever it likes: WebSocket frames by hand
//! over real mutual TLS.

use super::Cluster;
use langur::tls::{self, ClusterTrust, Identity, Material};
use rustls::{ClientConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// One connection.
pub struct Peer {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What was read beyond what was asked for.
    read: Vec<u8>,
    closed: bool,
}

impl Peer {
    /// Connects with the shared certificate of the cluster.
    pub fn connect(cluster: &Cluster, address: &str) -> Peer {
        let path = |name| Material::Path(cluster.path(name));
        let identity = Identity::load(&path("cluster.crt"), &path("cluster.key"));
        let identity = identity.expect("the cluster's certificate");
        Peer::connect_as(&identity, &ClusterTrust::Shared, address)
    }

    /// Connects with any certificate.
    pub fn connect_as(identity: &Identity, trust: &ClusterTrust, address: &str) -> Peer {
        let config = tls::cluster_client_config(identity, trust).expect("a configuration");
        let host = address.split(':').next().unwrap_or_default();
        let name = tls::server_name(trust, None, host).expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let socket = TcpStream::connect(address).expect("a listener");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout");
        socket
            .set_write_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        Peer {
            stream: StreamOwned::new(session, socket),
            read: Vec::new(),
            closed: false,
        }
    }

    /// Asks for a WebSocket; the status of the answer.
    pub fn upgrade(&mut self, path: &str, headers: &str) -> u16 {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: cp\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: langur.v1\r\n{headers}\r\n"
        );
        assert!(self.write(request.as_bytes()), "the request is taken");
        let head = super::eventually("an answer", || {
            self.fill();
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => Ok(self.read.drain(..end + 4).collect::<Vec<u8>>()),
                None if self.closed => Ok(Vec::new()),
                None => Err(format!("{:?}", self.read)),
            }
        });
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1);
        status
            .and_then(|status| status.parse().ok())
            .unwrap_or_default()
    }

    /// Bytes as they are; false when nobody takes them any more.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let written = self
            .stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush());
        self.closed |= written.is_err();
        written.is_ok()
    }

    /// The beginning of a binary frame that claims this length.
    pub fn begin_frame(&mut self, length: u64) -> bool {
        let mut head = vec![0x82, 0x80 | 127];
        head.extend(length.to_be_bytes());
        // A mask of zeros leaves the payload as it is.
        head.extend([0; 4]);
        self.write(&head)
    }

    /// A whole binary frame.
    pub fn send(&mut self, payload: &[u8]) -> bool {
        self.begin_frame(payload.len() as u64) && self.write(payload)
    }

    /// The next binary frame, if one has come.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        self.fill();
        let (length, head) = match *self.read.get(1)? {
            126 => {
                let length: [u8; 2] = self.read.get(2..4)?.try_into().ok()?;
                (usize::from(u16::from_be_bytes(length)), 4)
            }
            127 => {
                let length: [u8; 8] = self.read.get(2..10)?.try_into().ok()?;
                (usize::try_from(u64::from_be_bytes(length)).ok()?, 10)
            }
            length => (usize::from(length), 2),
        };
        if self.read.len() < head + length {
            return None;
        }
        let opcode = self.read[0] & 0x0f;
        let frame: Vec<u8> = self.read.drain(..head + length).skip(head).collect();
        match opcode {
            2 => Some(frame),
            _ => self.receive(),
        }
    }

    /// Whether the other end has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.fill();
        self.closed
    }

    fn fill(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(n) => self.read.extend_from_slice(&buffer[..n]),
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
    }
}
