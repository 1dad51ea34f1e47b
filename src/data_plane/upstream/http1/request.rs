//! A request's way to the socket: the head, and the body as its length asks for it.

use crate::data_plane::exchange::socket::poll_write_parts;
use crate::data_plane::exchange::{BodyLength, RequestProgress};
use crate::http::write;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// What of one request was sent.
#[derive(Debug)]
pub struct RequestWriter {
    chunked: bool,
    progress: RequestProgress,
    head_sent: bool,
    /// The size line of the piece being sent, when the body goes out in chunks.
    prefix: Vec<u8>,
    suffix: &'static [u8],
    /// Bytes of the current piece (head, prefix, payload, suffix) that are written.
    written: usize,
    /// Bytes of all of the request that are written.
    sent: u64,
}

impl Default for RequestWriter {
    fn default() -> RequestWriter {
        RequestWriter {
            chunked: false,
            progress: RequestProgress::Head,
            head_sent: false,
            prefix: Vec::new(),
            suffix: b"",
            written: 0,
            sent: 0,
        }
    }
}

impl RequestWriter {
    /// Appends the body's framing and the blank line to the head.
    pub fn begin(&mut self, head: &mut Vec<u8>, body: BodyLength) {
        self.chunked = body == BodyLength::Unknown;
        match body {
            BodyLength::Empty => {}
            BodyLength::Known(length) => {
                head.extend_from_slice(b"Content-Length: ");
                write::decimal(head, length);
                head.extend_from_slice(b"\r\n");
            }
            BodyLength::Unknown => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        head.extend_from_slice(b"\r\n");
    }

    pub fn progress(&self) -> RequestProgress {
        self.progress
    }

    /// Bytes written to the upstream.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes the head, if it has not left yet, and a piece.
    pub fn poll_send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        head: &[u8],
        payload: &[u8],
        last: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.progress != RequestProgress::Sending {
            self.begin_piece(payload.len(), last);
        }
        let head = if self.head_sent { &[] } else { head };
        let parts = [head, &self.prefix, payload, self.suffix];
        let before = self.written;
        let polled = poll_write_parts(stream, parts, &mut self.written, cx);
        self.sent += (self.written - before) as u64;
        match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => self.progress = RequestProgress::Broken,
            Poll::Ready(Ok(())) => {
                self.head_sent = true;
                self.progress = match last {
                    true => RequestProgress::Sent,
                    false => RequestProgress::Body,
                };
            }
        }
        Poll::Ready(())
    }

    fn begin_piece(&mut self, length: usize, last: bool) {
        self.prefix.clear();
        self.suffix = match self.chunked {
            true => write::chunk(&mut self.prefix, length, last),
            false => b"",
        };
        self.written = 0;
        self.progress = RequestProgress::Sending;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// Sends pieces through a pipe that takes few bytes at once; what arrives.
    async fn sent(body: BodyLength, pieces: &[&str]) -> String {
        let (mut near, mut far) = tokio::io::duplex(5);
        let mut head = b"PUT / HTTP/1.1\r\n".to_vec();
        let sending = async {
            let mut writer = RequestWriter::default();
            writer.begin(&mut head, body);
            for (index, piece) in pieces.iter().enumerate() {
                let last = index + 1 == pieces.len();
                let payload = piece.as_bytes();
                std::future::poll_fn(|cx| writer.poll_send(&mut near, &head, payload, last, cx))
                    .await;
            }
            assert_eq!(writer.progress(), RequestProgress::Sent);
            let count = writer.sent();
            drop(near);
            count
        };
        let mut arrived = String::new();
        let (count, read) = tokio::join!(sending, far.read_to_string(&mut arrived));
        assert_eq!(count, read.expect("text") as u64);
        arrived
    }

    #[tokio::test]
    async fn a_body_is_framed_as_its_length_asks() {
        for (body, pieces, expected) in [
            (BodyLength::Empty, &[""][..], "\r\n"),
            (
                BodyLength::Known(5),
                &["ab", "cde"],
                "Content-Length: 5\r\n\r\nabcde",
            ),
            (
                BodyLength::Unknown,
                &["", "ab", "cde", ""],
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
            ),
            (
                BodyLength::Unknown,
                &["ab"],
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            ),
        ] {
            let expected = format!("PUT / HTTP/1.1\r\n{expected}");
            assert_eq!(sent(body, pieces).await, expected);
        }
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_is_broken() {
        let (mut near, far) = tokio::io::duplex(5);
        drop(far);
        let mut writer = RequestWriter::default();
        std::future::poll_fn(|cx| writer.poll_send(&mut near, b"GET", b"", true, cx)).await;
        assert_eq!(writer.progress(), RequestProgress::Broken);
    }
}
