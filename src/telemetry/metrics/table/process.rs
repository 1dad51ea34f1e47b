//! The usual names of a process.

use super::{BOTH, Metric, gauge};

pub const PROCESS_CPU: Metric = gauge(
    "process_cpu_seconds_total",
    &[],
    BOTH,
    "Total user and system CPU time spent in seconds.",
);
pub const PROCESS_RESIDENT: Metric = gauge(
    "process_resident_memory_bytes",
    &[],
    BOTH,
    "Resident memory size in bytes.",
);
pub const PROCESS_VIRTUAL: Metric = gauge(
    "process_virtual_memory_bytes",
    &[],
    BOTH,
    "Virtual memory size in bytes.",
);
pub const PROCESS_OPEN_FDS: Metric = gauge(
    "process_open_fds",
    &[],
    BOTH,
    "Number of open file descriptors.",
);
pub const PROCESS_MAX_FDS: Metric = gauge(
    "process_max_fds",
    &[],
    BOTH,
    "Maximum number of open file descriptors.",
);
pub const PROCESS_START: Metric = gauge(
    "process_start_time_seconds",
    &[],
    BOTH,
    "Start time of the process since unix epoch in seconds.",
);
