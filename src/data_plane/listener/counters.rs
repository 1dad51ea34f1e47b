//! What the listeners count about connections; the seven numbers of nginx's stub status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections and requests of this node's proxy listeners. Shared by all workers, added to
/// without a lock, read by the status API.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    accepted: AtomicU64,
    handled: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    reading: AtomicU64,
    writing: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Accepted since the start.
    pub accepted: u64,
    /// Accepted and not refused for want of resources, since the start.
    pub handled: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Open now.
    pub active: u64,
    /// Open and reading a request head.
    pub reading: u64,
    /// Open and answering a request.
    pub writing: u64,
    /// Open and idle between requests.
    pub waiting: u64,
}

impl ConnectionCounters {
    /// A connection was accepted.
    pub fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// An accepted connection is served; counted as open until the guard is dropped.
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.handled.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    /// The first bytes of a request head have come; the guard is dropped when the head is
    /// whole or given up.
    pub fn reading_head(&self) -> InState<'_> {
        InState::enter(&self.reading)
    }

    /// A request has begun; the guard is dropped when its response is sent or given up.
    pub fn serving_request(&self) -> InState<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InState::enter(&self.writing)
    }

    /// All counters. Read one after the other while workers go on, so differences are cut
    /// off at zero instead of wrapping.
    pub fn read(&self) -> Connections {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let closed = load(&self.closed);
        let (reading, writing) = (load(&self.reading), load(&self.writing));
        let handled = load(&self.handled);
        let active = handled.saturating_sub(closed);
        Connections {
            accepted: load(&self.accepted),
            handled,
            requests: load(&self.requests),
            active,
            reading,
            writing,
            waiting: active.saturating_sub(reading).saturating_sub(writing),
        }
    }
}

/// An open connection; dropping it counts it as closed.
#[derive(Debug)]
pub struct OpenConnection(Arc<ConnectionCounters>);

impl OpenConnection {
    pub fn counters(&self) -> &ConnectionCounters {
        &self.0
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection in a state that is counted; dropping it leaves the state, also when the
/// task that holds it panics.
#[derive(Debug)]
pub struct InState<'a>(&'a AtomicU64);

impl<'a> InState<'a> {
    fn enter(state: &'a AtomicU64) -> InState<'a> {
        state.fetch_add(1, Ordering::Relaxed);
        InState(state)
    }
}

impl Drop for InState<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_two_connections() {
        let counters = Arc::new(ConnectionCounters::default());
        (0..3).for_each(|_| counters.accept());
        let idle = counters.open();
        let busy = counters.open();
        drop(counters.reading_head());
        let request = busy.counters().serving_request();
        let expected = Connections {
            accepted: 3,
            handled: 2,
            requests: 1,
            active: 2,
            reading: 0,
            writing: 1,
            waiting: 1,
        };
        assert_eq!(counters.read(), expected);
        drop(request);
        drop((idle, busy));
        let expected = Connections {
            active: 0,
            writing: 0,
            waiting: 0,
            ..expected
        };
        assert_eq!(counters.read(), expected);
    }
}
