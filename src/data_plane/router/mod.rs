//! The current configuration and the snapshot that is compiled from it.

mod conditions;
mod facts;
mod index;
mod matcher;
pub mod path;
pub mod priority;
mod protocols;
mod regex_path;
mod trie;

pub use facts::{Facts, HeaderLookup, Scratch, same_header};
pub use matcher::CompiledRoute;
pub use priority::MatchOrder;
pub use protocols::{Protocol, Protocols};
