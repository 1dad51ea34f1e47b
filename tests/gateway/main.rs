//! End to end: real processes, real databases, real TLS, real upstreams, in one binary.

mod cache;
mod change;
mod control_planes;
mod crash;
mod docs;
mod doctor;
mod entities;
mod fleet_status;
mod harness;
mod link;
mod logs;
mod metrics;
mod pki;
mod quarantine;
mod quickstart;
mod size;
mod startup;
mod status;
mod telemetry;
