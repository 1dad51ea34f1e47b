//! A TCP connection, kept from one use to the next, to a server that takes lines and is not listened to.

use super::names::Names;
use futures_util::FutureExt;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Where lines go.
pub struct LineServer {
    pub names: Names,
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    pub host: String,
    pub port: u16,
    /// For one call, the connection included.
    pub timeout: Duration,
    /// How long a connection without lines is kept.
    pub keepalive: Duration,
    /// The connection that was used last, and when.
    pub kept: KeptConnection,
}

/// At most one connection.
#[derive(Default)]
pub struct KeptConnection(Mutex<Option<(Connection, Instant)>>);

impl LineServer {
    /// Sends this text.
    ///
    /// # Errors
    /// Why not all of it left the node within the timeout.
    pub async fn send(&self, text: &[u8]) -> Result<(), String> {
        match tokio::time::timeout(self.timeout, self.send_all(text)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("not sent within {:?}", self.timeout)),
        }
    }

    async fn send_all(&self, text: &[u8]) -> io::Result<()> {
        let mut connection = match self.kept.take(self.keepalive) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.write(text).await?;
        self.kept.put(connection);
        Ok(())
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = self
            .names
            .connect(&self.host, self.port, self.timeout)
            .await?;
        Ok(match &self.tls {
            None => Connection::new(stream),
            Some((connector, name)) => {
                Connection::new(connector.connect(name.clone(), stream).await?)
            }
        })
    }
}

impl KeptConnection {
    fn take(&self, keepalive: Duration) -> Option<Connection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut connection, used) = kept.take()?;
        let fresh = used.elapsed() < keepalive;
        (fresh && !connection.is_closed()).then_some(connection)
    }

    fn put(&self, connection: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((connection, Instant::now()));
    }
}

/// What lines are written to, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Connection(Box<dyn Stream>);

impl Connection {
    fn new(stream: impl Stream + 'static) -> Connection {
        Connection(Box::new(stream))
    }

    /// Whether the server has closed it, as far as that is known here. What the server has said instead is
    /// forgotten.
    fn is_closed(&mut self) -> bool {
        let mut said = [0; 256];
        loop {
            match self.0.read(&mut said).now_or_never() {
                None => return false,
                Some(Ok(0) | Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.write_all(text).await?;
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_close_is_noticed_and_words_are_not_one() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut connection = Connection::new(near);
        assert!(!connection.is_closed());
        far.write_all(b"hello").await.expect("written");
        assert!(!connection.is_closed());
        connection.write(b"line\n").await.expect("written");
        drop(far);
        assert!(connection.is_closed());
    }
}
