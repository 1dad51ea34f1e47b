//! `?wait=effective`: an answer to a write that comes when the write is in effect.

use super::error::ApiError;
use super::paging;
use crate::control_plane::config_store::Store;
use crate::model::Revision;
use crate::schema::Violations;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

/// How long to wait without a `timeout`.
const DEFAULT: Duration = Duration::from_secs(30);
/// The largest `timeout`, in seconds.
const LONGEST: f64 = 300.0;
/// How long the database may take to say where a revision is, even when the time is over.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Between two looks, at first and in the end. Data planes of other control planes are seen
/// through their rows alone, and most revisions are in effect within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// That, and how long, an answer is to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait(Duration);

/// What has come of waiting.
#[derive(Debug, PartialEq)]
pub struct Effect {
    pub revision: Revision,
    pub reach: Reach,
}

/// Where a revision is in effect.
#[derive(Debug, PartialEq)]
pub enum Reach {
    /// On every connected data plane.
    Everywhere,
    /// Not on these.
    Pending(Vec<Uuid>),
    /// The database could not be asked.
    Unknown,
}

impl Wait {
    /// What the arguments of a write ask for; `None` is an answer at once.
    ///
    /// # Errors
    /// Code 2 on each argument that is wrong.
    pub fn asked(arguments: &[(String, String)]) -> Result<Option<Wait>, ApiError> {
        let mut refused = Map::new();
        let mut read = |name: &str| match paging::argument(arguments, name) {
            Ok(value) => value,
            Err(_) => {
                refused.insert(name.to_owned(), "must be given only once".into());
                None
            }
        };
        let wait = read("wait");
        // Without `wait` it may be the argument of something else.
        let timeout = wait.and_then(|_| read("timeout"));
        if wait.is_some_and(|wait| wait != "effective") {
            refused.insert("wait".to_owned(), "expected 'effective'".into());
        }
        let within = match timeout.map(seconds) {
            None => DEFAULT,
            Some(Some(within)) => within,
            Some(None) => {
                let why = "expected seconds, a number from 0 to 300";
                refused.insert("timeout".to_owned(), Value::from(why));
                DEFAULT
            }
        };
        match refused.is_empty() {
            true => Ok(wait.map(|_| Wait(within))),
            false => Err(ApiError::Schema(Violations { fields: refused })),
        }
    }

    /// Waits until every connected data plane has the revision in effect, or the time is over.
    pub async fn until_effective(self, store: &Store, revision: Revision) -> Effect {
        let deadline = Instant::now() + self.0;
        let mut pause = FIRST_PAUSE;
        let mut reach = Reach::Unknown;
        loop {
            // A database that hangs must not keep the answer from being sent; one that is busy is
            // not unknown.
            let patience = deadline.max(Instant::now() + LAST_LOOK);
            match timeout_at(patience, store.data_planes_before(revision)).await {
                Ok(Ok(pending)) if pending.is_empty() => reach = Reach::Everywhere,
                Ok(Ok(pending)) => reach = Reach::Pending(pending),
                Ok(Err(err)) => tracing::warn!(?err, "the fleet cannot be read"),
                Err(_) => tracing::warn!("the fleet cannot be read: no answer in time"),
            }
            if reach == Reach::Everywhere || Instant::now() >= deadline {
                return Effect { revision, reach };
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (0.0..=LONGEST)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Option<Wait>, ApiError> {
        let arguments = super::super::request::arguments(query).expect("arguments");
        Wait::asked(&arguments)
    }

    #[test]
    fn good_arguments() {
        for (query, expected) in [
            ("", None),
            ("timeout=never", None),
            ("timeout=1&timeout=2", None),
            ("wait=effective", Some(30.0)),
            ("wait=effective&timeout=0", Some(0.0)),
            ("wait=effective&timeout=1.5", Some(1.5)),
            ("timeout=300&wait=effective", Some(300.0)),
        ] {
            let expected = expected.map(|seconds| Wait(Duration::from_secs_f64(seconds)));
            assert_eq!(asked(query).expect(query), expected, "{query}");
        }
    }

    #[test]
    fn every_bad_argument_is_named() {
        for (query, expected) in [
            ("wait", "wait: expected 'effective'"),
            ("wait=applied", "wait: expected 'effective'"),
            ("wait=effective&wait=other", "wait: must be given only once"),
            (
                "wait=effective&timeout=1&timeout=2",
                "timeout: must be given only once",
            ),
            (
                "wait=x&timeout=NaN",
                "timeout: expected seconds, a number from 0 to 300; wait: expected 'effective'",
            ),
        ] {
            match asked(query) {
                Err(ApiError::Schema(violations)) => {
                    let text = violations.message();
                    assert!(text.contains(&format!("({expected})")), "{query}: {text}");
                }
                other => panic!("{query}: {other:?}"),
            }
        }
        for timeout in ["", "-1", "-0.1", "300.5", "inf", "30s", "1e9"] {
            let query = format!("wait=effective&timeout={timeout}");
            assert!(asked(&query).is_err(), "{query}");
        }
    }
}
