//! The cluster link's native dialect, `langur.v1`: messages to bytes and back. No IO.
//!
//! `LIFECYCLE.md` beside this file tells the story of a connection.

mod blob;
mod bounded;
mod encode_cache;
mod frame;
mod hello;
mod message;
mod secret;
mod snapshot;
mod version;

pub use blob::Blob;
pub use encode_cache::{EncodeCache, SnapshotSlot};
pub use frame::{DecodeError, EncodeError, Incoming, Limits, Message, decode, encode, is_costly};
pub use hello::{Hello, InvalidHello, PluginVersion};
pub use message::{
    Applied, ChangeMessage, FromControlPlane, FromDataPlane, GoAway, Heartbeat, HeartbeatAck, Ping,
    Pong, Position, Quarantined, RefusalCode, Refused, Rejected, SnapshotChunk, Unpersisted,
    Welcome, encode_change,
};
pub use secret::{NodeSecret, SecretHash};
pub use snapshot::{Assembly, AssemblyError, SnapshotParts, encode_snapshot};
pub use version::{IncompatibleVersion, check_version};

/// The WebSocket subprotocol of this dialect.
pub const SUBPROTOCOL: &str = "langur.v1";

/// Where a control plane takes links of this dialect.
pub const CONFIG_PATH: &str = "/langur/v1/config";

/// Where a control plane takes telemetry links.
pub const TELEMETRY_PATH: &str = "/langur/v1/telemetry";

/// How often a data plane says that it is alive.
pub const HEARTBEAT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);

/// Either side gives the other up after this long without a frame.
pub const DEAD_AFTER: std::time::Duration = std::time::Duration::from_secs(45);

/// How many changes a control plane sends before it waits for one to be in effect. The
/// data plane queues no more than this many.
pub const WINDOW: usize = 4;
