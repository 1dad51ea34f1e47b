//! Langur's database schema, step by step: one step, one file, never edited after release.
//!
//! The constraints stand in the database itself, because several control planes may write to
//! it: foreign keys, unique names and keys, types and ranges. Both engines get the same steps;
//! `ddl` translates the statements for SQLite.

mod ddl;
mod m20261121_000001_create_configuration;
mod m20261121_000002_create_journal;
mod m20261121_000003_create_fleet;
mod m20261121_000004_create_telemetry;
mod m20261122_000001_create_credentials;
mod m20261122_000002_create_vaults_and_keys;
mod m20261122_000005_journal_request_id;
mod m20261122_000010_journal_replaced;
mod m20261122_000011_route_expressions;
mod m20261130_000021_data_plane_telemetry;
mod m20261130_000022_create_node_identities;
mod m20261130_000023_history_epoch;
mod runner;

pub use runner::{Step, list, reset, up};
pub use sea_orm_migration::sea_orm;

use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};

/// All steps in order.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_configuration::Migration),
            Box::new(m20261121_000002_create_journal::Migration),
            Box::new(m20261121_000003_create_fleet::Migration),
            Box::new(m20261121_000004_create_telemetry::Migration),
            Box::new(m20261122_000001_create_credentials::Migration),
            Box::new(m20261122_000002_create_vaults_and_keys::Migration),
            Box::new(m20261122_000005_journal_request_id::Migration),
            Box::new(m20261122_000010_journal_replaced::Migration),
            Box::new(m20261122_000011_route_expressions::Migration),
            Box::new(m20261130_000021_data_plane_telemetry::Migration),
            Box::new(m20261130_000022_create_node_identities::Migration),
            Box::new(m20261130_000023_history_epoch::Migration),
        ]
    }
}
