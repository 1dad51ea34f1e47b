//! The data plane: serves traffic from an immutable snapshot of the configuration.

pub mod balancer;
mod beginning;
pub mod cache_writer;
mod declarative;
pub mod dns;
pub mod exchange;
mod health;
pub mod heartbeat_client;
mod links;
pub mod listener;
mod node;
mod plugin_host;
mod preview;
pub mod proxy;
mod proxy_settings;
pub mod router;
mod status;
pub mod status_api;
pub mod telemetry_buffer;
pub mod upstream;

pub use beginning::OwnConfiguration;
pub use links::{ControlPlanes, Links};
pub use node::DataPlane;
pub use preview::{preview, preview_declared};
