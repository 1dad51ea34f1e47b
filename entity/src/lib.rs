//! Langur's database rows: one table, one file, no rules.
//!
//! A configuration row serialises to the entity's stored document and back: all fields present,
//! a reference to another entity as `{"id": …}` or null. What a valid entity is, the schema
//! says; what may stand beside it, the constraints of the `migration` package say.

pub mod columns;
pub mod reference;

pub mod ca_certificates;
pub mod certificates;
pub mod consumers;
pub mod keyauth_credentials;
pub mod plugins;
pub mod routes;
pub mod services;
pub mod snis;
pub mod targets;
pub mod upstreams;

pub mod config_journal;
pub mod config_revision;
pub mod control_planes;
pub mod data_planes;
pub mod telemetry_counts;
pub mod telemetry_positions;
