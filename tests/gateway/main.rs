//! End to end: real processes, real databases, real TLS, real upstreams, in one binary.

mod cache;
mod change;
mod control_planes;
mod crash;
mod harness;
mod link;
mod metrics;
mod quarantine;
mod quickstart;
mod size;
mod startup;
mod status;
mod telemetry;
