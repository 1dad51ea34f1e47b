//! Sockets, workers, certificates, drain.
