//! The configuration cache on disk: per-entity rows, revision and digest in one transaction.
