//! What the names of targets resolve to, and when each is asked for again.

use crate::data_plane::balancer::Resolution;
use crate::data_plane::dns::Answer;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// Questions at a time.
const MOST_ASKED: usize = 64;

/// The names that targets have now.
#[derive(Default)]
pub struct TargetNames {
    names: HashMap<Arc<str>, Name>,
    /// Those that nobody is asked for, by when that is due.
    due: BTreeSet<(Instant, Arc<str>)>,
    /// Questions under way.
    asked: usize,
}

struct Name {
    resolution: Resolution,
    /// When it is asked for; `None` while it is.
    due: Option<Instant>,
    /// The upstreams that use it.
    upstreams: Vec<Uuid>,
}

impl TargetNames {
    /// An upstream had and has these names. Names that stay in use keep what is known of them.
    pub fn follow<'a>(
        &mut self,
        had: impl IntoIterator<Item = &'a Arc<str>>,
        has: impl IntoIterator<Item = &'a Arc<str>>,
        upstream: Uuid,
        now: Instant,
    ) {
        let has: HashSet<&Arc<str>> = has.into_iter().collect();
        for name in &has {
            let entry = self.names.entry(Arc::clone(name)).or_insert_with(|| {
                self.due.insert((now, Arc::clone(name)));
                Name {
                    resolution: Resolution::Pending,
                    due: Some(now),
                    upstreams: Vec::new(),
                }
            });
            if !entry.upstreams.contains(&upstream) {
                entry.upstreams.push(upstream);
            }
        }
        for name in had.into_iter().filter(|name| !has.contains(name)) {
            let Some(entry) = self.names.get_mut(name) else {
                continue;
            };
            entry.upstreams.retain(|user| *user != upstream);
            if entry.upstreams.is_empty() {
                let due = entry.due;
                self.names.remove(name);
                due.map(|at| self.due.remove(&(at, Arc::clone(name))));
            }
        }
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
        let mut taken = Vec::new();
        while self.asked < MOST_ASKED
            && self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, name)) = self.due.pop_first()
        {
            if let Some(entry) = self.names.get_mut(&name) {
                entry.due = None;
            }
            self.asked += 1;
            taken.push(name);
        }
        taken
    }

    /// When the next name is due; `None` when there is none, or none more may be asked.
    pub fn next_due(&self) -> Option<Instant> {
        let next = self.due.first().filter(|_| self.asked < MOST_ASKED);
        next.map(|(at, _)| *at)
    }

    /// An answer has come. The upstreams for which that changes anything.
    pub fn answer(&mut self, name: &Arc<str>, answer: Answer) -> Vec<Uuid> {
        self.asked -= 1;
        // A name that went and came back meanwhile is due by itself.
        let Some(entry) = self.names.get_mut(name).filter(|name| name.due.is_none()) else {
            return Vec::new();
        };
        let resolution = match answer.found {
            Ok(addresses) => Resolution::Found(addresses),
            Err(error) => Resolution::Failed(error),
        };
        entry.due = Some(answer.until);
        self.due.insert((answer.until, Arc::clone(name)));
        if resolution == entry.resolution {
            return Vec::new();
        }
        match &resolution {
            Resolution::Found(addresses) => {
                tracing::info!(%name, ?addresses, "the addresses of a target have changed");
            }
            Resolution::Failed(error) => {
                tracing::warn!(%name, %error, "the name of a target has no address");
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
    use crate::data_plane::balancer::{Address, LookupError};
    use std::net::IpAddr;
    use std::time::Duration;

    const U: Uuid = Uuid::from_u128(1);
    const V: Uuid = Uuid::from_u128(2);

    fn follow(names: &mut TargetNames, upstream: Uuid, had: &[&str], has: &[&str], now: Instant) {
        let arcs = |list: &[&str]| -> Vec<Arc<str>> { list.iter().map(|n| (*n).into()).collect() };
        names.follow(&arcs(had), &arcs(has), upstream, now);
    }

    const LASTS: Duration = Duration::from_secs(5);

    fn answer(
        names: &mut TargetNames,
        name: &str,
        found: Result<Arc<[Address]>, LookupError>,
        now: Instant,
    ) -> Vec<Uuid> {
        let until = now + LASTS;
        names.answer(&name.into(), Answer { found, until })
    }

    fn found(ip: &str) -> Result<Arc<[Address]>, LookupError> {
        let ip: IpAddr = ip.parse().expect("an address");
        Ok([ip.into()].into())
    }

    #[test]
    fn answers_reach_the_upstreams_they_change() {
        let (mut names, now) = (TargetNames::default(), Instant::now());
        follow(&mut names, U, &[], &["a", "a"], now);
        follow(&mut names, V, &[], &["a"], now);
        assert_eq!(names.next_due(), Some(now));
        assert_eq!(names.take_due(now), [Arc::from("a")]);
        assert!(names.take_due(now).is_empty(), "asked once");
        assert_eq!(names.next_due(), None);
        assert_eq!(answer(&mut names, "a", found("10.0.0.1"), now), [U, V]);
        assert_eq!(names.next_due(), Some(now + LASTS));
        let later = now + LASTS;
        assert_eq!(names.take_due(later).len(), 1);
        assert!(answer(&mut names, "a", found("10.0.0.1"), later).is_empty());
        let gone = Err(LookupError::NameError);
        names.take_due(later + LASTS);
        assert_eq!(answer(&mut names, "a", gone, later + LASTS), [U, V]);
        let expected = Resolution::Failed(LookupError::NameError);
        assert_eq!(names.known("a"), expected);
    }

    #[test]
    fn names_go_with_their_targets() {
        let (mut names, now) = (TargetNames::default(), Instant::now());
        follow(&mut names, U, &[], &["a", "b", "c"], now);
        assert_eq!(names.take_due(now).len(), 3);
        answer(&mut names, "b", found("10.0.0.2"), now);
        answer(&mut names, "c", found("10.0.0.3"), now);
        follow(&mut names, V, &[], &["b"], now);
        follow(&mut names, U, &["a", "b", "c"], &["b"], now);
        assert!(answer(&mut names, "a", found("10.0.0.1"), now).is_empty());
        assert_eq!((names.len(), names.known("a")), (1, Resolution::Pending));
        follow(&mut names, U, &["b"], &[], now);
        assert!(matches!(names.known("b"), Resolution::Found(_)));
        follow(&mut names, V, &["b"], &[], now);
        assert_eq!((names.len(), names.next_due()), (0, None));
    }

    #[test]
    fn a_name_that_comes_back_takes_whichever_answer_is_first() {
        let (mut names, now) = (TargetNames::default(), Instant::now());
        follow(&mut names, U, &[], &["a"], now);
        names.take_due(now);
        follow(&mut names, U, &["a"], &[], now);
        follow(&mut names, U, &[], &["a"], now);
        // It is not asked for yet: this answer is for the name that went.
        assert!(answer(&mut names, "a", found("10.0.0.1"), now).is_empty());
        assert_eq!(names.take_due(now).len(), 1);
        assert_eq!(answer(&mut names, "a", found("10.0.0.2"), now), [U]);
        assert_eq!(names.take_due(now + LASTS).len(), 1);
    }

    #[test]
    fn only_so_many_are_asked_at_a_time() {
        let many: Vec<String> = (0..MOST_ASKED + 1).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (mut names, now) = (TargetNames::default(), Instant::now());
        follow(&mut names, U, &[], &many, now);
        let due = names.take_due(now);
        assert_eq!((due.len(), names.next_due()), (MOST_ASKED, None));
        answer(&mut names, &due[0], found("10.0.0.1"), now);
        assert_eq!(names.next_due(), Some(now));
        assert_eq!(names.take_due(now).len(), 1);
    }
}
