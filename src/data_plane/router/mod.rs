//! The current configuration and the snapshot that is compiled from it. Pure code, no IO.
//!
//! A change goes `state` (what differs, what it leads to) -> `compile` (row to entity) ->
//! `quarantine` (what must not take effect) -> `effect` (tables written) -> `snapshot`. A request
//! goes `path` (normalised) -> `index` (candidates in order) -> `matcher` and `conditions` (does
//! it match) -> `plugin_table` (what runs) -> the balancer.
//!
//! Invariants: a snapshot never changes once it is handed out; a lookup allocates nothing (only
//! header values that are not plain lower-case ASCII are copied) and takes no lock; what one
//! change costs does not depend on how much is configured. Left out: routes for stream
//! protocols, which no HTTP listener serves.

mod actor;
mod as_it_was;
mod certificates;
mod compile;
mod conditions;
mod documents;
mod effect;
mod facts;
mod hidden_dots;
mod identity;
mod index;
mod kept;
mod matcher;
pub mod path;
mod persistent_map;
mod plugin_table;
pub mod priority;
mod protocols;
mod quarantine;
mod references;
mod regex_path;
mod service;
mod situation;
mod snapshot;
mod state;
mod trie;

pub use actor::{
    ApplyChange, ApplySnapshot, EffectCell, GetInEffect, GetLive, GetTargets, Published, Router,
    RouterOptions, SnapshotCell,
};
pub use certificates::{CompiledCaCertificate, CompiledCertificate};
pub use compile::PluginFactory;
pub use effect::Work;
pub use facts::{Facts, HeaderLookup, Scratch, same_header};
pub use identity::{CompiledConsumer, KeyCredential};
pub use kept::Kept;
pub use matcher::CompiledRoute;
pub use plugin_table::{Plan, PluginInstance, Scope};
pub use priority::MatchOrder;
pub use protocols::{Protocol, Protocols};
pub use references::Vaults;
pub use service::{CompiledService, CompiledUpstream, Destination, UpstreamSpec};
pub use snapshot::{Matched, Snapshot};
pub use state::{Instead, LastGood, Options, Outcome, Quarantined, RouterState};

#[cfg(test)]
mod cases_tests;
#[cfg(test)]
mod test_support;
