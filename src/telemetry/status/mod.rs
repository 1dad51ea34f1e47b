//! The status API of both roles: `/status`, `/status/ready`, `/metrics`, `/debug/actors`,
//! `/quarantine`, and `/upstreams/…` of nodes that serve traffic.
//!
//! The shapes and messages are Kong's. What a node knows about itself comes through
//! [`NodeStatus`], which the role implements.

mod api;
mod memory;
mod state;
mod upstream_pages;
mod upstreams;

pub use api::{
    StatusContext, actors, configure, entity_status, memory_and_connections, metrics_text, on_node,
    quarantine_document, status_document,
};
pub use memory::{Scale, ScaleError};
pub use state::{
    CacheUsage, ControlPlaneState, DataPlaneState, NodeState, NodeStatus, RouteCounts,
    TargetHealth, TargetState, WorkerReadiness,
};
pub use upstreams::{
    AddressHealth, HostHealth, SetHealth, SetHealthError, TargetDocuments, UpstreamHealth,
    Upstreams, health_page,
};
