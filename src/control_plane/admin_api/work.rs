//! What the node has to do at this moment, where Kong shows the timers of its event loop.

use super::shared::Shared;
use crate::telemetry::counters::Connections;
use serde_json::{Value, json};

/// The requests and writes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Requests being answered; at least the one that asks.
    running: u64,
    /// Requests whose write waits until the one before it has been committed.
    pending: u64,
    /// Connections without a request.
    waiting: u64,
    /// Requests since the start.
    runs: u64,
}

impl Work {
    /// What is under way on the node that answers.
    pub fn now(shared: &Shared) -> Work {
        let connections = shared.status.counters.read();
        Work::of(&connections, shared.api.store.waiting() as u64)
    }

    /// `queued`: writes in the queue, the one under way included.
    fn of(connections: &Connections, queued: u64) -> Work {
        let pending = queued.saturating_sub(1);
        Work {
            running: connections.writing.saturating_sub(pending).max(1),
            pending,
            waiting: connections.waiting,
            runs: connections.requests,
        }
    }

    /// `timers` of `GET /`.
    pub fn summary(self) -> Value {
        json!({"running": self.running, "pending": self.pending})
    }

    /// `GET /timers`. Work has no names, and nobody measures it one by one.
    pub fn document(self) -> Value {
        json!({
            "worker": {"id": 0, "count": 1},
            "stats": {
                "flamegraph": {"running": "", "pending": "", "elapsed_time": ""},
                "sys": {
                    "total": self.running + self.pending + self.waiting,
                    "runs": self.runs,
                    "running": self.running,
                    "pending": self.pending,
                    "waiting": self.waiting,
                },
                "timers": {},
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_for_their_write_or_run() {
        let check = |writing, waiting, queued, expected: (u64, u64, u64)| {
            let connections = Connections {
                writing,
                waiting,
                requests: 100,
                ..Connections::default()
            };
            let work = Work::of(&connections, queued);
            assert_eq!((work.running, work.pending, work.waiting), expected);
            assert_eq!(work.runs, 100);
        };
        check(1, 0, 0, (1, 0, 0));
        check(1, 30, 1, (1, 0, 30));
        check(17, 2, 16, (2, 15, 2));
        // Read one after the other, and by others than requests.
        check(0, 0, 0, (1, 0, 0));
        check(3, 0, 9, (1, 8, 0));
    }
}
