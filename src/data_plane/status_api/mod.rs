//! The data plane's status listener.
