//! Keeps a dead upstream from filling the log: a few lines a second, and how many were left out.

/// Lines in one second, of one worker.
const MOST: u32 = 10;
const SECOND_US: u64 = 1_000_000;

/// One worker's failures of upstreams.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureLog {
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl FailureLog {
    /// Whether one more line may be written at this time; if so, how many before it were not.
    pub fn admit(&mut self, now_us: u64) -> Option<u64> {
        let second = now_us / SECOND_US;
        if second != self.second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines == MOST {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_second() {
        let mut log = FailureLog::default();
        for n in 0..u64::from(MOST) {
            assert_eq!(log.admit(5 * SECOND_US + n), Some(0));
        }
        for n in 0..7 {
            assert_eq!(log.admit(5 * SECOND_US + n), None);
        }
        assert_eq!(log.admit(6 * SECOND_US), Some(7));
        assert_eq!(log.admit(6 * SECOND_US), Some(0));
    }
}
