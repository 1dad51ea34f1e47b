//! Input aliases: fields that are accepted on write and turned into others.

use super::definition::{Field, Path};
use super::env::Env;
use super::validate::{self, Scope};
use super::validators::url;
use serde_json::{Map, Value, json};

/// An alias and what becomes of it.
#[derive(Debug)]
pub(super) struct Shorthand {
    pub field: Field,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    /// A deprecated name: moves to the new paths, and responses still show it.
    Moved(Vec<Path>),
    /// Another name that responses do not show.
    Renamed(&'static str),
    /// A setting that no longer has an effect.
    Dropped,
    /// A service's `url`: protocol, host, port and path in one.
    ServiceUrl,
    /// Choosing a balancing algorithm may reset `hash_on`.
    Algorithm,
    /// Choosing what to hash chooses the algorithm.
    HashOn,
    /// A session's `cookie_samesite`; its `off` is called `Lax` now.
    SameSite,
    /// A session's `cookie_idletime`; null is zero.
    IdleTime,
}

impl Shorthand {
    /// `None` when nobody knows what the alias stands for.
    pub fn new(kind: &str, owner: &str, field: Field, new_paths: &[Box<str>]) -> Option<Shorthand> {
        let effect = match (kind, owner, &*field.name) {
            _ if !new_paths.is_empty() => {
                Effect::Moved(new_paths.iter().map(|path| Path::new(path)).collect())
            }
            ("entities", "services", "url") => Effect::ServiceUrl,
            ("entities", "upstreams", "algorithm") => Effect::Algorithm,
            ("entities", "upstreams", "hash_on") => Effect::HashOn,
            ("plugins", "opentelemetry", "endpoint") => Effect::Renamed("traces_endpoint"),
            ("plugins", "session", "cookie_lifetime") => Effect::Renamed("rolling_timeout"),
            ("plugins", "session", "cookie_discard") => Effect::Renamed("stale_ttl"),
            ("plugins", "session", "cookie_httponly") => Effect::Renamed("cookie_http_only"),
            ("plugins", "session", "cookie_persistent") => Effect::Renamed("remember"),
            ("plugins", "session", "cookie_samesite") => Effect::SameSite,
            ("plugins", "session", "cookie_idletime") => Effect::IdleTime,
            ("plugins", "session", "cookie_renew") => Effect::Dropped,
            _ => return None,
        };
        Some(Shorthand { field, effect })
    }

    /// Replaces the alias in `data`, when it is there.
    ///
    /// # Errors
    /// The alias' own violation, or the contradiction between old and new name.
    pub fn apply(&self, data: &mut Map<String, Value>, env: &Env<'_>) -> Result<(), Value> {
        let Some(value) = data.get(&*self.field.name) else {
            return Ok(());
        };
        validate::field(&self.field, value, &Scope::new(env))?;
        if let Effect::Moved(paths) = &self.effect {
            paths
                .iter()
                .try_for_each(|path| self.agrees(value, path.get(data), path))?;
        }
        let Some(value) = data.shift_remove(&*self.field.name) else {
            return Ok(());
        };
        let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
        match &self.effect {
            Effect::Dropped => {}
            Effect::Moved(paths) => {
                for path in paths {
                    if path.get(data).is_none_or(Value::is_null) {
                        fill_path(data, &path.parts, value.clone());
                    }
                }
            }
            Effect::Renamed(name) => {
                put(name, value);
            }
            Effect::SameSite => {
                let lax = value == "off";
                put("cookie_same_site", if lax { json!("Lax") } else { value });
            }
            Effect::IdleTime => {
                let none = value.is_null();
                put("idling_timeout", if none { json!(0) } else { value });
            }
            Effect::ServiceUrl => service_url(data, &value),
            Effect::Algorithm => {
                if value == "least-connections" || value == "latency" {
                    put("hash_on", Value::Null);
                }
                put("algorithm", value);
            }
            Effect::HashOn => {
                let (hash_on, algorithm) = match value {
                    Value::Null => (json!("none"), None),
                    none if none == "none" => (none, Some("round-robin")),
                    some => (some, Some("consistent-hashing")),
                };
                put("hash_on", hash_on);
                if let Some(algorithm) = algorithm {
                    put("algorithm", json!(algorithm));
                }
            }
        }
        Ok(())
    }

    /// The fields of its record that it gives a value.
    pub fn fills(&self) -> Vec<&str> {
        match &self.effect {
            Effect::Moved(paths) => paths.iter().map(|path| &*path.parts[0]).collect(),
            Effect::Renamed(name) => vec![name],
            Effect::Dropped => Vec::new(),
            Effect::ServiceUrl => vec!["protocol", "host", "port", "path"],
            Effect::Algorithm | Effect::HashOn => vec!["algorithm", "hash_on"],
            Effect::SameSite => vec!["cookie_same_site"],
            Effect::IdleTime => vec!["idling_timeout"],
        }
    }

    /// Whether it is an old name, kept for those who still write it.
    pub fn is_deprecated(&self) -> bool {
        !matches!(
            self.effect,
            Effect::ServiceUrl | Effect::Algorithm | Effect::HashOn
        )
    }

    /// Whether responses show it.
    pub fn is_shown(&self) -> bool {
        matches!(self.effect, Effect::Moved(_))
    }

    /// The alias' value for a response; `None` when responses do not show it.
    pub fn shown<'v>(&self, data: &'v Map<String, Value>) -> Option<&'v Value> {
        match &self.effect {
            Effect::Moved(paths) => paths
                .first()
                .map(|path| path.get(data).unwrap_or(&Value::Null)),
            _ => None,
        }
    }

    /// Whether responses are put through the alias too.
    pub fn applies_on_read(&self) -> bool {
        matches!(self.effect, Effect::Algorithm | Effect::HashOn)
    }

    fn agrees(&self, old: &Value, new: Option<&Value>, path: &Path) -> Result<(), Value> {
        let Some(new) = new else { return Ok(()) };
        if old.is_null() || new.is_null() || old == new {
            return Ok(());
        }
        let alias = &self.field.name;
        Err(Value::String(format!(
            "both deprecated and new field are used but their values mismatch: {alias} = {} vs {} = {}",
            super::number::to_text(old),
            path.text,
            super::number::to_text(new),
        )))
    }
}

/// Sets a nested value, making the records on the way.
fn fill_path(data: &mut Map<String, Value>, parts: &[Box<str>], value: Value) {
    let Some((first, rest)) = parts.split_first() else {
        return;
    };
    if rest.is_empty() {
        data.insert(first.to_string(), value);
        return;
    }
    let inner = data.entry(&**first).or_insert(Value::Null);
    match inner {
        Value::Object(inner) => fill_path(inner, rest, value),
        // A wrong type stays to be reported under its own name.
        Value::Null => {
            let mut made = Map::new();
            fill_path(&mut made, rest, value);
            *inner = Value::Object(made);
        }
        _ => {}
    }
}

fn service_url(data: &mut Map<String, Value>, value: &Value) {
    // A null is recorded to be read as the text Lua prints for it.
    let text = value.as_str().unwrap_or("userdata: NULL");
    let parsed = url::parse(text);
    let port = parsed.port.map(|port| match port.parse::<u64>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(port),
    });
    let protocol = match (&parsed.scheme, &port) {
        (Some(scheme), _) => scheme.clone(),
        (None, Some(port)) if *port == 443 => "https".to_owned(),
        _ => "http".to_owned(),
    };
    let port = port.unwrap_or_else(|| Value::from(if protocol == "https" { 443 } else { 80 }));
    data.insert("protocol".to_owned(), Value::String(protocol));
    data.insert(
        "host".to_owned(),
        parsed.host.map_or(Value::Null, Value::String),
    );
    data.insert("port".to_owned(), port);
    data.insert(
        "path".to_owned(),
        parsed.path.map_or(Value::Null, Value::String),
    );
}
