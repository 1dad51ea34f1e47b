//! The data plane: serves traffic from an immutable snapshot of the configuration.

pub mod balancer;
pub mod cache_writer;
pub mod heartbeat_client;
mod links;
pub mod listener;
pub mod proxy;
pub mod router;
pub mod status_api;
pub mod telemetry_buffer;
pub mod upstream;
