//! The lifetime of rows that may expire.
//!
//! Requests and responses speak of the seconds that remain; rows hold the second at which
//! they end.

use super::entity::Entity;
use super::env::Env;
use serde_json::{Map, Value, json};

/// The longest lifetime that a request may ask for, in seconds.
pub(super) const LONGEST: u64 = 100_000_000;

/// The lifetime in a request or a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// Never ends.
    #[default]
    Forever,
    /// Ends so many seconds from now.
    Remaining(i64),
    /// Ends at that second of the epoch.
    Until(i64),
}

/// A `ttl` that is no lifetime. Unlike other fields it is an option of the request:
/// the answer has code 11.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid option ({name}: {text})")]
pub struct OptionViolation {
    pub name: &'static str,
    pub text: &'static str,
}

impl OptionViolation {
    /// The body of the 400 answer.
    pub fn to_json(&self) -> Value {
        json!({
            "code": 11,
            "name": "invalid options",
            "message": self.to_string(),
            "options": { self.name: self.text },
        })
    }
}

impl Ttl {
    /// Checks the `ttl` of a request to an entity that may expire; to be called before
    /// [`Entity::insert`] and [`Entity::update`], which ignore a wrong one.
    ///
    /// # Errors
    /// Anything but null or a whole number from 0 to 100000000.
    pub fn check(entity: &Entity, input: &Map<String, Value>) -> Result<(), OptionViolation> {
        match input.get("ttl") {
            Some(value) if entity.ttl && !value.is_null() && seconds(value).is_none() => {
                Err(OptionViolation {
                    name: "ttl",
                    text: "must be an integer between 0 and 100000000",
                })
            }
            _ => Ok(()),
        }
    }

    /// Takes the `ttl` out of a request; `None` when it has none.
    pub(super) fn take(entity: &Entity, input: &mut Map<String, Value>) -> Option<Ttl> {
        if !entity.ttl {
            return None;
        }
        let value = input.shift_remove("ttl")?;
        Some(match seconds(&value) {
            // Zero asks for a row without an end.
            None | Some(0) => Ttl::Forever,
            Some(seconds) => Ttl::Remaining(seconds),
        })
    }

    pub(super) fn stored(entity: &Entity, row: &Map<String, Value>) -> Ttl {
        match row.get("ttl").and_then(Value::as_i64) {
            Some(until) if entity.ttl => Ttl::Until(until),
            _ => Ttl::Forever,
        }
    }

    pub(super) fn store(self, entity: &Entity, row: &mut Map<String, Value>, env: &Env<'_>) {
        if !entity.ttl {
            return;
        }
        let until = match self {
            Ttl::Forever => Value::Null,
            Ttl::Remaining(seconds) => Value::from(env.now() + seconds),
            Ttl::Until(until) => Value::from(until),
        };
        row.insert("ttl".to_owned(), until);
    }

    pub(super) fn show(self, entity: &Entity, shown: &mut Map<String, Value>, env: &Env<'_>) {
        if !entity.ttl {
            return;
        }
        let remaining = match self {
            Ttl::Forever => Value::Null,
            Ttl::Remaining(seconds) => Value::from(seconds),
            Ttl::Until(until) => Value::from((until - env.now()).max(0)),
        };
        shown.insert("ttl".to_owned(), remaining);
    }
}

fn seconds(value: &Value) -> Option<i64> {
    let whole = match value {
        Value::Number(number) => super::number::normalize(number.clone()).as_u64()?,
        _ => return None,
    };
    (whole <= LONGEST).then(|| i64::try_from(whole).ok())?
}
