//! What every plugin is built on: the contract between plugins and the data plane that runs them.
//!
//! A [`Descriptor`] says what a plugin is, a [`Handler`] is one configured instance of it, and a [`Context`] is
//! a request as a phase sees it. [`Factory`] builds instances, with the [`Resources`] of the node.

mod context;
mod descriptor;
mod factory;
mod flow;
mod handler;
mod header_name;
mod log_fields;
mod phases;
mod request_log;
mod resources;
mod response_body;
mod shared;
mod upstream_request;

#[cfg(test)]
pub mod testing;

pub use context::{
    Captures, Consumer, Context, Directory, EntityRef, Identity, KeyOwner, Peer, Response,
    RouteView, Timestamp,
};
pub use descriptor::{Build, BuildError, Built, Descriptor, VERSION, config_of};
pub use factory::{EnabledPlugins, Factory};
pub use flow::{Access, Flow, Refusal};
pub use handler::Handler;
pub use header_name::HeaderName;
pub use log_fields::{LogFieldMode, LogFields, put_field};
pub use phases::Phases;
pub use request_log::{RequestLog, ResponseSource, SentHeaders, Try};
pub use resources::{NodeName, NodeSettings, Resources, UntrustedLua};
pub use response_body::{BodyUse, Chunk};
pub use shared::{Shared, State};
pub use upstream_request::{Scheme, Timeouts, UpstreamRequest};
