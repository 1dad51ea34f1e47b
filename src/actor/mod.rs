//! Actor plumbing: the guardian that restarts an actor by factory, and `Observe`.
//!
//! An actor under a guardian implements [`Guarded`] and answers [`Observe`]; everybody else
//! talks to it through its [`Slot`], which stays valid across restarts.

mod backoff;
#[cfg(test)]
mod death;
mod guardian;
mod observe;
mod slot;

pub use backoff::{Backoff, RestartPolicy};
pub use guardian::{Guarded, guard, guard_on, panic_text};
pub use observe::{Observe, Registration, Registry};
pub use slot::{Refused, Slot, Vitals};
