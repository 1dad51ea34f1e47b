//! Read buffers, borrowed from the worker only while they hold bytes: an idle connection
//! owns none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// One buffer, in bytes: a request body of this size is collected whole.
pub const BUFFER_SIZE: usize = 64 * 1024;
/// Spare buffers that a worker keeps.
const MAX_SPARE: usize = 256;

/// Bytes that were read and not used yet.
#[derive(Debug)]
pub struct Buffer {
    data: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Buffer {
        Buffer {
            data: vec![0; BUFFER_SIZE].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data[self.start..self.end]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn is_full(&self) -> bool {
        self.end - self.start == self.data.len()
    }

    /// Makes room in a full buffer for a message head that settings allow to be larger than
    /// one buffer. It never gets larger than `limit`.
    pub fn grow(&mut self, limit: usize) {
        if self.is_full() && self.data.len() < limit {
            let mut data = vec![0; limit.min(self.data.len() * 2)].into_boxed_slice();
            data[..self.end].copy_from_slice(&self.data);
            self.data = data;
        }
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Keeps the first `count` bytes.
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// Reads once, after what is there; 0 means that the peer has closed. Must not be called
    /// on a full buffer.
    fn poll_fill(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_full() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.end == self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut space = ReadBuf::new(&mut self.data[self.end..]);
        ready!(Pin::new(io).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<Buffer>>,
}

impl Buffers {
    pub fn put(&self, mut buffer: Buffer) {
        let mut spare = self.spare.borrow_mut();
        // One that had to grow was for an unusual message.
        if spare.len() < MAX_SPARE && buffer.data.len() == BUFFER_SIZE {
            (buffer.start, buffer.end) = (0, 0);
            spare.push(buffer);
        }
    }
}

/// Reads into the buffer of `slot`; an empty slot gets a buffer only if bytes come.
pub fn poll_read(
    io: &mut (impl AsyncRead + Unpin),
    slot: &mut Option<Buffer>,
    buffers: &Buffers,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if let Some(buffer) = slot {
        let polled = buffer.poll_fill(io, cx);
        if buffer.is_empty()
            && let Some(buffer) = slot.take()
        {
            buffers.put(buffer);
        }
        return polled;
    }
    // Most reads find nothing: then the buffer goes back where it was.
    let mut spare = buffers.spare.borrow_mut();
    let mut buffer = spare.pop().unwrap_or_else(Buffer::new);
    let polled = buffer.poll_fill(io, cx);
    match buffer.is_empty() {
        true => spare.push(buffer),
        false => *slot = Some(buffer),
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn read(slot: &mut Option<Buffer>, buffers: &Buffers, mut source: &[u8]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match poll_read(&mut source, slot, buffers, &mut cx) {
            Poll::Ready(Ok(count)) => count,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_buffer_is_held_only_while_it_has_bytes() {
        let buffers = Buffers::default();
        let mut slot = None;
        assert_eq!(read(&mut slot, &buffers, b""), 0);
        assert!(slot.is_none());
        assert_eq!(read(&mut slot, &buffers, b"abc"), 3);
        slot.as_mut().unwrap().consume(1);
        assert_eq!(read(&mut slot, &buffers, b"def"), 3);
        assert_eq!(slot.as_ref().unwrap().bytes(), b"bcdef");
        slot.as_mut().unwrap().truncate(2);
        assert_eq!(slot.as_ref().unwrap().bytes(), b"bc");
        assert!(buffers.spare.borrow().is_empty());
    }

    #[test]
    fn a_buffer_grows_up_to_a_limit_and_is_then_not_kept() {
        let buffers = Buffers::default();
        let mut slot = None;
        assert_eq!(read(&mut slot, &buffers, &[7; BUFFER_SIZE]), BUFFER_SIZE);
        let buffer = slot.as_mut().unwrap();
        buffer.grow(BUFFER_SIZE);
        assert!(buffer.is_full());
        buffer.grow(BUFFER_SIZE + 3);
        assert_eq!(read(&mut slot, &buffers, b"abcd"), 3);
        let buffer = slot.take().unwrap();
        assert!(buffer.bytes().ends_with(&[7, b'a', b'b', b'c']));
        buffers.put(buffer);
        assert!(buffers.spare.borrow().is_empty());
    }

    #[test]
    fn bytes_move_to_the_front_when_the_end_is_reached() {
        let buffers = Buffers::default();
        let mut slot = None;
        assert_eq!(read(&mut slot, &buffers, &[7; BUFFER_SIZE]), BUFFER_SIZE);
        let buffer = slot.as_mut().unwrap();
        assert!(buffer.is_full());
        buffer.consume(BUFFER_SIZE - 2);
        assert_eq!(read(&mut slot, &buffers, b"xyz"), 3);
        assert_eq!(slot.as_ref().unwrap().bytes(), &[7, 7, b'x', b'y', b'z']);
    }
}
