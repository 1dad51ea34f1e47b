//! What the engine needs from outside: time, randomness and how this node is deployed.

use std::collections::BTreeSet;
use uuid::Uuid;

/// The source of generated identifiers and secrets.
pub trait Random {
    /// A new entity id.
    fn uuid(&self) -> Uuid;
    /// A secret of 32 letters and digits.
    fn token(&self) -> String;
}

/// How the node that validates is deployed; some rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Configuration is sent to data planes.
    ControlPlane,
    /// Both planes in one process with a database.
    Traditional,
    /// No database: configuration comes from a declarative file.
    DbLess,
}

/// `router_flavor`: which fields and checks a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RouterFlavor {
    Traditional,
    #[default]
    TraditionalCompatible,
    Expressions,
}

impl RouterFlavor {
    /// Reads the setting's value.
    pub fn parse(text: &str) -> Option<RouterFlavor> {
        match text {
            "traditional" => Some(RouterFlavor::Traditional),
            "traditional_compatible" => Some(RouterFlavor::TraditionalCompatible),
            "expressions" => Some(RouterFlavor::Expressions),
            _ => None,
        }
    }
}

/// The surroundings of one validation.
pub struct Env<'a> {
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    pub random: &'a dyn Random,
    pub role: Role,
    pub router_flavor: RouterFlavor,
    /// The enabled plugins; `None` enables every bundled one.
    pub plugins: Option<&'a BTreeSet<String>>,
}

impl Env<'_> {
    /// Whole seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    pub(super) fn plugin_enabled(&self, name: &str) -> bool {
        self.plugins.is_none_or(|enabled| enabled.contains(name))
    }
}
