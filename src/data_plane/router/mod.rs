//! The current configuration and the snapshot that is compiled from it.
