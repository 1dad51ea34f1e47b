//! The current configuration and the snapshot that is compiled from it.

mod certificates;
mod conditions;
mod facts;
mod identity;
mod index;
mod matcher;
pub mod path;
mod plugin_table;
pub mod priority;
mod protocols;
mod regex_path;
mod service;
mod snapshot;
mod trie;

pub use certificates::{CompiledCaCertificate, CompiledCertificate};
pub use facts::{Facts, HeaderLookup, Scratch, same_header};
pub use identity::{CompiledConsumer, KeyCredential};
pub use matcher::CompiledRoute;
pub use plugin_table::{Plan, PluginInstance, Scope};
pub use priority::MatchOrder;
pub use protocols::{Protocol, Protocols};
pub use service::{CompiledService, CompiledUpstream, UpstreamSpec};
pub use snapshot::{Matched, Snapshot};
