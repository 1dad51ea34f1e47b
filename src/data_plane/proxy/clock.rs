//! Time as the proxy reads it; tests bring their own.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the time.
pub trait Clock: 'static {
    /// Microseconds of a clock that never goes back.
    fn monotonic_us(&self) -> u64;
    /// Milliseconds since the epoch.
    fn epoch_ms(&self) -> u64;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn monotonic_us(&self) -> u64 {
        let elapsed = self.start.elapsed();
        elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }

    fn epoch_ms(&self) -> u64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        elapsed.map_or(0, |elapsed| {
            elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis())
        })
    }
}
