//! What every plugin is built on: the contract between plugins and the data plane that runs them.
//!
//! A [`Descriptor`] says what a plugin is, a [`Handler`] is one configured instance of it, and a [`Context`] is
//! a request as a phase sees it.

mod context;
mod factory;
mod flow;
mod handler;
mod header_name;

#[cfg(test)]
pub mod testing;

pub use context::{
    Captures, Consumer, Context, Directory, EntityRef, Identity, KeyOwner, Peer, Response,
    RouteView, Timestamp,
};
pub use factory::{BuildError, EnabledPlugins, Factory, Implemented, NodeName, VERSION, config_of};
pub use flow::{Access, Flow, Refusal};
pub use handler::Handler;
pub use header_name::HeaderName;
