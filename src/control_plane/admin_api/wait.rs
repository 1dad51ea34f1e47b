//! `?wait=effective`: an answer to a write that comes when the write is in effect.

use super::error::ApiError;
use super::paging;
use crate::control_plane::cluster_registry::{Fleet, Sight, Standing};
use crate::model::Revision;
use crate::schema::Violations;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout_at};
use uuid::Uuid;

/// How long to wait without a `timeout`.
const DEFAULT: Duration = Duration::from_secs(30);
/// The largest `timeout`, in seconds.
const LONGEST: f64 = 300.0;
/// How long it may take to hear of the data planes of others, even when the time is over.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// A fleet speaks at once: what comes within such a moment is looked at together.
const MOMENT: Duration = Duration::from_millis(2);

/// That, and how long, an answer is to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait(Duration);

/// Where a revision is in effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Reach {
    /// On every connected data plane.
    Everywhere,
    /// Not on these, as far as is known.
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

    /// Waits until every connected data plane has the revision in effect, or the time is over, or
    /// all that have it not are stuck. Nothing is asked: the fleet tells.
    pub async fn until_effective(self, fleet: &Arc<Fleet>, revision: Revision) -> Reach {
        let begun = Instant::now();
        let deadline = begun + self.0;
        let waiting = fleet.wait();
        let mut changes = fleet.changes();
        loop {
            changes.mark_unchanged();
            let standing = fleet.standing(revision, &waiting);
            let now = Instant::now();
            let end = match standing.elsewhere {
                Sight::Looking => deadline.max(begun + LAST_LOOK),
                Sight::Seen | Sight::Unknown => deadline,
            };
            let moving = standing.late.iter().map(|late| late.stuck_from);
            let moving = moving.filter(|stuck_from| *stuck_from > now).min();
            let is_decided = moving.is_none()
                && match standing.elsewhere {
                    Sight::Looking => false,
                    Sight::Seen => true,
                    // As long as there is time, the database may come back.
                    Sight::Unknown => !standing.late.is_empty(),
                };
            if is_decided || now >= end {
                return Reach::of(standing);
            }
            let until = moving.map_or(end, |stuck_from| stuck_from.min(end));
            // The sender is the fleet, which is there as long as it is waited for.
            let _ = timeout_at(until.into(), changes.changed()).await;
            sleep(MOMENT).await;
        }
    }
}

impl Reach {
    fn of(standing: Standing) -> Reach {
        match (standing.late.is_empty(), standing.elsewhere) {
            (false, _) => Reach::Pending(standing.late.iter().map(|late| late.id).collect()),
            (true, Sight::Seen) => Reach::Everywhere,
            (true, Sight::Looking | Sight::Unknown) => Reach::Unknown,
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
