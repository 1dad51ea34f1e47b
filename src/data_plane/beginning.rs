//! What a data plane serves first, before it has spoken to anybody.
//!
//! The cache is a copy. Where the truth itself is in the process, in the database or the file of its
//! control plane, the copy counts only as the past of that truth: for the last good versions of what
//! is in quarantine.

use super::cache_writer::{CacheSource, Cached};
use super::declarative;
use super::heartbeat_client::InEffect;
use super::router::Router;
use crate::model::Config;
use crate::node::NodeError;
use crate::settings::Settings;
use crate::wire::Position;

/// The configuration of the control plane in the same process.
pub struct OwnConfiguration<'a> {
    pub epoch: u64,
    pub config: Config,
    /// Whether the configuration once was exactly this one.
    pub came_from: Box<dyn Fn(&Config) -> bool + 'a>,
}

/// The configuration that the node begins with.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Beginning {
    /// As the node left off, with what was in quarantine.
    left_off: Option<Cached>,
    /// What has come since, with its epoch.
    since: Option<(u64, Config)>,
    /// What the next start could begin with if nothing were written.
    pub persisted: Position,
}

impl Beginning {
    /// # Errors
    /// The declarative configuration cannot be read or is not valid.
    pub fn new(
        cached: Option<Cached>,
        own: Option<OwnConfiguration<'_>>,
        settings: &Settings,
    ) -> Result<Beginning, NodeError> {
        match own {
            Some(own) => Ok(Beginning::of_own(cached, own)),
            None => Beginning::of_cluster(cached, || declarative::read(settings)),
        }
    }

    fn of_own(cached: Option<Cached>, own: OwnConfiguration<'_>) -> Beginning {
        let left_off = cached.filter(|cached| {
            let past = cached.source != Some(CacheSource::Cluster)
                && cached.epoch == own.epoch
                && (own.came_from)(&cached.config);
            if !past {
                tracing::info!(
                    cached = %cached.position(),
                    "the cache holds another configuration than this node's own, which counts"
                );
            }
            past
        });
        Beginning {
            persisted: position(left_off.as_ref()),
            left_off,
            since: Some((own.epoch, own.config)),
        }
    }

    fn of_cluster(
        cached: Option<Cached>,
        declared: impl FnOnce() -> Result<Option<Cached>, NodeError>,
    ) -> Result<Beginning, NodeError> {
        let own = |cached: &Cached| cached.source == Some(CacheSource::Own);
        if cached.as_ref().is_some_and(own) {
            tracing::warn!(
                "the cache holds what this node had before it was a data plane of a cluster: it does \
                 not count, and is replaced by what a control plane sends"
            );
        }
        let left_off = match cached.filter(|cached| !own(cached)) {
            Some(cached) => Some(cached),
            // It is not copied into the cache: changed, it is to count at the next start.
            None => declared()?,
        };
        Ok(Beginning {
            persisted: position(left_off.as_ref()),
            left_off,
            since: None,
        })
    }

    /// Puts it in effect; `None` when there is nothing.
    ///
    /// # Errors
    /// It panicked, which is a bug.
    pub fn put_in_effect(self, router: &mut Router) -> Result<Option<InEffect>, NodeError> {
        let restored = self.left_off.map(|cached| router.restore(cached));
        let begun = match self.since {
            // Without the past, the present can be had all the same.
            Some((epoch, config)) => Some(router.take_over(epoch, config)),
            None => restored,
        };
        begun.transpose().map_err(NodeError::Configuration)
    }
}

fn position(of: Option<&Cached>) -> Position {
    of.map(Cached::position).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Revision, Row};
    use uuid::Uuid;

    fn config(revision: u64, id: u128) -> Config {
        let row = Row::from_json(serde_json::json!({"n": 1}).as_object().expect("an object"));
        let rows = [(Kind::Services, Uuid::from_u128(id), row)];
        Config::from_rows(Revision(revision), rows)
    }

    fn cached(source: Option<CacheSource>, config: Config) -> Cached {
        Cached {
            source,
            epoch: 1,
            config,
            last_good: vec![(Kind::Plugins, Uuid::from_u128(9), None)],
        }
    }

    #[test]
    fn trial_02_of_a_node_of_both_planes_only_its_own_past_counts() {
        let now = config(7, 7);
        let check = |name: &str, cached: Option<Cached>, counts: bool| {
            let own = OwnConfiguration {
                epoch: 1,
                config: now.clone(),
                came_from: Box::new(|earlier| *earlier == config(6, 6)),
            };
            let begun = Beginning::of_own(cached.clone(), own);
            let left_off = cached.filter(|_| counts);
            let expected = Beginning {
                persisted: position(left_off.as_ref()),
                left_off,
                since: Some((1, now.clone())),
            };
            assert_eq!(begun, expected, "{name}");
        };
        let own = Some(CacheSource::Own);
        check("nothing", None, false);
        check("its past", Some(cached(own, config(6, 6))), true);
        check(
            "its past, by an older version",
            Some(cached(None, config(6, 6))),
            true,
        );
        check(
            "a cluster's",
            Some(cached(Some(CacheSource::Cluster), config(6, 6))),
            false,
        );
        check("another database's", Some(cached(own, config(6, 5))), false);
        check("a later one", Some(cached(own, config(99, 6))), false);
        let other_epoch = Cached {
            epoch: 2,
            ..cached(own, config(6, 6))
        };
        check("of another epoch", Some(other_epoch), false);
    }

    #[test]
    fn trial_02_of_a_data_plane_only_the_clusters_cache_counts() {
        let check = |name: &str, cached: Option<Cached>, counts: bool| {
            let file = Cached {
                epoch: 0,
                ..self::cached(Some(CacheSource::Own), config(0, 3))
            };
            let begun = Beginning::of_cluster(cached.clone(), || Ok(Some(file.clone())));
            let expected = cached.filter(|_| counts).unwrap_or(file);
            let expected = Beginning {
                persisted: expected.position(),
                left_off: Some(expected),
                since: None,
            };
            assert_eq!(begun.expect("a beginning"), expected, "{name}");
        };
        check("nothing", None, false);
        check(
            "the cluster's",
            Some(cached(Some(CacheSource::Cluster), config(6, 6))),
            true,
        );
        check(
            "by an older version",
            Some(cached(None, config(6, 6))),
            true,
        );
        check(
            "its own",
            Some(cached(Some(CacheSource::Own), config(6, 6))),
            false,
        );
    }
}
