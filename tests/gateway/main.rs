//! End to end: real processes, real databases, real TLS, real upstreams, in one binary.

mod cache;
mod change;
mod config_commands;
mod control_planes;
mod crash;
mod dbless;
mod docs;
mod doctor;
mod entities;
mod expressions;
mod fleet_status;
mod harness;
mod health_checks;
mod https_probes;
mod link;
mod logs;
mod metrics;
mod pki;
mod probes;
mod quarantine;
mod quickstart;
mod size;
mod startup;
mod status;
mod telemetry;
mod transactions;
