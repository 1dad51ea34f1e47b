//! Bodies that have to wait: in memory up to a bound, beyond it in a file.
//!
//! A [`Spool`] is filled at one end and read at the other, by one task. Files are written and
//! read on the runtime's blocking threads: a slow disk holds up the one body, not the worker.
//! They have no name from the moment they are open, so nothing is left of them when the process
//! dies.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};

/// What is read from a file at once, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// The files of all bodies of a node: where they are, and how much they may take together.
#[derive(Debug)]
pub struct BodyFiles {
    /// The first one in which a file can be made is used.
    directories: Vec<PathBuf>,
    /// Bytes; 0 is no limit.
    limit: u64,
    bytes: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    since: Instant,
    /// The second, counted from `since`, in which the last failure was logged.
    logged: AtomicU64,
}

/// What the files of a node amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BodyFilesUsage {
    /// In files now.
    pub bytes: u64,
    /// Files since the start.
    pub opened: u64,
    /// Bodies that found no room or no disk, since the start.
    pub refused: u64,
}

impl BodyFiles {
    /// `limit` is in bytes; 0 is none.
    pub fn new(directories: Vec<PathBuf>, limit: u64) -> BodyFiles {
        BodyFiles {
            directories,
            limit,
            bytes: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            since: Instant::now(),
            logged: AtomicU64::new(u64::MAX),
        }
    }

    pub fn usage(&self) -> BodyFilesUsage {
        BodyFilesUsage {
            bytes: self.bytes.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut first = None;
        for directory in &self.directories {
            match tempfile::tempfile_in(directory) {
                Ok(file) => {
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok(file);
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn reserve(&self, count: u64) -> Result<(), SpoolError> {
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        if self.limit > 0 && before.saturating_add(count) > self.limit {
            self.release(count);
            return Err(SpoolError::NoRoom);
        }
        Ok(())
    }

    fn release(&self, count: u64) {
        self.bytes.fetch_sub(count, Ordering::Relaxed);
    }

    /// Counts and logs a failure; at most one line a second, as a full disk fails every body.
    fn failed(&self, error: &SpoolError) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let now = self.since.elapsed().as_secs();
        if self.logged.swap(now, Ordering::Relaxed) != now {
            let directories = &self.directories;
            tracing::error!(%error, ?directories, "a body cannot be kept in a file");
        }
    }
}

impl Default for BodyFiles {
    /// In the system's directory for temporary files, without a limit.
    fn default() -> BodyFiles {
        BodyFiles::new(vec![std::env::temp_dir()], 0)
    }
}

/// Why a body cannot be kept.
#[derive(Debug, Error)]
pub enum SpoolError {
    #[error("all files together would be larger than body_files_max_size")]
    NoRoom,
    #[error("no space is left: {0}")]
    DiskFull(io::Error),
    #[error("the disk fails: {0}")]
    Disk(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> SpoolError {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => SpoolError::DiskFull(error),
            _ => SpoolError::Disk(error),
        }
    }
}

/// How much of one body is kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// In memory, before the file is used.
    pub memory: usize,
    /// In the file.
    pub file: u64,
}

/// What becomes of bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They stay: [`Spool::rewind`] begins anew. Nothing is added once reading has begun.
    All,
    /// They are gone; bytes are added and read at the same time.
    Unread,
}

/// The bytes that were written, and the file.
type Written = (Vec<u8>, io::Result<Arc<File>>);

/// One body. In the order of its bytes: what was read back of the file, the rest of the file,
/// what is being written to it, and the end in memory.
#[derive(Debug)]
pub struct Spool {
    files: Arc<BodyFiles>,
    limits: SpoolLimits,
    keep: Keep,
    file: Option<Arc<File>>,
    /// Bytes counted in `files`.
    reserved: u64,
    /// Bytes in the file, and those of them that were read back.
    stored: u64,
    read_back: u64,
    /// Read back and not used yet.
    chunk: Vec<u8>,
    chunk_at: usize,
    /// Being written after those that are stored.
    in_flight: usize,
    tail: Vec<u8>,
    tail_at: usize,
    /// A buffer for the next tail.
    spare: Vec<u8>,
    writing: Option<JoinHandle<Written>>,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Bytes are lost: a blocking task has not come back.
    broken: bool,
}

impl Spool {
    pub fn new(files: Arc<BodyFiles>, limits: SpoolLimits, keep: Keep) -> Spool {
        Spool {
            files,
            limits,
            keep,
            file: None,
            reserved: 0,
            stored: 0,
            read_back: 0,
            chunk: Vec::new(),
            chunk_at: 0,
            in_flight: 0,
            tail: Vec::new(),
            tail_at: 0,
            spare: Vec::new(),
            writing: None,
            reading: None,
            broken: false,
        }
    }

    /// Bytes that can still be read.
    pub fn unread(&self) -> u64 {
        let in_memory = self.chunk.len() - self.chunk_at + self.tail.len() - self.tail_at;
        self.stored - self.read_back + (in_memory + self.in_flight) as u64
    }

    /// The bytes in memory are fewer than they may be.
    pub fn has_room(&self) -> bool {
        self.tail.len() < self.limits.memory
    }

    /// Adds bytes at the end; they stay in memory until [`poll_store`](Spool::poll_store).
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// From now on nothing more goes to the file.
    pub fn close_file(&mut self) {
        self.limits.file = 0;
    }

    /// Moves the bytes in memory to the file if they are as many as memory may have; ready when
    /// nothing is being written.
    pub fn poll_store(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpoolError>> {
        loop {
            ready!(self.poll_written(cx))?;
            let after = self.stored + self.tail.len() as u64;
            if self.has_room() || self.tail.is_empty() || after > self.limits.file {
                return Poll::Ready(Ok(()));
            }
            let more = after.saturating_sub(self.reserved);
            if let Err(error) = self.files.reserve(more) {
                self.files.failed(&error);
                return Poll::Ready(Err(error));
            }
            self.reserved += more;
            let bytes = std::mem::replace(&mut self.tail, std::mem::take(&mut self.spare));
            self.in_flight = bytes.len();
            let (files, file) = (Arc::clone(&self.files), self.file.clone());
            let offset = self.stored;
            self.writing = Some(spawn_blocking(move || {
                let file = match file {
                    Some(file) => Ok(file),
                    None => files.open().map(Arc::new),
                };
                let written = file.and_then(|file| {
                    file.write_all_at(&bytes, offset)?;
                    Ok(file)
                });
                (bytes, written)
            }));
        }
    }

    /// Ready when nothing is being written.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpoolError>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let written = ready!(Pin::new(writing).poll(cx));
        self.writing = None;
        let error = match written {
            Ok((mut bytes, Ok(file))) => {
                self.file = Some(file);
                self.stored += self.in_flight as u64;
                self.in_flight = 0;
                bytes.clear();
                self.spare = bytes;
                return Poll::Ready(Ok(()));
            }
            Ok((mut bytes, Err(error))) => {
                // They stay in memory, in front of those that came later.
                bytes.append(&mut self.tail);
                self.tail = bytes;
                self.in_flight = 0;
                error
            }
            Err(error) => {
                self.broken = true;
                io::Error::other(error)
            }
        };
        Poll::Ready(Err(self.fail(error)))
    }

    fn fail(&self, error: io::Error) -> SpoolError {
        let error = SpoolError::from(error);
        self.files.failed(&error);
        error
    }

    /// The bytes that can be read now.
    pub fn chunk(&self) -> &[u8] {
        if self.chunk_at < self.chunk.len() {
            return &self.chunk[self.chunk_at..];
        }
        match self.keep {
            Keep::All if self.read_back == self.stored && self.in_flight == 0 => {
                &self.tail[self.tail_at..]
            }
            _ => &[],
        }
    }

    /// Ready when [`chunk`](Spool::chunk) has bytes, or there are none to be read.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpoolError>> {
        loop {
            if self.broken {
                let lost = io::Error::other("a part of the body is lost");
                return Poll::Ready(Err(SpoolError::Disk(lost)));
            }
            if !self.chunk().is_empty() || self.unread() == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.read_back == self.stored {
                ready!(self.poll_written(cx))?;
                if self.read_back == self.stored {
                    // Everything before is used up: what is in memory comes next, and the file
                    // can begin anew.
                    std::mem::swap(&mut self.chunk, &mut self.tail);
                    self.tail.clear();
                    self.chunk_at = 0;
                    (self.stored, self.read_back) = (0, 0);
                }
                continue;
            }
            ready!(self.poll_read_back(cx))?;
        }
    }

    fn poll_read_back(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpoolError>> {
        let Some(file) = &self.file else {
            return Poll::Ready(Err(self.fail(io::ErrorKind::NotFound.into())));
        };
        let reading = self.reading.get_or_insert_with(|| {
            let left = usize::try_from(self.stored - self.read_back).unwrap_or(usize::MAX);
            let (file, offset) = (Arc::clone(file), self.read_back);
            let mut bytes = std::mem::take(&mut self.chunk);
            self.chunk_at = 0;
            spawn_blocking(move || {
                bytes.resize(left.min(READ_SIZE), 0);
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes)
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        match read.map_err(io::Error::other).flatten() {
            Ok(bytes) => {
                self.read_back += bytes.len() as u64;
                self.chunk = bytes;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.fail(error))),
        }
    }

    /// Bytes of the current chunk are used.
    pub fn consume(&mut self, count: usize) {
        match self.chunk_at < self.chunk.len() {
            true => self.chunk_at += count,
            false => self.tail_at += count,
        }
    }

    /// Reading begins anew.
    pub fn rewind(&mut self) {
        debug_assert!(self.keep == Keep::All);
        self.reading = None;
        self.chunk.clear();
        (self.chunk_at, self.tail_at, self.read_back) = (0, 0, 0);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.files.release(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn spool(files: &Arc<BodyFiles>, memory: usize, file: u64, keep: Keep) -> Spool {
        Spool::new(Arc::clone(files), SpoolLimits { memory, file }, keep)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    async fn store(spool: &mut Spool) -> Result<(), SpoolError> {
        poll_fn(|cx| spool.poll_store(cx)).await
    }

    /// Reads at most `most` bytes.
    async fn take(spool: &mut Spool, most: usize) -> Vec<u8> {
        poll_fn(|cx| spool.poll_chunk(cx)).await.unwrap();
        let chunk = spool.chunk();
        let taken = chunk[..chunk.len().min(most)].to_vec();
        spool.consume(taken.len());
        taken
    }

    async fn rest(spool: &mut Spool) -> Vec<u8> {
        let mut all = Vec::new();
        while spool.unread() > 0 {
            all.extend(take(spool, usize::MAX).await);
        }
        all
    }

    #[tokio::test]
    async fn a_kept_body_is_read_as_often_as_needed() {
        for (length, push) in [(0, 1), (10, 3), (1000, 100), (1023, 7), (300_000, 65_536)] {
            let files = Arc::new(BodyFiles::default());
            let mut spool = spool(&files, 1024, u64::MAX, Keep::All);
            let body = bytes(length);
            for piece in body.chunks(push) {
                spool.push(piece);
                store(&mut spool).await.unwrap();
            }
            let opened = u64::from(length >= 1024);
            assert_eq!(files.usage().opened, opened, "{length}");
            for _ in 0..3 {
                assert_eq!(spool.unread(), length as u64);
                assert_eq!(rest(&mut spool).await, body, "{length}");
                spool.rewind();
            }
            // Half of it, then anew.
            take(&mut spool, length / 2).await;
            spool.rewind();
            assert_eq!(rest(&mut spool).await, body, "{length}");
            assert!(files.usage().bytes <= length as u64);
            drop(spool);
            assert_eq!(files.usage().bytes, 0, "{length}");
        }
    }

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in_whoever_is_faster() {
        // Pushed and taken in turn, so many bytes each.
        for (push, taken) in [
            (100, 100),
            (3000, 100),
            (100, 3000),
            (5000, 4999),
            (777, 1300),
        ] {
            let files = Arc::new(BodyFiles::default());
            let mut spool = spool(&files, 1024, u64::MAX, Keep::Unread);
            let body = bytes(200_000);
            let mut got = Vec::new();
            for piece in body.chunks(push) {
                spool.push(piece);
                // Not waited for: it goes on while bytes are taken.
                poll_fn(|cx| {
                    let _ = spool.poll_store(cx);
                    Poll::Ready(())
                })
                .await;
                let mut left = taken;
                while left > 0 && spool.unread() > 0 {
                    let piece = take(&mut spool, left).await;
                    left -= piece.len();
                    got.extend(piece);
                }
            }
            got.extend(rest(&mut spool).await);
            assert_eq!(got, body, "{push} and {taken}");
        }
    }

    #[tokio::test]
    async fn the_files_of_all_bodies_have_a_limit() {
        let files = Arc::new(BodyFiles::new(vec![std::env::temp_dir()], 3000));
        let mut first = spool(&files, 1000, u64::MAX, Keep::All);
        let mut second = spool(&files, 1000, u64::MAX, Keep::All);
        first.push(&bytes(2000));
        store(&mut first).await.unwrap();
        second.push(&bytes(2000));
        let error = store(&mut second).await.unwrap_err();
        assert!(matches!(error, SpoolError::NoRoom));
        let usage = files.usage();
        assert_eq!((usage.bytes, usage.opened, usage.refused), (2000, 1, 1));
        drop(first);
        store(&mut second).await.unwrap();
        assert_eq!(rest(&mut second).await, bytes(2000));
    }

    #[tokio::test]
    async fn a_body_that_may_have_no_file_fills_its_memory() {
        let files = Arc::new(BodyFiles::default());
        let mut spool = spool(&files, 1000, 1500, Keep::Unread);
        spool.push(&bytes(1500));
        store(&mut spool).await.unwrap();
        assert!(spool.has_room());
        spool.push(&bytes(1000));
        store(&mut spool).await.unwrap();
        assert!(!spool.has_room(), "the file would be too large");
        assert_eq!(take(&mut spool, usize::MAX).await, bytes(1500));
        assert_eq!(take(&mut spool, usize::MAX).await, bytes(1000));
        assert!(spool.has_room());
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_an_error_unless_there_is_another() {
        let missing = PathBuf::from("/nonexistent/for/langur");
        let files = Arc::new(BodyFiles::new(vec![missing.clone()], 0));
        let mut lost = spool(&files, 10, u64::MAX, Keep::All);
        lost.push(&bytes(20));
        let error = store(&mut lost).await.unwrap_err();
        assert!(matches!(error, SpoolError::Disk(_)), "{error}");
        let files = Arc::new(BodyFiles::new(vec![missing, std::env::temp_dir()], 0));
        let mut kept = spool(&files, 10, u64::MAX, Keep::All);
        kept.push(&bytes(20));
        store(&mut kept).await.unwrap();
        assert_eq!(rest(&mut kept).await, bytes(20));
        // What could not be written is not lost: who reads it now still gets it.
        lost.keep = Keep::Unread;
        lost.close_file();
        lost.push(b"more");
        assert_eq!(
            rest(&mut lost).await,
            [bytes(20), b"more".to_vec()].concat()
        );
    }
}
