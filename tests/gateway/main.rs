//! End to end: real processes, real databases, real TLS, real upstreams, in one binary.

mod harness;
