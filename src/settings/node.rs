//! The node itself: role, working directory, logging, workers, plugins.

use super::problems::Problems;
use super::values::Values;
use crate::schema::{self, PLUGINS};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Which planes run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    ControlPlane,
    DataPlane,
    /// Both.
    Traditional,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::ControlPlane => "control_plane",
            Role::DataPlane => "data_plane",
            Role::Traditional => "traditional",
        }
    }

    pub fn has_control_plane(self) -> bool {
        self != Role::DataPlane
    }

    pub fn has_data_plane(self) -> bool {
        self != Role::ControlPlane
    }
}

/// Kong's log levels, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

impl LogLevel {
    pub const ALL: [LogLevel; 8] = [
        LogLevel::Debug,
        LogLevel::Info,
        LogLevel::Notice,
        LogLevel::Warn,
        LogLevel::Error,
        LogLevel::Crit,
        LogLevel::Alert,
        LogLevel::Emerg,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Notice => "notice",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Crit => "crit",
            LogLevel::Alert => "alert",
            LogLevel::Emerg => "emerg",
        }
    }

    /// The level of this name.
    pub fn parse(name: &str) -> Option<LogLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Settings of the node as a whole.
#[derive(Debug, Clone)]
pub struct Node {
    pub role: Role,
    pub prefix: PathBuf,
    /// As set; `identity::node_id` finds the one in use.
    pub node_id: Option<Uuid>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    /// `nginx_daemon`; `None` where it is not set.
    pub daemon: Option<bool>,
    /// Worker threads; `None` is one per CPU.
    pub workers: Option<usize>,
    pub plugins: PluginSelection,
    pub allow_debug_header: bool,
    /// What the names of variables begin with that `{vault://env/…}` stands for.
    pub vault_env_prefix: String,
    /// `untrusted_lua`: `on`, `off` or `sandbox`.
    pub untrusted_lua: String,
    pub lua_requires: Vec<String>,
    pub lua_environment: Vec<String>,
    /// How long requests in flight may take at the end.
    pub shutdown_timeout: Duration,
}

/// The `plugins` key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSelection {
    /// All plugins that come with the binary.
    pub bundled: bool,
    /// Plugins named one by one.
    pub names: Vec<String>,
}

impl PluginSelection {
    fn new(entries: &[String]) -> PluginSelection {
        let off = entries.iter().all(|entry| entry == "off");
        let named = entries.iter().filter(|e| !off && *e != "bundled");
        PluginSelection {
            bundled: entries.iter().any(|entry| entry == "bundled"),
            names: named.cloned().collect(),
        }
    }

    /// The selected ones of `available`, in its order; the error names the plugins it lacks.
    pub fn select<'a>(&self, available: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let lacking: Vec<&str> = self
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| !available.contains(name))
            .collect();
        if !lacking.is_empty() {
            return Err(format!(
                "plugins: not part of this build: {}",
                lacking.join(", ")
            ));
        }
        let bundled = |name: &str| PLUGINS.iter().any(|plugin| plugin.name == name);
        let selected =
            |name: &&str| self.bundled && bundled(name) || self.names.iter().any(|n| n == name);
        Ok(available.iter().copied().filter(selected).collect())
    }
}

/// Most worker threads.
const MAX_WORKERS: usize = 1024;

impl Node {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Node {
        Node {
            role: role(values, problems),
            prefix: PathBuf::from(values.text("prefix").unwrap_or_default()),
            node_id: node_id(values, problems),
            log_level: values
                .text("log_level")
                .and_then(LogLevel::parse)
                .unwrap_or(LogLevel::Notice),
            log_format: match values.text("log_format") {
                Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                _ => LogFormat::Auto,
            },
            daemon: daemon(values, problems),
            workers: workers(values, problems),
            plugins: plugins(values, problems),
            allow_debug_header: values.boolean("allow_debug_header"),
            vault_env_prefix: values
                .text("vault_env_prefix")
                .unwrap_or_default()
                .to_owned(),
            untrusted_lua: values.text("untrusted_lua").unwrap_or("sandbox").to_owned(),
            lua_requires: values.list("untrusted_lua_sandbox_requires").to_vec(),
            lua_environment: values.list("untrusted_lua_sandbox_environment").to_vec(),
            shutdown_timeout: values.time("shutdown_timeout").unwrap_or_default(),
        }
    }
}

fn role(values: &Values, problems: &mut Problems) -> Role {
    let role = match values.text("role") {
        Some("control_plane") => Role::ControlPlane,
        Some("data_plane") => Role::DataPlane,
        _ => Role::Traditional,
    };
    for (needed, built, feature) in [
        (
            role.has_control_plane(),
            cfg!(feature = "control-plane"),
            "control-plane",
        ),
        (
            role.has_data_plane(),
            cfg!(feature = "data-plane"),
            "data-plane",
        ),
    ] {
        if needed && !built {
            problems.violation(format!(
                "role = \"{}\" needs the feature {feature}, which this build lacks",
                role.as_str()
            ));
        }
    }
    role
}

fn node_id(values: &Values, problems: &mut Problems) -> Option<Uuid> {
    let parsed = Uuid::try_parse(values.text("node_id")?);
    if parsed.is_err() {
        problems.violation("node_id must be a valid UUID");
    }
    parsed.ok()
}

/// By either name; the longer one wins.
fn daemon(values: &Values, problems: &mut Problems) -> Option<bool> {
    match values.text("nginx_main_daemon") {
        None => values.set_boolean("nginx_daemon"),
        Some("on" | "true") => Some(true),
        Some("off" | "false") => Some(false),
        Some(other) => {
            problems.violation(format!("nginx_main_daemon is not on or off: '{other}'"));
            None
        }
    }
}

fn workers(values: &Values, problems: &mut Problems) -> Option<usize> {
    let text = values.text("nginx_worker_processes")?;
    if text == "auto" {
        return None;
    }
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=MAX_WORKERS).contains(count));
    if count.is_none() {
        problems.violation(format!(
            "nginx_worker_processes must be auto or an integer between 1 and {MAX_WORKERS}, got '{text}'"
        ));
    }
    count
}

/// A plugin that there is not is known at once, not only where it is needed. Files and
/// environments of Kong may name Lua plugins of their own: those are left out with a warning, and
/// an entity that names one is refused.
fn plugins(values: &Values, problems: &mut Problems) -> PluginSelection {
    let mut selection = PluginSelection::new(values.list("plugins"));
    let known: Vec<&str> = schema::plugins().map(|plugin| plugin.name).collect();
    if let Err(sentence) = selection.select(&known) {
        if values.is_flag("plugins") {
            problems.violation(sentence);
        } else {
            problems.warning(format!("{sentence}; left out"));
        }
        selection
            .names
            .retain(|name| known.contains(&name.as_str()));
    }
    selection
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(text: &str) -> PluginSelection {
        let entries: Vec<_> = text.split(',').map(str::to_owned).collect();
        PluginSelection::new(&entries)
    }

    #[test]
    fn plugin_selections() {
        let available = ["acl", "key-auth", "own"];
        for (text, expected) in [
            // What is not bundled must be named.
            ("bundled", &["acl", "key-auth"][..]),
            ("off", &[]),
            ("key-auth", &["key-auth"]),
            ("own,acl", &["acl", "own"]),
            ("bundled,own", &["acl", "key-auth", "own"]),
        ] {
            assert_eq!(
                selection(text).select(&available).unwrap(),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            selection("nope,acl,neither")
                .select(&available)
                .unwrap_err(),
            "plugins: not part of this build: nope, neither"
        );
    }

    #[test]
    fn log_levels_have_an_order() {
        assert!(LogLevel::ALL.is_sorted());
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
    }
}
