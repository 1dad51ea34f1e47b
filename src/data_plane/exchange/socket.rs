//! What both sides of a request do to their sockets.

use socket2::{SockRef, TcpKeepalive};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// When the system asks a silent peer whether it is still there, and how long until it gives
/// it up.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10))
    .with_retries(6);

/// Lets the system find out that the other end of a connection has vanished.
pub fn keep_alive<S: AsFd>(socket: &S) -> io::Result<()> {
    SockRef::from(socket).set_tcp_keepalive(&KEEP_ALIVE)
}

/// Writes what `written` says is left of the parts, and flushes when nothing is left.
pub fn poll_write_parts<const N: usize>(
    io: &mut (impl AsyncWrite + Unpin),
    parts: [&[u8]; N],
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let mut slices = [IoSlice::new(&[]); N];
        let mut count = 0;
        let mut skip = *written;
        for part in parts {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            if !rest.is_empty() {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        let io = Pin::new(&mut *io);
        let sent = match count {
            0 => return io.poll_flush(cx),
            1 => ready!(io.poll_write(cx, &slices[0]))?,
            _ => ready!(io.poll_write_vectored(cx, &slices[..count]))?,
        };
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *written += sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn parts_arrive_in_order_however_small_the_pipe_is() {
        let parts: [&[u8]; 3] = [b"head", b"", b"a longer body"];
        let (mut near, mut far) = tokio::io::duplex(3);
        let writer = async {
            let mut written = 0;
            std::future::poll_fn(|cx| poll_write_parts(&mut near, parts, &mut written, cx))
                .await
                .unwrap();
            near.shutdown().await.unwrap();
            written
        };
        let mut got = Vec::new();
        let (written, read) = tokio::join!(writer, far.read_to_end(&mut got));
        assert_eq!((written, read.unwrap()), (17, 17));
        assert_eq!(got, b"heada longer body");
    }
}
