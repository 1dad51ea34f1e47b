//! What is measured and how it is shown: request records, metrics, the status API.
//!
//! A leaf that both planes use: it knows neither of them. The data plane fills records and
//! counters, the control plane reads batches of records; [`status`] serves both.

pub mod batch;
pub mod counters;
pub mod link;
pub mod metrics;
pub mod process;
pub mod record;
pub mod status;
