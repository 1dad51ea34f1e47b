//! What the kernel knows about this process: memory, processor time, open files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One look at `/proc/self`. A value that cannot be read is `None`, and is then not exported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    /// User and system time, seconds.
    pub cpu_seconds: Option<f64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    /// Epoch seconds.
    pub start_time: Option<f64>,
}

impl ProcessStats {
    /// Reads `/proc/self`: a few microseconds, no waiting on a disk.
    pub fn read() -> ProcessStats {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        // The directory handle that counts them is one of them.
        let open_fds = std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|fds| (fds.count() as u64).saturating_sub(1));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        ProcessStats {
            open_fds,
            max_fds: soft_limit(&limits, "Max open files"),
            ..parse_stat(
                &stat,
                page_size(),
                ticks_per_second(),
                booted_at(&uptime, now.as_secs_f64()),
            )
        }
    }
}

/// The fields of `/proc/self/stat` behind the command name, which may hold spaces and
/// parentheses of its own; see proc(5).
fn parse_stat(stat: &str, page: u64, ticks: f64, booted_at: Option<f64>) -> ProcessStats {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return ProcessStats::default();
    };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Field 3, the state, is the first here.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let seconds = |field| number(field).map(|n| n as f64 / ticks);
    ProcessStats {
        cpu_seconds: seconds(14).zip(seconds(15)).map(|(user, sys)| user + sys),
        start_time: booted_at.zip(seconds(22)).map(|(boot, start)| boot + start),
        virtual_bytes: number(23),
        resident_bytes: number(24).map(|pages| pages * page),
        ..ProcessStats::default()
    }
}

fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn booted_at(uptime: &str, now: f64) -> Option<f64> {
    let up: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Some(now - up)
}

fn sysconf(name: libc::c_int, otherwise: u64) -> u64 {
    // SAFETY: sysconf takes no pointer and has no precondition.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(otherwise)
}

fn page_size() -> u64 {
    sysconf(libc::_SC_PAGESIZE, 4096)
}

fn ticks_per_second() -> f64 {
    sysconf(libc::_SC_CLK_TCK, 100) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_an_odd_command_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 15 16 17 18 900 5000 25 99";
        assert_eq!(
            parse_stat(stat, 4096, 100.0, Some(1000.0)),
            ProcessStats {
                cpu_seconds: Some(4.0),
                start_time: Some(1009.0),
                virtual_bytes: Some(5000),
                resident_bytes: Some(25 * 4096),
                ..ProcessStats::default()
            }
        );
        assert_eq!(parse_stat("", 1, 1.0, None), ProcessStats::default());
        assert_eq!(parse_stat("1 (x) S", 1, 1.0, None), ProcessStats::default());
    }

    #[test]
    fn limits_may_be_absent_or_unlimited() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n\
                      Max cpu time  unlimited  unlimited  seconds\n";
        for (name, expected) in [
            ("Max open files", Some(1024)),
            ("Max cpu time", None),
            ("Max other", None),
        ] {
            assert_eq!(soft_limit(limits, name), expected, "{name}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_files() {
        let stats = ProcessStats::read();
        assert!(stats.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(stats.virtual_bytes >= stats.resident_bytes);
        assert!(stats.open_fds.is_some_and(|fds| fds >= 3));
        assert!(stats.start_time.is_some_and(|at| at > 1.6e9));
    }
}
