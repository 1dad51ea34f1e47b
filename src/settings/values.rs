//! The value of every key, checked against its type; later steps only read what they need.

use super::given::Given;
use super::key::{Key, Kind};
use super::keys;
use super::problems::Problems;
use super::units;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::time::Duration;

/// What is shown in place of a secret.
pub const MASK: &str = "******";

/// A value that fits its key's type. Sizes and times keep their text as it was written.
#[derive(Clone, PartialEq)]
enum Value {
    Text(String),
    Boolean(bool),
    Number(f64),
    Size(String, u64),
    Time(String, Duration),
    List(Vec<String>),
}

/// The values of all keys that are set, defaults included.
#[derive(Clone)]
pub struct Values {
    typed: HashMap<&'static str, Value>,
    given: Given,
}

impl Values {
    /// Types every value; one that does not fit is reported and read as unset.
    pub(super) fn new(given: Given, problems: &mut Problems) -> Values {
        let mut typed = HashMap::new();
        for key in keys::all() {
            let text = given.get(key.name).unwrap_or(key.default);
            if text.is_empty() {
                continue;
            }
            match parse(key.kind, text) {
                Some(value) => {
                    typed.insert(key.name, value);
                }
                // Two names of one setting have the same value by now: it is wrong once.
                None if has_alias_with(&given, key, text) => {}
                None if key.secret || given.is_hidden(key.name) => {
                    problems.violation(misfit(key, text, MASK, &given));
                }
                None => problems.violation(misfit(key, text, text, &given)),
            }
        }
        Values { typed, given }
    }

    /// Whether the value comes from the command line.
    pub(super) fn is_flag(&self, name: &str) -> bool {
        self.given.is_flag(name)
    }

    /// Whether a source gives the key a value.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some()
    }

    /// Whether the key has its default, also where somebody has written that down.
    pub(super) fn is_default(&self, name: &str) -> bool {
        let default = keys::find(name).map(|key| key.default);
        self.given
            .get(name)
            .is_none_or(|text| Some(text) == default)
    }

    /// The keys that are set to something else than their default.
    pub(super) fn changed(&self) -> impl Iterator<Item = &'static str> + '_ {
        let keys = self.given.names().filter_map(keys::find);
        let changed = keys.filter(|key| self.given.get(key.name) != Some(key.default));
        changed.map(|key| key.name)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(keys::find(name).is_some(), "{name} is not in the table");
        self.typed.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean; unset is off.
    pub(super) fn boolean(&self, name: &str) -> bool {
        self.set_boolean(name) == Some(true)
    }

    /// A boolean that has no default.
    pub(super) fn set_boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Boolean(on) => Some(*on),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Size(_, bytes) => Some(*bytes),
            _ => None,
        }
    }

    pub(super) fn time(&self, name: &str) -> Option<Duration> {
        match self.get(name)? {
            Value::Time(_, time) => Some(*time),
            _ => None,
        }
    }

    /// The entries of a list; unset is empty.
    pub(super) fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::List(entries)) => entries,
            _ => &[],
        }
    }

    /// Sets a default that depends on other keys.
    pub(super) fn set_text(&mut self, name: &'static str, text: &str) {
        self.typed.insert(name, Value::Text(text.to_owned()));
    }

    /// All values as JSON, with secrets masked and references as they were written; keys that are
    /// unset are left out.
    pub(super) fn masked(&self) -> Map<String, Json> {
        let mut object = Map::new();
        for key in keys::all() {
            let Some(value) = self.typed.get(key.name) else {
                continue;
            };
            let json = match self.given.reference(key.name) {
                _ if key.secret => Json::from(MASK),
                Some(reference) => Json::from(reference),
                None => json(key.kind, value),
            };
            object.insert(key.name.to_owned(), json);
        }
        object
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Values").field(&self.masked()).finish()
    }
}

fn parse(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Text => Value::Text(text.to_owned()),
        Kind::Boolean | Kind::NginxBoolean => Value::Boolean(match text {
            "on" | "true" => true,
            "off" | "false" => false,
            _ => return None,
        }),
        Kind::Number => Value::Number(text.parse().ok().filter(|n: &f64| n.is_finite())?),
        Kind::Size => Value::Size(text.to_owned(), units::size(text)?),
        Kind::Time => Value::Time(text.to_owned(), units::time(text)?),
        Kind::OneOf(words) => Value::Text(words.iter().find(|word| **word == text)?.to_string()),
        Kind::List => Value::List(entries(text)),
    })
}

fn entries(text: &str) -> Vec<String> {
    text.split(',')
        .map(|entry| entry.trim().to_owned())
        .filter(|entry| !entry.is_empty())
        .collect()
}

/// Whether another name of the setting was given this text, too.
fn has_alias_with(given: &Given, key: &Key, text: &str) -> bool {
    keys::all()
        .filter(|alias| alias.alias_of == Some(key.name))
        .any(|alias| given.get(alias.name) == Some(text))
}

/// `shown` is the text, or what stands for a secret.
fn misfit(key: &Key, text: &str, shown: &str, given: &Given) -> String {
    let mut name = key.name.to_owned();
    let mut next = key.alias_of;
    while let Some(main) = next.filter(|main| given.get(main) == Some(text)) {
        name.push_str(" or ");
        name.push_str(main);
        next = keys::find(main).and_then(|main| main.alias_of);
    }
    match key.kind {
        Kind::OneOf(words) => format!(
            "{name} has an invalid value: '{shown}' ({})",
            words.join(", ")
        ),
        kind => format!("{name} is not a {}: '{shown}'", kind.name()),
    }
}

fn json(kind: Kind, value: &Value) -> Json {
    match value {
        Value::Text(text) | Value::Size(text, _) | Value::Time(text, _) => {
            Json::from(text.as_str())
        }
        Value::Boolean(on) if kind == Kind::NginxBoolean => {
            Json::from(if *on { "on" } else { "off" })
        }
        Value::Boolean(on) => Json::from(*on),
        Value::Number(number) => number_json(*number),
        Value::List(entries) => Json::from(entries.as_slice()),
    }
}

/// A whole number without a fraction, as Kong prints it.
fn number_json(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.fract() == 0.0 && number.abs() <= EXACT {
        true => Json::from(number as i64),
        false => Json::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const N: usize>(given: [(&'static str, &str); N]) -> (Values, Vec<String>) {
        let mut problems = Problems::default();
        let values = Values::new(Given::from(given), &mut problems);
        (values, problems.violations().to_vec())
    }

    #[test]
    fn every_default_fits_its_type() {
        let (_, violations) = values([]);
        assert_eq!(violations, [""; 0]);
    }

    #[test]
    fn misfits_name_the_key() {
        for (name, text, expected) in [
            ("pg_port", "abc", "pg_port is not a number: 'abc'"),
            ("pg_port", "inf", "pg_port is not a number: 'inf'"),
            ("pg_ssl", "yes", "pg_ssl is not a boolean: 'yes'"),
            ("lmdb_map_size", "big", "lmdb_map_size is not a size: 'big'"),
            (
                "shutdown_timeout",
                "x",
                "shutdown_timeout is not a time: 'x'",
            ),
            (
                "real_ip_recursive",
                "1",
                "real_ip_recursive is not a ngx_boolean: '1'",
            ),
            (
                "role",
                "dp",
                "role has an invalid value: 'dp' (data_plane, control_plane, traditional)",
            ),
        ] {
            assert_eq!(values([(name, text)]).1, [expected]);
        }
    }

    #[test]
    fn an_empty_value_is_the_default() {
        let (values, violations) = values([("role", ""), ("pg_host", "")]);
        assert_eq!(violations, [""; 0]);
        assert_eq!(values.text("role"), Some("traditional"));
        assert_eq!(values.text("pg_host"), Some("127.0.0.1"));
        assert_eq!(values.text("pg_schema"), None);
    }

    #[test]
    fn lists() {
        let (values, _) = values([("plugins", " bundled,key-auth ,, x ")]);
        assert_eq!(values.list("plugins"), ["bundled", "key-auth", "x"]);
    }

    #[test]
    fn reported_values() {
        let (values, _) = values([("pg_password", "hunter2"), ("ssl_cert_key", "/a, /b")]);
        let object = values.masked();
        for (name, expected) in [
            ("pg_password", Json::from("******")),
            ("ssl_cert_key", Json::from("******")),
            ("pg_port", Json::from(5432)),
            ("tracing_sampling_rate", Json::from(0.01)),
            ("allow_debug_header", Json::from(false)),
            ("real_ip_recursive", Json::from("off")),
            ("lmdb_map_size", Json::from("2048m")),
            (
                "dns_order",
                serde_json::json!(["LAST", "SRV", "A", "CNAME"]),
            ),
        ] {
            assert_eq!(object[name], expected, "{name}");
        }
        assert!(!object.contains_key("cluster_cert"));
        assert!(!format!("{values:?}").contains("hunter2"));
    }

    #[test]
    fn trial_11_what_a_reference_stands_for_is_shown_nowhere() {
        let reference = "{vault://env/x}";
        let mut given = Given::default();
        for (key, value) in [("pg_host", "hunter2"), ("pg_port", "hunter3")] {
            given.put_resolved(key, reference.to_owned(), value.to_owned());
        }
        let mut problems = Problems::default();
        let values = Values::new(given, &mut problems);
        assert_eq!(problems.violations(), ["pg_port is not a number: '******'"]);
        assert_eq!(values.text("pg_host"), Some("hunter2"));
        assert_eq!(values.masked()["pg_host"], reference);
    }
}
