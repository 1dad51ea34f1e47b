//! What an answer says of how its write fares: where it is in effect, and what of it is not in
//! effect as it was written.

use super::api::Api;
use super::wait::{Reach, Wait};
use crate::control_plane::cluster_registry::{Key, Withheld};
use crate::model::Revision;
use actix_web::HttpResponseBuilder;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Data planes, or entities, named in a header; a few clients refuse headers of more than 4 KiB.
const MOST_NAMED: usize = 50;

/// What has come of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Of one that was waited for.
    pub waited: Option<(Revision, Reach)>,
    /// What of it is quarantined somewhere, and what has got there since it was sent.
    pub quarantined: BTreeSet<Key>,
}

impl Effect {
    /// How the writes of a request fare, after waiting if that was asked for. `before` is what was
    /// quarantined when the request came.
    pub async fn of(api: &Api, wait: Option<Wait>, before: &Withheld) -> Effect {
        let written = api.store.written();
        let waited = match wait {
            Some(wait) => {
                // Nothing was written: what there is is waited for.
                let latest = *api.store.store().revisions().borrow();
                let revision = written.revision.unwrap_or(latest);
                Some((revision, wait.until_effective(&api.fleet, revision).await))
            }
            None if written.revision.is_none() => return Effect::default(),
            None => None,
        };
        // Once it has arrived everywhere the data planes have said all there is to say.
        let arrived = matches!(waited, Some((_, Reach::Everywhere)));
        let withheld = api.fleet.withheld();
        let mut quarantined: BTreeSet<Key> = withheld.since(before).collect();
        for (key, plugin) in written.entities {
            let is_withheld = withheld.contains(&key)
                || api.fleet.lacks_kind(key.0)
                || (!arrived && plugin.is_some_and(|name| api.fleet.lacks_plugin(&name)));
            if is_withheld {
                quarantined.insert(key);
            }
        }
        Effect {
            waited,
            quarantined,
        }
    }

    /// The headers that say so.
    pub fn insert_headers(&self, builder: &mut HttpResponseBuilder) {
        let as_written = self.quarantined.is_empty();
        if let Some((_, reach)) = &self.waited {
            let everywhere = *reach == Reach::Everywhere && as_written;
            builder.insert_header(("X-Langur-Effective", everywhere.to_string()));
            if let Reach::Pending(pending) = reach {
                let ids = pending.iter().take(MOST_NAMED).map(Uuid::to_string);
                builder
                    .insert_header(("X-Langur-Pending", listed(ids)))
                    .insert_header(("X-Langur-Pending-Count", pending.len().to_string()));
            }
        } else if !as_written {
            builder.insert_header(("X-Langur-Effective", "false"));
        }
        if !as_written {
            let entities = self.quarantined.iter().take(MOST_NAMED);
            let named = entities.map(|(kind, id)| format!("{kind}/{id}"));
            let count = self.quarantined.len().to_string();
            builder
                .insert_header(("X-Langur-Quarantined", listed(named)))
                .insert_header(("X-Langur-Quarantined-Count", count));
        }
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
