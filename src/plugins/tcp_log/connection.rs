//! A connection to a server that takes lines and is not listened to.

use futures_util::FutureExt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What lines are written to, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct Connection(Box<dyn Stream>);

impl Connection {
    pub fn new(stream: impl Stream + 'static) -> Connection {
        Connection(Box::new(stream))
    }

    /// Whether the server has closed it, as far as that is known here. What the server has said instead is
    /// forgotten.
    pub fn is_closed(&mut self) -> bool {
        let mut said = [0; 256];
        loop {
            match self.0.read(&mut said).now_or_never() {
                None => return false,
                Some(Ok(0) | Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn write(&mut self, text: &[u8]) -> io::Result<()> {
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
