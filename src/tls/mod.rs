//! Certificates, identity, verifiers.
