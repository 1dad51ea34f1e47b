//! The current configuration and the snapshot that is compiled from it.

mod actor;
mod certificates;
mod compile;
mod conditions;
mod effect;
mod facts;
mod identity;
mod index;
mod matcher;
pub mod path;
mod persistent_map;
mod plugin_table;
pub mod priority;
mod protocols;
mod quarantine;
mod regex_path;
mod service;
mod snapshot;
mod state;
mod trie;

pub use actor::{
    ApplyChange, ApplySnapshot, EffectCell, GetLive, Router, RouterOptions, SnapshotCell,
};
pub use certificates::{CompiledCaCertificate, CompiledCertificate};
pub use compile::PluginFactory;
pub use effect::Work;
pub use facts::{Facts, HeaderLookup, Scratch, same_header};
pub use identity::{CompiledConsumer, KeyCredential};
pub use matcher::CompiledRoute;
pub use plugin_table::{Plan, PluginInstance, Scope};
pub use priority::MatchOrder;
pub use protocols::{Protocol, Protocols};
pub use service::{CompiledService, CompiledUpstream, UpstreamSpec};
pub use snapshot::{Matched, Snapshot};
pub use state::{LastGood, Options, Outcome, Quarantined, RouterState};

#[cfg(test)]
mod cases_tests;
#[cfg(test)]
mod test_support;
