//! The configuration as both planes hold it: entities, changes, revisions, digests.
//!
//! One `Config`, one `apply`, on both sides of the cluster link. No IO.

mod cause;
mod change;
mod config;
pub mod declarative;
mod digest;
mod entities;
mod healthchecks;
mod kind;
mod kind_set;
mod packed;
mod row;

pub use cause::{Cause, RequestId};
pub use change::{Change, Op, Revision};
pub use config::{ApplyError, Config};
pub use digest::{Digest, Digests};
pub use entities::{
    CaCertificate, Certificate, Consumer, Headers, KeyauthCredential, Plugin, Reference, Route,
    Service, Sni, Target, Upstream,
};
pub use healthchecks::{
    ActiveHealthcheck, FailureCounts, Healthchecks, HealthyProbes, HealthyRequests,
    PassiveHealthcheck, UnhealthyProbes, UnhealthyRequests,
};
pub use kind::Kind;
pub use kind_set::KindSet;
pub use packed::Packed;
pub use row::{Row, RowError};
