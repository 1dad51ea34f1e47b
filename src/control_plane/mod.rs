//! The control plane: owns the configuration and hands it to data planes.

pub mod admin_api;
pub mod cluster_registry;
pub mod config_store;
mod document;
mod node;
pub mod session;
mod status;
pub mod telemetry;

pub use config_store::{InspectError, Inspection, MigrationStep};
pub use document::CurrentDocument;
pub use node::{ControlPlane, connect, inspect};
