//! The buffer of one process, which outlives the actor that works on it.

use super::buffer::{Buffer, BufferOptions, Input, Output, Totals};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use uuid::Uuid;

/// A buffer that survives a panic of its actor: the next life goes on with the same records
/// and the same numbers. Only the actor works on it; others read its totals.
#[derive(Clone)]
pub struct SharedBuffer {
    buffer: Arc<Mutex<Buffer>>,
    /// Why there is no link.
    trouble: Arc<Mutex<Option<String>>>,
}

impl SharedBuffer {
    /// `incarnation` must be new with every start of the process.
    pub fn new(options: BufferOptions, node_id: Uuid, incarnation: Uuid) -> SharedBuffer {
        let buffer = Buffer::new(options, node_id, incarnation);
        SharedBuffer {
            buffer: Arc::new(Mutex::new(buffer)),
            trouble: Arc::default(),
        }
    }

    /// Why nothing is delivered now; `None` while there is a link, and before the first attempt.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals()
    }

    pub(super) fn step(&self, input: Input) -> Vec<Output> {
        self.lock().step(input, Instant::now())
    }

    /// For many steps at once; recording must not call anything else of this type meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
