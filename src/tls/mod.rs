//! Certificates, identity, verifiers.
//!
//! One crypto provider for the whole process, passed explicitly everywhere. The cluster link has
//! two ways for both ends to prove themselves: `shared` compares whole certificates, `pki`
//! verifies chains. A peer that fails is refused inside the handshake: no byte of HTTP is read.

mod any;
mod certificate;
mod cluster;
mod generate;
mod identity;
mod listener;
mod material;
mod pki;
mod provider;
mod roots;
mod self_signed;
mod session;
mod shared;
mod signature;

pub use any::AnyServerVerifier;
pub use certificate::{
    CertificateFacts, NODE_URN, Validity, expiry, facts, fingerprint, node_id, validity,
};
pub use cluster::{
    CLUSTER_SERVER_NAME, ClusterTrust, cluster_client_config, cluster_server_config, server_name,
};
pub use generate::{GeneratedPair, cluster_certificate, listener_certificate, node_certificate};
pub use identity::Identity;
pub use listener::{TlsVersions, listener_config, pinned_client_config, resolving_config};
pub use material::{LoadError, MAX_MATERIAL, Material};
pub use pki::verify_chain;
pub use provider::{install_provider, provider};
pub use roots::{add_material, add_system, system_bundle};
pub use self_signed::{default_identity, write_private, write_public};
pub use session::TlsSession;

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the certificate and the key do not belong together")]
    KeyMismatch,
    #[error("the certificate expired on {0}: renew it, nobody would accept it")]
    Expired(String),
    #[error("'{0}' is no valid server name")]
    ServerName(String),
    #[error("no trusted certificate was found in the system's bundles")]
    NoSystemBundle,
    #[error("the authority's certificate cannot be used: {0}")]
    Authority(String),
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("{path}: {source}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

#[cfg(test)]
mod tests;
