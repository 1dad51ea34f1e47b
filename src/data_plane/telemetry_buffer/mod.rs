//! Request records on their way to the control plane.
//!
//! Workers push records into their rings; the [`TelemetryBuffer`] drains them a few times a
//! second, updates the metrics, and sends numbered batches over whatever link it is given
//! until the control plane has answered for them. Everything that decides is in [`Buffer`].

mod actor;
mod buffer;
mod ring;
mod shared;

pub use actor::{Drain, Finish, TelemetryBuffer, TelemetryOptions};
pub use buffer::{Buffer, BufferOptions, Input, Output, Totals, WINDOW};
pub use ring::{RING_CAPACITY, Recorder, Rings};
pub use shared::SharedBuffer;
