//! Langur's database rows: one table, one file, no rules.
//!
//! A configuration row serialises to the entity's stored document and back: all fields present,
//! a reference to another entity as `{"id": …}` or null. What a valid entity is, the schema
//! says; what may stand beside it, the constraints of the `migration` package say.

/// `Debug` for a row with a secret: its id, never its content.
macro_rules! without_content {
    ($model:ty) => {
        impl std::fmt::Debug for $model {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($model))
                    .field("id", &self.id)
                    .finish_non_exhaustive()
            }
        }
    };
}
use without_content;

/// What sea-orm asks of every row. Relations are the constraints of the database.
macro_rules! without_relations {
    () => {
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    };
}
use without_relations;

pub mod columns;
pub mod reference;

pub mod acls;
pub mod acme_storage;
pub mod basicauth_credentials;
pub mod ca_certificates;
pub mod certificates;
pub mod consumers;
pub mod hmacauth_credentials;
pub mod jwt_secrets;
pub mod key_sets;
pub mod keyauth_credentials;
pub mod keys;
pub mod oauth2_credentials;
pub mod oauth2_tokens;
pub mod plugins;
pub mod routes;
pub mod services;
pub mod sessions;
pub mod snis;
pub mod targets;
pub mod upstreams;
pub mod vaults;

pub mod config_journal;
pub mod config_revision;
pub mod control_planes;
pub mod data_planes;
pub mod node_identities;
pub mod telemetry_counts;
pub mod telemetry_positions;
