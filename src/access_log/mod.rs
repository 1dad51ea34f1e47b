//! Access logs: what a line says, and how lines get into files.
//!
//! A format is compiled once from nginx's notation. Whoever serves requests (a worker of the proxy,
//! the Admin API, the status API) has a [`Lane`] of its own and writes each line straight into it,
//! without a lock and, once warmed up, without an allocation. One thread per node takes the lines
//! out of all lanes and owns the files: a disk or a pipe that is slow costs lines, which are
//! counted, and never holds up a request.

mod civil;
mod declared;
mod destination;
mod entry;
mod escape;
mod format;
mod lane;
mod values;
mod variable;
mod writer;

pub use civil::{syslog_time, utc_time};
pub use declared::{DeclarationError, declared_formats};
pub use destination::{Destination, LogFile};
pub use entry::{Entry, Headers, NoHeaders, UpstreamAttempt};
pub use format::{Format, FormatError, ready_made};
pub use lane::{AccessLog, Lane};
pub use writer::{AccessLogs, OpenError, Wanted};

#[cfg(test)]
mod tests;
