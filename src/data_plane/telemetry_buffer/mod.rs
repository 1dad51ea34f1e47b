//! Request records on their way to the control plane.

mod buffer;
mod ring;

pub use buffer::{Buffer, BufferOptions, Input, Output, Totals, WINDOW};
pub use ring::{RING_CAPACITY, Recorder, Rings};
