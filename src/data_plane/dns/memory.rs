//! What is known of names, and until when: pure, the caller brings the time.

use super::question::Records;
use crate::data_plane::balancer::{Address, LookupError};
use crate::settings;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Answers that hold for less, such as those with a lifetime of 0, are used for so long all the
/// same: a question for every request would be worse than an address that is a second old.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is known of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// At least one address, sorted.
    pub found: Result<Arc<[Address]>, LookupError>,
    /// When it should be asked for again.
    pub until: Instant,
}

/// What is known of a name now.
#[derive(Debug, PartialEq)]
pub enum Known {
    Fresh(Answer),
    /// It may be used while a new one is fetched.
    Outdated(Answer),
    Nothing,
}

/// The answers of a node.
pub struct Memory {
    valid: Option<Duration>,
    stale: Duration,
    not_found: Duration,
    error: Duration,
    most_names: usize,
    names: HashMap<Arc<str>, Entry>,
}

struct Entry {
    answer: Answer,
    /// Until when it may be used although it is outdated.
    usable: Instant,
}

impl Memory {
    pub fn new(settings: &settings::Dns) -> Memory {
        Memory {
            valid: settings.valid_ttl,
            stale: settings.stale_ttl,
            not_found: settings.not_found_ttl,
            error: settings.error_ttl,
            most_names: settings.cache_size,
            names: HashMap::new(),
        }
    }

    pub fn find(&self, name: &str, now: Instant) -> Known {
        match self.names.get(name) {
            Some(entry) if now < entry.answer.until => Known::Fresh(entry.answer.clone()),
            Some(entry) if now < entry.usable => Known::Outdated(Answer {
                found: entry.answer.found.clone(),
                until: now + SHORTEST,
            }),
            _ => Known::Nothing,
        }
    }

    pub fn learn(&mut self, name: &Arc<str>, asked: Result<Records, LookupError>, now: Instant) {
        let before = self.names.remove(name);
        self.make_room(now);
        let (found, lasts, stale) = match (asked, before) {
            (Ok(records), _) => {
                let lasts = self.valid.unwrap_or(records.lasts);
                (Ok(records.addresses), lasts, self.stale)
            }
            // A name server that is down takes no upstream with it.
            (Err(LookupError::ServerFailure), Some(entry))
                if entry.answer.found.is_ok() && now < entry.usable =>
            {
                tracing::warn!(%name, "a name cannot be resolved again: its last addresses stay in use");
                let until = now + self.error.max(SHORTEST);
                let answer = Answer {
                    until,
                    ..entry.answer
                };
                self.names
                    .insert(Arc::clone(name), Entry { answer, ..entry });
                return;
            }
            // Who has the last address of a name that is gone is not known: it is not used.
            (Err(error), _) => {
                let lasts = match error {
                    LookupError::NameError => self.not_found,
                    LookupError::ServerFailure => self.error,
                };
                (Err(error), lasts, Duration::ZERO)
            }
        };
        let until = now + lasts.max(SHORTEST);
        let entry = Entry {
            answer: Answer { found, until },
            usable: until + stale,
        };
        self.names.insert(Arc::clone(name), entry);
    }

    /// When there are as many names as may be, those that are outdated go, and if none is, all.
    fn make_room(&mut self, now: Instant) {
        if self.names.len() < self.most_names {
            return;
        }
        self.names.retain(|_, entry| now < entry.answer.until);
        if self.names.len() >= self.most_names {
            self.names.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, Sources};
    use std::net::IpAddr;

    fn memory(settings: &[(&str, &str)]) -> Memory {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let flags: Vec<_> = settings.iter().map(owned).collect();
        let sources = Sources {
            flags: &flags,
            ..Sources::default()
        };
        let (settings, _) = Settings::load(&sources).expect("good settings");
        Memory::new(&settings.dns)
    }

    fn records(ip: &str, seconds: u64) -> Result<Records, LookupError> {
        let ip: IpAddr = ip.parse().expect("an address");
        Ok(Records {
            addresses: [ip.into()].into(),
            lasts: Duration::from_secs(seconds),
        })
    }

    const GONE: LookupError = LookupError::NameError;
    const DOWN: LookupError = LookupError::ServerFailure;

    /// What is answered so many seconds after the start: the first address, or why there is none.
    fn at(memory: &Memory, start: Instant, seconds: u64) -> String {
        let text = |answer: Answer| match answer.found {
            Ok(found) => found[0].ip.to_string(),
            Err(GONE) => "gone".to_owned(),
            Err(DOWN) => "down".to_owned(),
        };
        match memory.find("a", start + Duration::from_secs(seconds)) {
            Known::Fresh(answer) => text(answer),
            Known::Outdated(answer) => format!("outdated {}", text(answer)),
            Known::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn lifetimes_are_the_answers_or_the_settings() {
        let settings = [
            ("dns_stale_ttl", "100"),
            ("dns_not_found_ttl", "30"),
            ("dns_error_ttl", "2"),
        ];
        let fixed = [settings[0], ("dns_valid_ttl", "7")];
        for (settings, asked, expected) in [
            (
                &settings[..],
                records("10.0.0.1", 60),
                [
                    (59, "10.0.0.1"),
                    (60, "outdated 10.0.0.1"),
                    (160, "nothing"),
                ],
            ),
            (
                &settings,
                records("10.0.0.1", 0),
                [(0, "10.0.0.1"), (1, "outdated 10.0.0.1"), (101, "nothing")],
            ),
            (
                &fixed,
                records("10.0.0.1", 60),
                [(6, "10.0.0.1"), (7, "outdated 10.0.0.1"), (107, "nothing")],
            ),
            (
                &settings,
                Err(GONE),
                [(0, "gone"), (29, "gone"), (30, "nothing")],
            ),
            (
                &settings,
                Err(DOWN),
                [(0, "down"), (1, "down"), (2, "nothing")],
            ),
        ] {
            let (mut memory, start) = (memory(settings), Instant::now());
            memory.learn(&"a".into(), asked, start);
            for (seconds, expected) in expected {
                assert_eq!(at(&memory, start, seconds), expected, "{seconds}");
            }
        }
    }

    /// A name that is gone loses its address at once; one that nobody can ask for keeps it for
    /// `dns_stale_ttl`.
    #[test]
    fn trial_36_gone_is_not_down() {
        let start = Instant::now();
        let after = |failed| {
            let mut memory = memory(&[("dns_stale_ttl", "100")]);
            memory.learn(&"a".into(), records("10.0.0.1", 60), start);
            memory.learn(&"a".into(), Err(failed), start + Duration::from_secs(70));
            memory
        };
        assert_eq!(at(&after(GONE), start, 70), "gone");
        let down = after(DOWN);
        assert_eq!(at(&down, start, 70), "10.0.0.1");
        assert_eq!(at(&down, start, 71), "outdated 10.0.0.1");
        assert_eq!(at(&down, start, 160), "nothing", "stale for 100 s after 60");
        let mut late = down;
        late.learn(&"a".into(), Err(DOWN), start + Duration::from_secs(161));
        assert_eq!(at(&late, start, 161), "down");
    }

    #[test]
    fn only_so_many_names_are_remembered() {
        let (mut memory, start) = (memory(&[("dns_cache_size", "10")]), Instant::now());
        for n in 0..30 {
            memory.learn(&n.to_string().into(), records("10.0.0.1", 60), start);
            assert!(memory.names.len() <= 10);
        }
        assert_eq!(memory.names.len(), 10);
    }
}
