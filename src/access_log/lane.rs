//! The way of lines from whoever serves requests to the thread that writes files.
//!
//! A lane has one writer and one reader, without a lock: the chunk that is being filled lies in a
//! queue of one place, from which either takes it. So the reader also gets the last lines of a
//! lane on which nothing happens any more.

use super::entry::Entry;
use super::format::Format;
use super::values::Values;
use super::writer::Shared;
use crossbeam_queue::ArrayQueue;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Room of a new chunk, in bytes.
const CHUNK: usize = 64 * 1024;
/// A chunk of so many bytes is handed over.
const FULL: usize = CHUNK / 2;
/// A chunk that one long line has made larger than this is not kept.
const MAX_KEPT: usize = 2 * CHUNK;
/// Full chunks of a lane that wait for the disk; lines beyond them are dropped.
const MAX_WAITING: usize = 64;

/// An access log that is switched on; clones share the file.
#[derive(Clone)]
pub struct AccessLog {
    pub(super) format: Arc<Format>,
    pub(super) shared: Arc<Shared>,
    /// Its number among the logs of the node.
    pub(super) number: usize,
    pub(super) hostname: Arc<str>,
}

impl AccessLog {
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// A lane for one thread.
    pub fn lane(&self) -> Lane {
        let queue = Arc::new(Queue::new(self.number));
        self.shared.add(Arc::clone(&queue));
        Lane {
            log: self.clone(),
            queue,
            values: RefCell::new(Values {
                hostname: self.hostname.as_ref().to_owned(),
                ..Values::default()
            }),
            next: Cell::new(0),
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AccessLog").field(&self.number).finish()
    }
}

/// Lines in the order in which they were written.
#[derive(Debug)]
pub(super) struct Chunk {
    number: u64,
    text: Vec<u8>,
}

/// What the two ends of a lane share.
#[derive(Debug)]
pub(super) struct Queue {
    /// The log that its lines belong to.
    pub log: usize,
    /// The chunk that is being filled, unless one of the ends has it in hand.
    current: ArrayQueue<Chunk>,
    full: ArrayQueue<Chunk>,
    /// Emptied chunks.
    free: ArrayQueue<Vec<u8>>,
    /// Lines for which there was no room.
    dropped: AtomicU64,
}

impl Queue {
    fn new(log: usize) -> Queue {
        let free = ArrayQueue::new(MAX_WAITING);
        // One to be filled and one in the hands of the reader: no request makes another.
        for _ in 0..2 {
            let _ = free.push(Vec::with_capacity(CHUNK));
        }
        Queue {
            log,
            current: ArrayQueue::new(1),
            full: ArrayQueue::new(MAX_WAITING),
            free,
            dropped: AtomicU64::new(0),
        }
    }

    /// Hands everything in it to `write`, in order. Returns how many lines were dropped since the
    /// last time.
    pub fn drain(&self, mut write: impl FnMut(&[u8])) -> u64 {
        let mut last = self.current.pop();
        // Bounded, so that a busy lane does not keep the others waiting.
        for _ in 0..MAX_WAITING {
            let Some(chunk) = self.full.pop() else {
                break;
            };
            // It was begun after the one that was still being filled a moment ago.
            if let Some(older) = last.take_if(|older| older.number < chunk.number) {
                self.write_and_free(older, &mut write);
            }
            self.write_and_free(chunk, &mut write);
        }
        if let Some(last) = last {
            self.write_and_free(last, &mut write);
        }
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn write_and_free(&self, mut chunk: Chunk, write: &mut impl FnMut(&[u8])) {
        write(&chunk.text);
        chunk.text.clear();
        if chunk.text.capacity() <= MAX_KEPT {
            let _ = self.free.push(chunk.text);
        }
    }
}

/// The end of a lane that lines are written into. One thread's own.
pub struct Lane {
    log: AccessLog,
    queue: Arc<Queue>,
    values: RefCell<Values>,
    /// The number of the next chunk.
    next: Cell<u64>,
}

impl Lane {
    pub fn format(&self) -> &Format {
        &self.log.format
    }

    /// Writes the line of a request. Never waits.
    pub fn write(&self, entry: &Entry<'_>) {
        let queue = &*self.queue;
        let mut chunk = queue.current.pop().unwrap_or_else(|| {
            let number = self.next.get();
            self.next.set(number + 1);
            let free = queue.free.pop();
            Chunk {
                number,
                text: free.unwrap_or_else(|| Vec::with_capacity(CHUNK)),
            }
        });
        let start = chunk.text.len();
        let values = &mut self.values.borrow_mut();
        self.log.format.write(entry, values, &mut chunk.text);
        let mut urgent = false;
        let unfinished = match chunk.text.len() >= FULL {
            false => Some(chunk),
            true => {
                urgent = true;
                queue.full.push(chunk).err().map(|mut chunk| {
                    chunk.text.truncate(start);
                    queue.dropped.fetch_add(1, Ordering::Relaxed);
                    chunk
                })
            }
        };
        if let Some(chunk) = unfinished {
            // The only place is free: this end has just emptied it, or it was empty.
            let _ = queue.current.push(chunk);
        }
        // The line must be seen by a reader that this does not wake.
        fence(Ordering::SeqCst);
        self.log.shared.lines_wait(urgent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(queue: &Queue, number: u64, text: &str, full: bool) {
        let chunk = Chunk {
            number,
            text: text.as_bytes().to_vec(),
        };
        let pushed = match full {
            true => queue.full.push(chunk),
            false => queue.current.push(chunk),
        };
        assert!(pushed.is_ok());
    }

    #[test]
    fn chunks_come_out_in_the_order_in_which_they_were_begun() {
        let drained = |queue: &Queue| {
            let mut all = String::new();
            queue.drain(|text| all.push_str(&String::from_utf8_lossy(text)));
            all
        };
        let queue = Queue::new(0);
        assert_eq!(drained(&queue), "");
        fill(&queue, 1, "b", true);
        fill(&queue, 0, "a", false);
        fill(&queue, 2, "c", true);
        assert_eq!(drained(&queue), "abc");
        fill(&queue, 3, "d", true);
        fill(&queue, 4, "e", false);
        assert_eq!(drained(&queue), "de");
    }
}
