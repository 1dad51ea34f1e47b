//! Typed views of rows: what the data plane compiles. A field that is absent was null.

use super::Healthchecks;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A child's pointer to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Reference {
    pub id: Uuid,
}

/// Header names with the values that match any of them.
pub type Headers = BTreeMap<String, Vec<String>>;

#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    pub id: Uuid,
    pub name: Option<String>,
    pub protocol: String,
    pub host: String,
    pub port: u16,
    pub path: Option<String>,
    /// Attempts after the first; null is none.
    pub retries: Option<u32>,
    /// Milliseconds.
    pub connect_timeout: Option<u64>,
    /// Milliseconds between two writes.
    pub write_timeout: Option<u64>,
    /// Milliseconds between two reads.
    pub read_timeout: Option<u64>,
    pub client_certificate: Option<Reference>,
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<u32>,
    pub ca_certificates: Option<Vec<Uuid>>,
    pub enabled: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    pub id: Uuid,
    pub name: Option<String>,
    pub service: Option<Reference>,
    pub protocols: Vec<String>,
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub headers: Headers,
    #[serde(default)]
    pub snis: Vec<String>,
    /// Instead of the matchers above, where the control plane's `router_flavor` allows it.
    #[serde(default)]
    pub expression: Option<String>,
    pub https_redirect_status_code: u16,
    #[serde(default)]
    pub regex_priority: i64,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub request_buffering: bool,
    pub response_buffering: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Consumer {
    pub id: Uuid,
    pub username: Option<String>,
    pub custom_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Plugin {
    pub id: Uuid,
    pub name: String,
    pub instance_name: Option<String>,
    pub route: Option<Reference>,
    pub service: Option<Reference>,
    pub consumer: Option<Reference>,
    #[serde(default)]
    pub config: Map<String, Value>,
    pub protocols: Vec<String>,
    pub enabled: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Upstream {
    pub id: Uuid,
    pub name: String,
    pub algorithm: Option<String>,
    pub hash_on: Option<String>,
    pub slots: Option<u32>,
    pub host_header: Option<String>,
    pub client_certificate: Option<Reference>,
    #[serde(default)]
    pub healthchecks: Healthchecks,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    pub id: Uuid,
    pub upstream: Reference,
    /// `host:port`, normalised by the control plane.
    pub target: String,
    pub weight: Option<u32>,
    /// Epoch seconds.
    #[serde(default)]
    pub created_at: f64,
}

/// A certificate with its private key: never derive `Debug` here.
#[derive(Clone, Deserialize)]
pub struct Certificate {
    pub id: Uuid,
    pub cert: String,
    pub key: String,
    pub cert_alt: Option<String>,
    pub key_alt: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Sni {
    pub id: Uuid,
    pub name: String,
    pub certificate: Reference,
}

#[derive(Clone, Debug, Deserialize)]
pub struct CaCertificate {
    pub id: Uuid,
    pub cert: String,
}

/// A key of a consumer: never derive `Debug` here.
#[derive(Clone, Deserialize)]
pub struct KeyauthCredential {
    pub id: Uuid,
    pub consumer: Reference,
    pub key: String,
    /// Epoch seconds after which the key is no longer valid.
    pub ttl: Option<i64>,
}
