//! Sockets, workers, certificates, drain.

pub mod pipeline;
