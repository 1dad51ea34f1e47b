//! Memory that was needed for a moment goes back to the system.
//!
//! A whole configuration is decoded, compiled and written with several times the memory that it keeps.
//! An allocator holds on to what is freed, and gives it back little by little while more is allocated
//! and freed: a process with nothing to do would keep all of it.

use std::sync::OnceLock;

static ALLOCATOR: OnceLock<fn()> = OnceLock::new();

/// Says how the allocator of this process gives back what the calling thread does not use. A library
/// does not choose the allocator: the binary does, and calls this once.
pub fn set_give_back(how: fn()) {
    // A second call changes nothing.
    let _ = ALLOCATOR.set(how);
}

/// Gives back what the calling thread does not use; takes milliseconds. Not for the hot path.
pub fn give_back() {
    if let Some(how) = ALLOCATOR.get() {
        how();
    }
    // LMDB and SQLite are C, and have the allocator of the C library.
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
