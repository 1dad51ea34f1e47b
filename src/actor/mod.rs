//! Actor plumbing: the guardian that restarts an actor by factory, and `Observe`.
