//! What the connections of one worker share. One thread, no locks.

use super::date::DateCache;
use super::spool::{BodyFiles, SpoolLimits};
use crate::data_plane::exchange::{Buffers, Deadlines, Pipeline, Upstreams};
use crate::http::parse::{Limits, RequestParser};
use crate::http::{HeaderEdits, RequestHead, ResponseHead};
use crate::telemetry::counters::ConnectionCounters;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Limits and timeouts of client connections; the defaults are Kong's (nginx's).
#[derive(Clone, Debug)]
pub struct DriverSettings {
    /// Request heads.
    pub head: Limits,
    /// For a whole request head, from its first byte; also for the first byte of a
    /// connection and for the TLS handshake.
    pub header_timeout: Duration,
    /// Between two reads of a request body.
    pub body_timeout: Duration,
    /// For the whole access phase, where it waits.
    pub access_timeout: Duration,
    /// Between two writes of a response.
    pub send_timeout: Duration,
    /// Between two requests.
    pub keep_alive_timeout: Duration,
    /// Requests on one connection.
    pub keep_alive_requests: u32,
    /// Payload of a request body in bytes; 0 is no limit.
    pub max_body: u64,
    /// Memory and file of a request body that is buffered and larger than one read buffer.
    pub request_spool: SpoolLimits,
    /// Memory and file of a response that its client reads slowly.
    pub response_spool: SpoolLimits,
}

impl Default for DriverSettings {
    fn default() -> DriverSettings {
        DriverSettings {
            head: Limits::default(),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            access_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(75),
            keep_alive_requests: 10_000,
            max_body: 0,
            request_spool: SpoolLimits {
                memory: 64 * 1024,
                file: u64::MAX,
            },
            response_spool: SpoolLimits {
                memory: 32 * 1024,
                file: 1 << 30,
            },
        }
    }
}

/// How long a worker goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Running,
    /// Requests in flight are finished, idle connections are closed.
    Draining,
    /// Every connection is dropped where it stands.
    Stopped,
}

/// The parts of a request's handling that are reused by the worker's next request.
pub struct RequestScratch<P: Pipeline> {
    pub exchange: P::Exchange,
    pub request: RequestHead,
    pub request_parser: RequestParser,
    pub response: ResponseHead,
    pub edits: HeaderEdits,
    /// The head that is being written to either side.
    pub out: Vec<u8>,
}

/// Spare scratches that a worker keeps.
const MAX_SPARE: usize = 256;
/// A head buffer that grew beyond this, in bytes, is not kept.
const MAX_KEPT_OUT: usize = 64 * 1024;

pub struct Worker<P: Pipeline, U> {
    pub pipeline: P,
    pub upstreams: U,
    pub settings: DriverSettings,
    pub deadlines: Rc<Deadlines>,
    pub buffers: Buffers,
    pub counters: Arc<ConnectionCounters>,
    pub files: Arc<BodyFiles>,
    pub dates: DateCache,
    phase: Cell<Phase>,
    spare: RefCell<Vec<Box<RequestScratch<P>>>>,
}

impl<P: Pipeline, U: Upstreams> Worker<P, U> {
    pub fn new(
        pipeline: P,
        upstreams: U,
        settings: DriverSettings,
        counters: Arc<ConnectionCounters>,
        files: Arc<BodyFiles>,
    ) -> Worker<P, U> {
        Worker {
            pipeline,
            upstreams,
            settings,
            deadlines: Rc::default(),
            buffers: Buffers::default(),
            counters,
            files,
            dates: DateCache::default(),
            phase: Cell::default(),
            spare: RefCell::default(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Lets every connection see the new phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.deadlines.wake_all();
    }

    pub fn scratch(&self) -> Box<RequestScratch<P>> {
        let spare = self.spare.borrow_mut().pop();
        let mut scratch = spare.unwrap_or_else(|| {
            Box::new(RequestScratch {
                exchange: P::Exchange::default(),
                request: RequestHead::default(),
                request_parser: RequestParser::new(self.settings.head),
                response: ResponseHead::default(),
                edits: HeaderEdits::default(),
                out: Vec::with_capacity(2048),
            })
        });
        scratch.request_parser.clear();
        scratch
    }

    pub fn recycle(&self, scratch: Box<RequestScratch<P>>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE && scratch.out.capacity() <= MAX_KEPT_OUT {
            spare.push(scratch);
        }
    }
}
