//! The log level of the running process, which the Admin API may change.

use super::LogLevel;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

type Apply = dyn Fn(LogLevel) + Send + Sync;

/// A handle on the level; clones change the same one.
#[derive(Clone)]
pub struct LogControl {
    level: Arc<Mutex<LogLevel>>,
    apply: Arc<Apply>,
}

impl LogControl {
    /// `apply` makes a level effective; it is called for changes, not for the first level.
    pub fn new(level: LogLevel, apply: impl Fn(LogLevel) + Send + Sync + 'static) -> LogControl {
        LogControl {
            level: Arc::new(Mutex::new(level)),
            apply: Arc::new(apply),
        }
    }

    pub fn level(&self) -> LogLevel {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the level; false when it already was this one.
    pub fn set(&self, level: LogLevel) -> bool {
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == level {
            return false;
        }
        *current = level;
        (self.apply)(level);
        true
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.level()).finish()
    }
}
