//! The socket of the daemon that keeps the system's log.

use crate::plugins::{Deliver, Delivery};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixDatagram, UnixStream};

/// A daemon that takes nothing for so long is given up for this batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends messages to a socket, as the C library does: datagrams, or a stream of messages that each end with
/// a zero byte where the daemon wants that.
pub struct SystemLog(PathBuf);

impl SystemLog {
    pub fn new(path: impl Into<PathBuf>) -> SystemLog {
        SystemLog(path.into())
    }

    async fn send(&self, messages: &[Bytes]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        match socket.connect(&self.0) {
            Ok(()) => {
                for message in messages {
                    socket.send(message).await?;
                }
                Ok(())
            }
            // The daemon's socket is of the other kind.
            Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                let mut stream = UnixStream::connect(&self.0).await?;
                for message in messages {
                    stream.write_all(message).await?;
                    stream.write_all(b"\0").await?;
                }
                stream.flush().await
            }
            Err(error) => Err(error),
        }
    }
}

impl Deliver<Bytes> for SystemLog {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let path = self.0.display();
            match tokio::time::timeout(PATIENCE, self.send(batch)).await {
                Ok(sent) => sent.map_err(|error| format!("{path}: {error}").into()),
                Err(_) => Err(format!("{path}: not sent within {PATIENCE:?}").into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    static MESSAGES: [Bytes; 2] = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];

    #[tokio::test]
    async fn messages_are_datagrams() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let log = SystemLog::new(&path);
        log.deliver(&MESSAGES).await.expect("delivered");
        let mut message = [0; 10];
        for expected in &MESSAGES {
            let length = daemon.recv(&mut message).await.expect("a message");
            assert_eq!(&message[..length], expected);
        }
    }

    #[tokio::test]
    async fn or_a_stream_where_the_daemon_wants_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let daemon = UnixListener::bind(&path).expect("a socket");
        let log = SystemLog::new(&path);
        let (delivered, accepted) = tokio::join!(log.deliver(&MESSAGES), daemon.accept());
        delivered.expect("delivered");
        let mut text = Vec::new();
        let (mut stream, _) = accepted.expect("a connection");
        stream.read_to_end(&mut text).await.expect("a text");
        assert_eq!(text, b"one\0two\0");
    }

    #[tokio::test]
    async fn without_a_daemon_the_path_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let error = SystemLog::new(&path).deliver(&MESSAGES).await;
        let error = error.expect_err("nobody is there");
        assert!(error.starts_with(&*path.to_string_lossy()), "{error}");
    }
}
