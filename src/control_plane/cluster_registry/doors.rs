//! How many links there may be at once: in all, and of strangers from one address.

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::table::LINKS_REFUSED;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Links of one address that have not introduced themselves yet. A fleet behind one address that
/// starts at once needs a few: each takes a moment.
const STRANGERS: usize = 256;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Configuration,
    Telemetry,
}

impl LinkKind {
    pub fn as_str(self) -> &'static str {
        match self {
            LinkKind::Configuration => "configuration",
            LinkKind::Telemetry => "telemetry",
        }
    }
}

/// Why a link was not taken, as metrics and logs say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are `cluster_max_data_planes` links of its kind.
    Full,
    /// Too many links from its address have not introduced themselves.
    Address,
    /// Its peer is not who it says it is.
    Identity,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Full => "full",
            Refusal::Address => "address",
            Refusal::Identity => "identity",
        }
    }
}

/// Counts the links of a control plane.
pub struct Doors {
    most: usize,
    metrics: Arc<Metrics>,
    configuration: AtomicUsize,
    telemetry: AtomicUsize,
    strangers: Mutex<BTreeMap<IpAddr, usize>>,
}

/// The place of one link; free again when it is dropped.
pub struct Place {
    doors: Arc<Doors>,
    kind: LinkKind,
}

/// A stranger; one no more when this is dropped.
pub struct Stranger {
    doors: Arc<Doors>,
    ip: IpAddr,
}

impl Doors {
    /// For so many links of each kind.
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Doors> {
        // Every series from the start, so that a dashboard sees the first refusal as a rise.
        for (kind, why) in [
            (LinkKind::Configuration, Refusal::Full),
            (LinkKind::Configuration, Refusal::Address),
            (LinkKind::Configuration, Refusal::Identity),
            (LinkKind::Telemetry, Refusal::Full),
            (LinkKind::Telemetry, Refusal::Identity),
        ] {
            let labels = [kind.as_str().into(), why.as_str().into()];
            metrics.counter(&LINKS_REFUSED, labels).increment(0);
        }
        Arc::new(Doors {
            most,
            metrics,
            configuration: AtomicUsize::new(0),
            telemetry: AtomicUsize::new(0),
            strangers: Mutex::default(),
        })
    }

    fn count(&self, kind: LinkKind) -> &AtomicUsize {
        match kind {
            LinkKind::Configuration => &self.configuration,
            LinkKind::Telemetry => &self.telemetry,
        }
    }

    /// A place for one more link.
    ///
    /// # Errors
    /// There is none; the refusal is counted.
    pub fn enter(self: &Arc<Self>, kind: LinkKind) -> Result<Place, Refusal> {
        let place = Place {
            doors: Arc::clone(self),
            kind,
        };
        if self.count(kind).fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(place);
        }
        self.refused(kind, Refusal::Full);
        Err(Refusal::Full)
    }

    /// A stranger from this address, for its first words.
    ///
    /// # Errors
    /// There are too many; the refusal is counted.
    pub fn greet(self: &Arc<Self>, ip: IpAddr) -> Result<Stranger, Refusal> {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = strangers.entry(ip).or_default();
        if *count >= STRANGERS {
            drop(strangers);
            self.refused(LinkKind::Configuration, Refusal::Address);
            return Err(Refusal::Address);
        }
        *count += 1;
        Ok(Stranger {
            doors: Arc::clone(self),
            ip,
        })
    }

    /// Counts a refusal.
    pub fn refused(&self, kind: LinkKind, why: Refusal) {
        let labels = [kind.as_str().into(), why.as_str().into()];
        self.metrics.counter(&LINKS_REFUSED, labels).increment(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.count(self.kind).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let strangers = self.doors.strangers.lock();
        let mut strangers = strangers.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = strangers.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn trial_17_links_are_counted_by_kind_and_strangers_by_address() {
        let metrics = Arc::new(Metrics::new());
        let doors = Doors::new(2, Arc::clone(&metrics));
        let first = doors.enter(LinkKind::Configuration).ok();
        let _second = doors.enter(LinkKind::Configuration).ok();
        assert!(doors.enter(LinkKind::Configuration).is_err());
        assert!(doors.enter(LinkKind::Telemetry).is_ok());
        drop(first);
        assert!(doors.enter(LinkKind::Configuration).is_ok());

        let ip = |n: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let strangers: Vec<_> = (0..STRANGERS).map(|_| doors.greet(ip(1)).ok()).collect();
        assert!(strangers.iter().all(Option::is_some));
        assert_eq!(doors.greet(ip(1)).err(), Some(Refusal::Address));
        assert!(doors.greet(ip(2)).is_ok());
        drop(strangers);
        assert!(doors.greet(ip(1)).is_ok());
        assert!(doors.strangers.lock().unwrap().is_empty());
        let text = metrics.scrape(|_| {});
        for line in [
            r#"langur_cluster_links_refused_total{link="configuration",reason="full"} 1"#,
            r#"langur_cluster_links_refused_total{link="configuration",reason="address"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
