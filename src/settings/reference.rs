//! `{vault://env/name}` as the value of a setting: it stands for an environment variable.
//!
//! As in Kong, the variable of `{vault://env/my-name}` is `MY_NAME`, with `vault_env_prefix` or
//! the reference's own `?prefix=` before it; `{vault://env/my-name/key}` is one field of a variable
//! that holds a JSON object. Other vaults need entities, which settings come before.

use super::given::Given;
use super::key::{Effect, Kind};
use super::keys;
use super::problems::Problems;
use percent_encoding::percent_decode_str;

/// The setting that says what names of variables begin with.
const PREFIX_KEY: &str = "vault_env_prefix";

/// Puts values in the place of the references in all settings that have an effect.
pub(super) fn resolve_all(
    given: &mut Given,
    environment: &[(String, String)],
    problems: &mut Problems,
) {
    let prefix = given.get(PREFIX_KEY).unwrap_or_default().to_owned();
    let names: Vec<_> = given.names().collect();
    for key in names.into_iter().filter_map(keys::find) {
        let text = given.get(key.name).unwrap_or_default().to_owned();
        if key.effect == Effect::None || !text.contains(OPENING) {
            continue;
        }
        let resolved = match key.kind {
            Kind::List => list(&text, environment, &prefix),
            _ => resolve(&text, environment, &prefix),
        };
        match resolved {
            Ok(value) if value == text => {}
            Ok(value) => given.put_resolved(key.name, text, value),
            Err(why) => {
                problems.violation(format!("{}: {why}", key.name));
                // A number or a word that is a reference would be reported once more.
                if !matches!(key.kind, Kind::Text | Kind::List) {
                    given.remove(key.name);
                }
            }
        }
    }
}

const OPENING: &str = "{vault://";

/// Each entry of a list by itself.
fn list(text: &str, environment: &[(String, String)], prefix: &str) -> Result<String, String> {
    let entries = text
        .split(',')
        .map(|entry| resolve(entry.trim(), environment, prefix));
    Ok(entries.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// What a text stands for: itself when it is no reference.
///
/// # Errors
/// Why it cannot be resolved, in a sentence that names the reference.
pub fn resolve(
    text: &str,
    environment: &[(String, String)],
    prefix: &str,
) -> Result<String, String> {
    resolve_of(text, environment, |vault| match vault {
        "env" => Ok(prefix.to_owned()),
        _ => Err(format!(
            "settings can only refer to the vault env, not to '{vault}'"
        )),
    })
}

/// The same for any vault that is kept in the environment: `prefix_of` says what the names of the
/// variables of a vault begin with, or why there is no such vault.
///
/// # Errors
/// Why it cannot be resolved, in a sentence that names the reference.
pub fn resolve_of(
    text: &str,
    environment: &[(String, String)],
    prefix_of: impl FnOnce(&str) -> Result<String, String>,
) -> Result<String, String> {
    let inner = text
        .strip_prefix(OPENING)
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inner) = inner else {
        return Ok(text.to_owned());
    };
    let refused = |why: String| format!("{text} cannot be resolved: {why}");
    let (path, query) = inner.split_once('?').unwrap_or((inner, ""));
    let mut parts = path.split('/');
    let vault = parts.next().unwrap_or_default();
    let prefix = prefix_of(vault).map_err(refused)?;
    let resource = decoded(parts.next().unwrap_or_default());
    if resource.is_empty() {
        return Err(refused("it names no variable".to_owned()));
    }
    let own = query
        .split('&')
        .find_map(|option| option.strip_prefix("prefix="));
    let prefix = own.map_or(prefix, decoded);
    let variable = format!("{prefix}{resource}")
        .replace('-', "_")
        .to_ascii_uppercase();
    let value = environment.iter().find(|(name, _)| *name == variable);
    let Some((_, value)) = value else {
        return Err(refused(format!(
            "the environment variable {variable} is not set"
        )));
    };
    match parts.next().map(decoded).filter(|field| !field.is_empty()) {
        None => Ok(value.trim().to_owned()),
        Some(field) => field_of(value, &field).ok_or_else(|| {
            refused(format!(
                "{variable} is no JSON object with a text '{field}'"
            ))
        }),
    }
}

fn field_of(value: &str, field: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(value).ok()?;
    match object.get(field)? {
        serde_json::Value::String(text) => Some(text.clone()),
        number @ serde_json::Value::Number(_) => Some(number.to_string()),
        flag @ serde_json::Value::Bool(_) => Some(flag.to_string()),
        _ => None,
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, prefix: &str) -> Result<String, String> {
        let environment = [
            ("PG_PASSWORD", "hunter2"),
            ("VAULT_PG_PASSWORD", "hunter3"),
            ("PG", r#"{"password": "hunter4", "port": 5433, "list": []}"#),
            ("EMPTY", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        resolve(text, &environment, prefix)
    }

    #[test]
    fn trial_11_references_stand_for_variables() {
        for (text, prefix, expected) in [
            ("plain", "", "plain"),
            ("{vault://env/pg-password}", "", "hunter2"),
            ("{vault://env/pg_password}", "", "hunter2"),
            ("{vault://env/PG_PASSWORD}", "", "hunter2"),
            ("{vault://env/pg%2Dpassword}", "", "hunter2"),
            ("{vault://env/pg-password}", "vault_", "hunter3"),
            ("{vault://env/pg-password}", "vault-", "hunter3"),
            ("{vault://env/pg-password?prefix=vault_}", "", "hunter3"),
            ("{vault://env/pg-password?prefix=}", "vault_", "hunter2"),
            ("{vault://env/pg/password}", "", "hunter4"),
            ("{vault://env/pg/port}", "", "5433"),
            ("{vault://env/empty}", "", ""),
            ("{vault://env/x", "", "{vault://env/x"),
        ] {
            assert_eq!(resolved(text, prefix).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn trial_11_what_cannot_be_resolved_says_why() {
        for (text, expected) in [
            (
                "{vault://env/nope}",
                "the environment variable NOPE is not set",
            ),
            ("{vault://env/}", "it names no variable"),
            ("{vault://env}", "it names no variable"),
            (
                "{vault://hcv/secret/x}",
                "settings can only refer to the vault env, not to 'hcv'",
            ),
            (
                "{vault://env/pg/list}",
                "PG is no JSON object with a text 'list'",
            ),
            (
                "{vault://env/pg-password/x}",
                "PG_PASSWORD is no JSON object with a text 'x'",
            ),
        ] {
            let expected = format!("{text} cannot be resolved: {expected}");
            assert_eq!(resolved(text, ""), Err(expected));
        }
    }
}
