//! Langur: an API gateway with separated control planes and data planes.
//!
//! `ARCHITECTURE.md` is the map; `main` is the only binary.

pub mod access_log;
pub mod actor;
pub mod cli;
#[cfg(feature = "control-plane")]
pub mod control_plane;
#[cfg(feature = "data-plane")]
pub mod data_plane;
pub mod declared;
pub mod http;
#[cfg(all(test, feature = "control-plane", feature = "data-plane"))]
mod killed_actors;
pub mod link;
#[cfg(test)]
mod loopback;
pub mod memory;
pub mod model;
pub mod node;
pub mod plugins;
pub mod schema;
pub mod serve;
pub mod settings;
#[cfg(all(test, feature = "control-plane", feature = "data-plane"))]
mod simulation;
pub mod telemetry;
pub mod tls;
pub mod wire;
