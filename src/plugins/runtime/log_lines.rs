//! Lines that functions and plugins of a request write to the log, for a plugin that sends them on.
//!
//! They are kept only while some plugin of this process wants them.

use super::{Context, Severity};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most lines of one request; what comes later is in the log of the node alone.
const MOST: usize = 100;

/// The longest text, in bytes; more is cut off.
const LONGEST: usize = 8 * 1024;

/// Plugin instances that want lines.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// While one is held, lines are kept.
pub struct WantsLogLines(());

impl WantsLogLines {
    pub fn new() -> WantsLogLines {
        WANTED.fetch_add(1, Ordering::Relaxed);
        WantsLogLines(())
    }
}

impl Default for WantsLogLines {
    fn default() -> WantsLogLines {
        WantsLogLines::new()
    }
}

impl Drop for WantsLogLines {
    fn drop(&mut self) {
        WANTED.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Nanoseconds since the epoch.
    pub at: u64,
    pub severity: Severity,
    pub plugin: String,
    pub text: String,
}

/// What a request's functions have written; in [`Shared`](super::Shared).
#[derive(Clone, Debug, Default)]
pub struct LogLines(pub Vec<LogLine>);

impl LogLines {
    /// Keeps a line, if anybody wants lines. Costs one look at a number if not.
    pub fn keep(context: &mut Context<'_>, severity: Severity, plugin: &str, text: &str) {
        if WANTED.load(Ordering::Relaxed) == 0 {
            return;
        }
        if context.shared.get::<LogLines>().is_none() {
            context.shared.put(LogLines::default());
        }
        let Some(lines) = context.shared.get_mut::<LogLines>() else {
            return;
        };
        if lines.0.len() < MOST {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let at = since.map_or(0, |since| since.as_nanos());
            let end = text.floor_char_boundary(LONGEST.min(text.len()));
            lines.0.push(LogLine {
                at: u64::try_from(at).unwrap_or(u64::MAX),
                severity,
                plugin: plugin.to_owned(),
                text: text[..end].to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Request;
    use super::*;

    #[test]
    fn lines_are_kept_while_they_are_wanted_and_not_without_bounds() {
        let wants = WantsLogLines::new();
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        request.log_phase(|context| {
            for _ in 0..2 * MOST {
                LogLines::keep(context, Severity::Err, "p", &"é".repeat(LONGEST));
            }
        });
        let lines = request.shared.get::<LogLines>().expect("lines");
        assert_eq!(lines.0.len(), MOST);
        assert_eq!(lines.0[0].text.len(), LONGEST);
        drop(wants);
    }
}
