//! What the names of targets resolve to, and when each is asked for again.
//!
//! The system's resolver does not tell how long an answer holds. An answer that cannot be
//! renewed stays in use: a resolver that is down takes no upstream with it.

use crate::data_plane::balancer::{LookupError, Resolution};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a name that has no address is left alone.
const FAILED: Duration = Duration::from_secs(1);
/// Questions at a time.
const MOST_ASKED: usize = 64;

/// The names that targets have now.
#[derive(Default)]
pub struct TargetNames {
    names: HashMap<Arc<str>, Name>,
    asked: usize,
}

#[derive(Default)]
struct Name {
    resolution: Resolution,
    state: State,
    /// The upstreams that use it.
    upstreams: Vec<Arc<str>>,
}

/// Whether somebody waits for an answer.
enum State {
    Asked,
    Until(Option<Instant>),
}

impl Default for State {
    fn default() -> State {
        State::Until(None)
    }
}

impl TargetNames {
    /// Takes over which names there are, each with an upstream that uses it. Names that stay
    /// keep what is known of them.
    pub fn follow<'a>(&mut self, used: impl IntoIterator<Item = (&'a Arc<str>, &'a Arc<str>)>) {
        let mut seen = HashSet::new();
        for name in self.names.values_mut() {
            name.upstreams.clear();
        }
        for (name, upstream) in used {
            let entry = self.names.entry(Arc::clone(name)).or_default();
            entry.upstreams.push(Arc::clone(upstream));
            seen.insert(Arc::clone(name));
        }
        self.names.retain(|name, _| seen.contains(name));
    }

    /// What is known of a name.
    pub fn known(&self, name: &str) -> Resolution {
        let known = self.names.get(name);
        known
            .map(|name| name.resolution.clone())
            .unwrap_or_default()
    }

    /// The names to ask for now; each must be [answered](TargetNames::answer).
    pub fn take_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        for (name, entry) in &mut self.names {
            if self.asked == MOST_ASKED {
                break;
            }
            if matches!(entry.state, State::Until(at) if at.is_none_or(|at| at <= now)) {
                entry.state = State::Asked;
                self.asked += 1;
                due.push(Arc::clone(name));
            }
        }
        due
    }

    /// When the next name is due; `None` when there is none, or none more may be asked.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.asked == MOST_ASKED {
            return None;
        }
        let due = self.names.values().filter_map(|name| match name.state {
            State::Asked => None,
            State::Until(at) => Some(at.unwrap_or(now)),
        });
        due.min()
    }

    /// An answer has come. The upstreams for which that changes anything.
    pub fn answer(
        &mut self,
        name: &str,
        answer: io::Result<Vec<IpAddr>>,
        now: Instant,
    ) -> Vec<Arc<str>> {
        self.asked -= 1;
        let Some(entry) = self.names.get_mut(name) else {
            return Vec::new();
        };
        let (resolution, lasts) = match (answer, &entry.resolution) {
            (Ok(addresses), _) => (Resolution::Found(addresses.into()), FRESH),
            (Err(error), Resolution::Found(stale)) => {
                tracing::debug!(name, %error, "a name cannot be resolved again");
                (Resolution::Found(Arc::clone(stale)), FAILED)
            }
            (Err(error), _) => {
                let failed = match error.kind() {
                    io::ErrorKind::NotFound => LookupError::NameError,
                    _ => LookupError::ServerFailure,
                };
                (Resolution::Failed(failed), FAILED)
            }
        };
        entry.state = State::Until(Some(now + lasts));
        if resolution == entry.resolution {
            return Vec::new();
        }
        match &resolution {
            Resolution::Found(addresses) => {
                tracing::info!(name, ?addresses, "the addresses of a target have changed");
            }
            Resolution::Failed(error) => {
                tracing::warn!(name, %error, "the name of a target has no address");
            }
            Resolution::Pending => {}
        }
        entry.resolution = resolution;
        entry.upstreams.clone()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(names: &mut TargetNames, used: &[(&str, &str)]) {
        let used: Vec<(Arc<str>, Arc<str>)> = used
            .iter()
            .map(|(name, upstream)| (Arc::from(*name), Arc::from(*upstream)))
            .collect();
        names.follow(used.iter().map(|(name, upstream)| (name, upstream)));
    }

    fn found(ip: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![ip.parse().expect("an address")])
    }

    fn failed(kind: io::ErrorKind) -> io::Result<Vec<IpAddr>> {
        Err(kind.into())
    }

    #[test]
    fn answers_reach_the_upstreams_they_change() {
        let mut names = TargetNames::default();
        followed(&mut names, &[("a", "u"), ("a", "v")]);
        let now = Instant::now();
        assert_eq!(names.take_due(now), [Arc::from("a")]);
        assert!(names.take_due(now).is_empty(), "asked once");
        assert_eq!(names.next_due(now), None);
        let changed = names.answer("a", found("10.0.0.1"), now);
        assert_eq!(changed, [Arc::from("u"), Arc::from("v")]);
        assert_eq!(names.next_due(now), Some(now + FRESH));
        let later = now + FRESH;
        assert_eq!(names.take_due(later).len(), 1);
        assert!(names.answer("a", found("10.0.0.1"), later).is_empty());
        // A failure takes away nothing, but is tried again soon.
        names.take_due(later + FRESH);
        let down = failed(io::ErrorKind::TimedOut);
        assert!(names.answer("a", down, later + FRESH).is_empty());
        assert!(matches!(names.known("a"), Resolution::Found(_)));
        assert_eq!(names.next_due(now), Some(later + FRESH + FAILED));
    }

    #[test]
    fn a_name_that_was_never_resolved_has_failed() {
        let mut names = TargetNames::default();
        followed(&mut names, &[("a", "u")]);
        let now = Instant::now();
        for (kind, expected) in [
            (io::ErrorKind::NotFound, LookupError::NameError),
            (io::ErrorKind::TimedOut, LookupError::ServerFailure),
        ] {
            let now = now + FAILED * 2;
            names.take_due(now + FAILED);
            assert_eq!(names.answer("a", failed(kind), now).len(), 1);
            assert_eq!(names.known("a"), Resolution::Failed(expected));
        }
    }

    #[test]
    fn names_go_with_their_targets() {
        let mut names = TargetNames::default();
        followed(&mut names, &[("a", "u"), ("b", "u")]);
        let now = Instant::now();
        assert_eq!(names.take_due(now).len(), 2);
        names.answer("b", found("10.0.0.2"), now);
        followed(&mut names, &[("b", "v")]);
        assert!(names.answer("a", found("10.0.0.1"), now).is_empty());
        assert_eq!((names.len(), names.known("a")), (1, Resolution::Pending));
        assert!(matches!(names.known("b"), Resolution::Found(_)));
    }

    #[test]
    fn only_so_many_are_asked_at_a_time() {
        let many: Vec<String> = (0..MOST_ASKED + 1).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "u")).collect();
        let mut names = TargetNames::default();
        followed(&mut names, &many);
        let now = Instant::now();
        let due = names.take_due(now);
        assert_eq!((due.len(), names.next_due(now)), (MOST_ASKED, None));
        names.answer(&due[0], found("10.0.0.1"), now);
        assert_eq!(names.next_due(now), Some(now));
        assert_eq!(names.take_due(now).len(), 1);
    }
}
