//! The buffer of one process, which outlives the actor that works on it.

use super::buffer::{Buffer, BufferOptions, Input, Output, Totals};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use uuid::Uuid;

/// A buffer that survives a panic of its actor: the next life goes on with the same records
/// and the same numbers. Only the actor works on it; others read its totals.
#[derive(Clone)]
pub struct SharedBuffer(Arc<Mutex<Buffer>>);

impl SharedBuffer {
    /// `incarnation` must be new with every start of the process.
    pub fn new(options: BufferOptions, node_id: Uuid, incarnation: Uuid) -> SharedBuffer {
        let buffer = Buffer::new(options, node_id, incarnation);
        SharedBuffer(Arc::new(Mutex::new(buffer)))
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals()
    }

    pub(super) fn step(&self, input: Input) -> Vec<Output> {
        self.lock().step(input, Instant::now())
    }

    /// For many steps at once; recording must not call anything else of this type meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
