//! The declarative configuration that a node is given: read from a file or the settings, within
//! limits, and checked.

use crate::model::declarative::{self, Declared, MAX_TEXT_BYTES};
use crate::node::NodeError;
use crate::schema::{self, Env, Role, RouterFlavor, SystemRandom};
use crate::settings::{self, Database, Declarative, Settings};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A document, and where it came from.
pub struct Source {
    /// The setting's name; errors begin with it.
    pub key: &'static str,
    pub text: String,
}

impl Source {
    /// What `declarative_config` or `declarative_config_string` say; `None` when neither is set.
    ///
    /// # Errors
    /// [`NodeError::Declarative`]: the file cannot be read.
    pub fn of(settings: &Settings) -> Result<Option<Source>, NodeError> {
        let failed = |why: String| NodeError::Declarative(format!("declarative_config: {why}"));
        Ok(match &settings.cache.declarative {
            None => None,
            Some(Declarative::File(path)) => Some(Source {
                key: "declarative_config",
                text: read_file(path)
                    .map_err(|err| failed(format!("{}: {err}", path.display())))?,
            }),
            Some(Declarative::Text(text)) => Some(Source {
                key: "declarative_config_string",
                text: text.expose().to_owned(),
            }),
        })
    }

    /// The configuration that the document declares.
    ///
    /// # Errors
    /// [`NodeError::Declarative`], with a line per violation.
    pub fn parse(&self, rules: &Rules) -> Result<Declared, NodeError> {
        let key = self.key;
        let declared = declarative::parse(&self.text, &rules.env())
            .map_err(|err| NodeError::Declarative(format!("{key}: {err}")))?;
        for ignored in &declared.ignored {
            tracing::warn!(entity = *ignored, "not used by this node, skipped");
        }
        let entities = declared.entities.len();
        tracing::info!(key, entities, "declarative configuration read");
        Ok(declared)
    }
}

/// What the validity of an entity depends on, besides itself.
#[derive(Clone, Debug)]
pub struct Rules {
    pub role: Role,
    pub router_flavor: RouterFlavor,
    /// The enabled plugins.
    pub plugins: BTreeSet<String>,
}

impl Rules {
    /// The rules of the node that the settings describe.
    pub fn of(settings: &Settings) -> Rules {
        let known: Vec<&str> = schema::plugins().map(|plugin| plugin.name).collect();
        // Checked when the settings were read.
        let plugins = settings.node.plugins.select(&known).unwrap_or_default();
        Rules {
            role: role(settings),
            router_flavor: settings.proxy.router_flavor,
            plugins: plugins.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The surroundings of an entity that is read or written now.
    pub fn env(&self) -> Env<'_> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Env {
            now_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            random: &SystemRandom,
            role: self.role,
            router_flavor: self.router_flavor,
            plugins: Some(&self.plugins),
        }
    }
}

/// How a node is deployed, as far as the validity of entities depends on it.
fn role(settings: &Settings) -> Role {
    match settings.node.role {
        settings::Role::ControlPlane => Role::ControlPlane,
        _ if matches!(settings.database, Database::Off) => Role::DbLess,
        _ => Role::Traditional,
    }
}

/// The text of a file, which is no longer than a document may be.
///
/// # Errors
/// It cannot be read, is too long, or no text.
pub fn read_file(path: &Path) -> io::Result<String> {
    let limit = MAX_TEXT_BYTES as u64;
    let mut text = String::new();
    let read = File::open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    match read > MAX_TEXT_BYTES {
        true => Err(io::Error::other(format!("larger than {limit} bytes"))),
        false => Ok(text),
    }
}
