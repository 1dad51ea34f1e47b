//! Writes as metrics.

use super::{StoreError, Write};
use crate::model::{Kind, Op};
use crate::telemetry::metrics::table::{
    CONFIG_WRITE_DURATION, CONFIG_WRITES, CONFIG_WRITES_FAILED,
};
use crate::telemetry::metrics::{Histogram, Metrics};
use metrics::Counter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What an operation is in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Create,
    Upsert,
    Update,
    Delete,
}

impl Operation {
    const ALL: [(Operation, &'static str); 4] = [
        (Operation::Create, "create"),
        (Operation::Upsert, "upsert"),
        (Operation::Update, "update"),
        (Operation::Delete, "delete"),
    ];
}

/// What was asked for, apart from deletions: how many those are only the commit tells.
#[derive(Default)]
pub(super) struct Asked(Vec<(Kind, Operation)>);

impl Asked {
    pub fn of(writes: &[Write]) -> Asked {
        let operation = |write: &Write| match write {
            Write::Insert { kind, .. } => Some((*kind, Operation::Create)),
            Write::Upsert { kind, .. } => Some((*kind, Operation::Upsert)),
            Write::Update { kind, .. } => Some((*kind, Operation::Update)),
            Write::Delete { .. } => None,
        };
        Asked(writes.iter().filter_map(operation).collect())
    }

    pub fn add(&mut self, more: Asked) {
        self.0.extend(more.0);
    }

    /// Of a whole document, or of a rollback: what differed.
    pub fn of_declared(ops: &[Op]) -> Asked {
        let upsert = |op: &Op| match op {
            Op::Put { kind, .. } => Some((*kind, Operation::Upsert)),
            Op::Delete { .. } => None,
        };
        Asked(ops.iter().filter_map(upsert).collect())
    }
}

/// The handles of all series: as many as there are kinds and operations.
pub(super) struct WriteMetrics {
    written: BTreeMap<(Kind, Operation), Counter>,
    duration: Arc<Histogram>,
    refused: Counter,
    busy: Counter,
    database: Counter,
}

impl WriteMetrics {
    pub fn new(metrics: &Metrics) -> WriteMetrics {
        let series = Kind::ALL.into_iter().flat_map(|kind| {
            Operation::ALL.map(|(operation, name)| {
                let values = [kind.as_str().into(), name.into()];
                ((kind, operation), metrics.counter(&CONFIG_WRITES, values))
            })
        });
        let failed = |reason: &'static str| metrics.counter(&CONFIG_WRITES_FAILED, [reason.into()]);
        WriteMetrics {
            written: series.collect(),
            duration: metrics.histogram(&CONFIG_WRITE_DURATION, []),
            refused: failed("refused"),
            busy: failed("busy"),
            database: failed("database"),
        }
    }

    /// A commit, and how long it took from taking the write on.
    pub fn committed(&self, asked: &Asked, ops: &[Op], took: Duration) {
        // There was nothing to do.
        if ops.is_empty() {
            return;
        }
        for key in &asked.0 {
            self.count(*key);
        }
        self.deleted(ops);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.duration.record_thousandths(us);
    }

    /// The deletions among the operations of a revision.
    pub fn deleted(&self, ops: &[Op]) {
        for op in ops {
            if let Op::Delete { kind, .. } = op {
                self.count((*kind, Operation::Delete));
            }
        }
    }

    fn count(&self, key: (Kind, Operation)) {
        if let Some(counter) = self.written.get(&key) {
            counter.increment(1);
        }
    }

    pub fn failed(&self, err: &StoreError) {
        let counter = match err {
            StoreError::Busy => &self.busy,
            StoreError::Unavailable(_)
            | StoreError::Unknown(_)
            | StoreError::Database(_)
            | StoreError::Unreadable(_) => &self.database,
            _ => &self.refused,
        };
        counter.increment(1);
    }
}
