//! The kinds of entities a configuration is made of.

use serde::{Deserialize, Serialize};

/// A kind of entity. The order is parents before children, so that applying
/// puts in order (and deletes in reverse order) never dangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Certificates,
    CaCertificates,
    Snis,
    Services,
    Upstreams,
    Targets,
    Routes,
    Consumers,
    KeyauthCredentials,
    Plugins,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Certificates,
        Kind::CaCertificates,
        Kind::Snis,
        Kind::Services,
        Kind::Upstreams,
        Kind::Targets,
        Kind::Routes,
        Kind::Consumers,
        Kind::KeyauthCredentials,
        Kind::Plugins,
    ];

    /// The entity's name in schemas, declarative files and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Certificates => "certificates",
            Kind::CaCertificates => "ca_certificates",
            Kind::Snis => "snis",
            Kind::Services => "services",
            Kind::Upstreams => "upstreams",
            Kind::Targets => "targets",
            Kind::Routes => "routes",
            Kind::Consumers => "consumers",
            Kind::KeyauthCredentials => "keyauth_credentials",
            Kind::Plugins => "plugins",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
