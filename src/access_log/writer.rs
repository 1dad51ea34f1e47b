//! The thread that takes lines out of all lanes and owns the files.
//!
//! It sleeps while nothing is logged. The first line of a pause wakes it; then it waits a moment, so
//! that lines are written many at a time, and takes whatever has come.

use super::destination::{Destination, LogFile};
use super::format::Format;
use super::lane::{AccessLog, Queue};
use crate::telemetry::metrics::{Metrics, table};
use metrics::Counter;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// How long lines wait for others at most.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two tries to write to a stream that takes nothing now.
const RETRY: Duration = Duration::from_millis(10);
/// Between two log events about the same error.
const QUIET: Duration = Duration::from_secs(60);

/// A log that the settings ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The key that asks for it.
    pub setting: &'static str,
    /// What it is called in metrics.
    pub name: &'static str,
    pub destination: Destination,
    pub format: Arc<Format>,
    /// The setting was given: what it says is not the default.
    pub given: bool,
}

/// A log cannot be opened.
#[derive(Debug, Error)]
#[error("{setting}: cannot open {destination}: {source}")]
pub struct OpenError {
    pub setting: &'static str,
    pub destination: Destination,
    pub source: io::Error,
}

/// The access logs of a node. The thread ends with the last clone.
#[derive(Clone)]
pub struct AccessLogs(Arc<Owner>);

struct Owner {
    logs: Vec<(&'static str, AccessLog)>,
    shared: Arc<Shared>,
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl AccessLogs {
    /// Opens the files and starts the thread. Where the file of a log that is only a default
    /// cannot be opened, or the file system is read-only, the node warns and writes no such log.
    ///
    /// # Errors
    /// A file cannot be opened, or there is no thread.
    pub fn open(
        wanted: &[Wanted],
        hostname: &str,
        metrics: &Metrics,
    ) -> Result<AccessLogs, OpenError> {
        let hostname: Arc<str> = Arc::from(hostname);
        let shared = Arc::new(Shared::default());
        let (mut logs, mut files, mut counted) = (Vec::new(), Vec::new(), Vec::new());
        for log in wanted {
            let known = files
                .iter()
                .position(|file: &Sink| file.destination == log.destination);
            let sink = match known {
                Some(sink) => sink,
                None => match LogFile::open(&log.destination) {
                    Ok(file) => {
                        files.push(Sink::new(log.destination.clone(), file));
                        files.len() - 1
                    }
                    Err(source) if may_go_without(log, &source) => {
                        tracing::warn!(
                            setting = log.setting,
                            path = %log.destination,
                            error = %source,
                            "there is no access log: its file cannot be opened"
                        );
                        continue;
                    }
                    Err(source) => return Err(open_error(log, source)),
                },
            };
            let counter = |reason: &'static str| {
                let counter =
                    metrics.counter(&table::ACCESS_LOG_LOST, [log.name.into(), reason.into()]);
                counter.increment(0);
                counter
            };
            let open = AccessLog {
                format: Arc::clone(&log.format),
                shared: Arc::clone(&shared),
                number: counted.len(),
                hostname: Arc::clone(&hostname),
            };
            logs.push((log.setting, open));
            counted.push(Counted {
                setting: log.setting,
                sink,
                no_room: counter("full"),
                not_written: counter("write"),
            });
        }
        let done = match logs.first() {
            None => None,
            Some(_) => {
                let (tell, done) = oneshot::channel();
                let mut writer = Writer {
                    shared: Arc::clone(&shared),
                    sinks: files,
                    counted,
                    said: None,
                };
                let thread = std::thread::Builder::new().name("access-log".to_owned());
                let spawned = thread.spawn(move || {
                    writer.run();
                    let _ = tell.send(());
                });
                match (spawned, wanted.first()) {
                    (Ok(handle), _) => {
                        let _ = shared.thread.set(handle.thread().clone());
                        Some(done)
                    }
                    (Err(source), Some(log)) => return Err(open_error(log, source)),
                    (Err(_), None) => None,
                }
            }
        };
        Ok(AccessLogs(Arc::new(Owner {
            logs,
            shared,
            done: Mutex::new(done),
        })))
    }

    /// The log of this setting, unless it is off.
    pub fn of(&self, setting: &str) -> Option<&AccessLog> {
        let found = self.0.logs.iter().find(|(known, _)| *known == setting);
        found.map(|(_, log)| log)
    }

    /// Opens the files again, once the lines so far are written: theirs may have been renamed.
    pub fn reopen(&self) {
        self.0.shared.reopen.store(true, Ordering::SeqCst);
        self.0.shared.wake();
    }

    /// Writes what there is and ends the thread; says whether it did within this time.
    pub async fn finish(&self, within: Duration) -> bool {
        self.0.shared.stop();
        let done = lock(&self.0.done).take();
        match done {
            Some(done) => tokio::time::timeout(within, done).await.is_ok(),
            None => true,
        }
    }
}

fn may_go_without(log: &Wanted, error: &io::Error) -> bool {
    !log.given || error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

fn open_error(log: &Wanted, source: io::Error) -> OpenError {
    OpenError {
        setting: log.setting,
        destination: log.destination.clone(),
        source,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What lanes and the thread share.
#[derive(Default)]
pub(super) struct Shared {
    /// New lanes; the thread takes them over.
    queues: Mutex<Vec<Arc<Queue>>>,
    /// Lines have come since the lanes were looked at.
    waiting: AtomicBool,
    /// A lane is full, so the thread writes at once instead of waiting for more lines.
    urgent: AtomicBool,
    reopen: AtomicBool,
    stopping: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Shared {
    pub fn add(&self, queue: Arc<Queue>) {
        lock(&self.queues).push(queue);
    }

    /// Lines are in a lane. Wakes the thread when nobody has done so yet.
    pub fn lines_wait(&self, urgent: bool) {
        let first =
            !self.waiting.load(Ordering::SeqCst) && !self.waiting.swap(true, Ordering::SeqCst);
        let first_urgent = urgent && !self.urgent.swap(true, Ordering::SeqCst);
        if first || first_urgent {
            self.wake();
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn is_called(&self) -> bool {
        [&self.urgent, &self.reopen, &self.stopping]
            .iter()
            .any(|flag| flag.load(Ordering::SeqCst))
    }

    /// Sleeps until there are lines and they have waited long enough, or until it is called.
    fn wait(&self) {
        // What happened before the thread could be woken is seen after this pause.
        while !self.waiting.load(Ordering::SeqCst) && !self.is_called() {
            match self.thread.get() {
                Some(_) => std::thread::park(),
                None => std::thread::park_timeout(PAUSE),
            }
        }
        let until = Instant::now() + PAUSE;
        while !self.is_called() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

/// A log, as far as lost lines are concerned.
struct Counted {
    setting: &'static str,
    sink: usize,
    no_room: Counter,
    not_written: Counter,
}

/// An open file.
struct Sink {
    destination: Destination,
    /// `None` when nobody reads it any more.
    file: Option<LogFile>,
    /// The last line in it has no end: the disk was full in the middle of it.
    torn: bool,
    /// When an error of it was last logged.
    said: Option<Instant>,
}

struct Writer {
    shared: Arc<Shared>,
    sinks: Vec<Sink>,
    counted: Vec<Counted>,
    /// When dropped lines were last logged.
    said: Option<Instant>,
}

impl Writer {
    fn run(&mut self) {
        let mut queues: Vec<Arc<Queue>> = Vec::new();
        loop {
            self.shared.wait();
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            // The flag is cleared before the lanes are read: a line that comes meanwhile sets it again.
            self.shared.waiting.store(false, Ordering::SeqCst);
            self.shared.urgent.store(false, Ordering::SeqCst);
            let reopen = self.shared.reopen.swap(false, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            queues.append(&mut lock(&self.shared.queues));
            // No worker writes into this lane any more.
            let ended: Vec<bool> = queues
                .iter()
                .map(|queue| Arc::strong_count(queue) == 1)
                .collect();
            for queue in &queues {
                self.drain(queue, stopping);
            }
            let mut ended = ended.into_iter();
            queues.retain(|_| !ended.next().unwrap_or(false));
            if reopen {
                self.sinks.iter_mut().for_each(Sink::reopen);
            }
            if stopping {
                return;
            }
        }
    }

    fn drain(&mut self, queue: &Queue, stopping: bool) {
        let Some(log) = self.counted.get(queue.log) else {
            return;
        };
        let Some(sink) = self.sinks.get_mut(log.sink) else {
            return;
        };
        let mut not_written = 0;
        let no_room = queue.drain(|text| not_written += sink.write(text, stopping));
        log.not_written.increment(not_written);
        log.no_room.increment(no_room);
        if no_room > 0 && is_time(&mut self.said) {
            tracing::warn!(
                setting = log.setting,
                lines = no_room,
                "lines of an access log are dropped: they come faster than they can be written"
            );
        }
    }
}

impl Sink {
    fn new(destination: Destination, file: LogFile) -> Sink {
        Sink {
            destination,
            file: Some(file),
            torn: false,
            said: None,
        }
    }

    /// Returns how many lines could not be written.
    fn write(&mut self, text: &[u8], stopping: bool) -> u64 {
        let Some(file) = &self.file else {
            return lines(text);
        };
        let mut file = file;
        if self.torn {
            self.torn = file.write(b"\n").is_err();
        }
        let mut rest = text;
        while !rest.is_empty() {
            let error = match file.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock if !stopping => {
                    std::thread::sleep(RETRY);
                    continue;
                }
                _ => {}
            }
            let written = text.len() - rest.len();
            self.torn |= written > 0 && text.get(written - 1) != Some(&b'\n');
            let closed = error.kind() == io::ErrorKind::BrokenPipe;
            if is_time(&mut self.said) || closed {
                tracing::error!(path = %self.destination, %error, "an access log cannot be written");
            }
            if closed {
                // Nobody will read it again.
                self.file = None;
            }
            return lines(rest);
        }
        0
    }

    /// Opens its file again; the one it has stays where that fails.
    fn reopen(&mut self) {
        match LogFile::open(&self.destination) {
            Ok(file) => {
                (self.file, self.torn) = (Some(file), false);
                tracing::info!(path = %self.destination, "access log opened again");
            }
            Err(error) => tracing::error!(
                path = %self.destination,
                %error,
                "an access log cannot be opened again: its old file is written on"
            ),
        }
    }
}

/// Whether an event may be logged again.
fn is_time(said: &mut Option<Instant>) -> bool {
    let quiet = said.is_some_and(|at| at.elapsed() < QUIET);
    if !quiet {
        *said = Some(Instant::now());
    }
    !quiet
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}
