//! The log level of the running process, which may be changed without a restart.

use super::LogLevel;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Apply = dyn Fn(LogLevel) + Send + Sync;

/// A handle on the level; clones change the same one.
#[derive(Clone)]
pub struct LogControl {
    state: Arc<Mutex<State>>,
    apply: Arc<Apply>,
}

#[derive(Clone, Copy)]
struct State {
    level: LogLevel,
    /// What the settings say: where a change for a while ends.
    configured: LogLevel,
    changes: u64,
}

/// One change of the level, which can be ended unless another one came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange(u64);

impl LogControl {
    /// `apply` makes a level effective; it is called for changes, not for the first level.
    pub fn new(level: LogLevel, apply: impl Fn(LogLevel) + Send + Sync + 'static) -> LogControl {
        LogControl {
            state: Arc::new(Mutex::new(State {
                level,
                configured: level,
                changes: 0,
            })),
            apply: Arc::new(apply),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn level(&self) -> LogLevel {
        self.state().level
    }

    /// Changes the level; `None` when it already was this one.
    pub fn set(&self, level: LogLevel) -> Option<LevelChange> {
        let mut state = self.state();
        if state.level == level {
            return None;
        }
        self.put(&mut state, level);
        Some(LevelChange(state.changes))
    }

    /// Back to the level of the settings; false when another change came after this one.
    pub fn end(&self, change: LevelChange) -> bool {
        let mut state = self.state();
        if state.changes != change.0 {
            return false;
        }
        let configured = state.configured;
        self.put(&mut state, configured);
        true
    }

    /// The settings were read again: their level counts from now on.
    pub fn configure(&self, level: LogLevel) {
        let mut state = self.state();
        state.configured = level;
        self.put(&mut state, level);
    }

    fn put(&self, state: &mut State, level: LogLevel) {
        state.changes += 1;
        if state.level != level {
            state.level = level;
            (self.apply)(level);
        }
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.level()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_applied_once_and_ends_once() {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&applied);
        let control = LogControl::new(LogLevel::Notice, move |level| {
            seen.lock().expect("the list").push(level);
        });
        assert_eq!(control.set(LogLevel::Notice), None);
        let first = control.clone().set(LogLevel::Debug).expect("a change");
        let second = control.set(LogLevel::Warn).expect("a change");
        assert!(!control.end(first), "another change came after it");
        assert!(control.end(second));
        assert!(!control.end(second), "it has ended");
        assert_eq!(control.level(), LogLevel::Notice);
        let third = control.set(LogLevel::Debug).expect("a change");
        control.configure(LogLevel::Error);
        assert!(!control.end(third), "the settings were read again");
        control.set(LogLevel::Debug);
        assert_eq!(
            *applied.lock().expect("the list"),
            [
                LogLevel::Debug,
                LogLevel::Warn,
                LogLevel::Notice,
                LogLevel::Debug,
                LogLevel::Error,
                LogLevel::Debug,
            ]
        );
    }
}
