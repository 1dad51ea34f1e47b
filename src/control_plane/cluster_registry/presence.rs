//! What is known of one connected data plane, and its row in the fleet.

use super::fleet::{Fleet, Key};
use crate::control_plane::config_store::DataPlanePresence;
use crate::control_plane::session::{Report, SyncStatus};
use crate::model::{Config, Kind, KindSet};
use crate::wire::{Applied, Hello, Position, RefusalCode};
use entity::columns::{Labels, Strings};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Kong's words for how a data plane fits (`sync_status`).
const NORMAL: &str = "normal";
const VERSION_INCOMPATIBLE: &str = "kong_version_incompatible";

/// One connection, as far as it has introduced itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    ip: IpAddr,
    certificate_expiry: Option<i64>,
    hello: Option<Arc<Hello>>,
    /// Whether the hello was accepted.
    accepted: bool,
    sync_status: &'static str,
    status: SyncStatus,
    /// What is in effect, as last said.
    held: Position,
    /// When it last came to another position, or connected.
    moved: Instant,
    /// Milliseconds since the epoch; only known of what was applied over this connection.
    in_effect_at: Option<u64>,
    applied: Option<Arc<Applied>>,
    /// What `applied` calls quarantined.
    withheld: Arc<[Key]>,
    /// Why its telemetry does not arrive.
    telemetry: Option<String>,
    /// Why the last change was not applied or not persisted.
    trouble: Option<String>,
    /// Epoch seconds at which it last said something that changed the row.
    last_seen: i64,
    /// Epoch seconds at which it connected.
    connected_at: i64,
}

impl Presence {
    pub fn new(ip: IpAddr, certificate_expiry: Option<i64>) -> Presence {
        Presence {
            ip,
            certificate_expiry,
            hello: None,
            accepted: false,
            sync_status: "unknown",
            status: SyncStatus::Greeting,
            held: Position::default(),
            moved: Instant::now(),
            in_effect_at: None,
            applied: None,
            withheld: Arc::default(),
            telemetry: None,
            trouble: None,
            last_seen: now(),
            connected_at: now(),
        }
    }

    /// The node, once its hello was accepted.
    pub fn joined(&self) -> Option<Uuid> {
        self.hello
            .as_ref()
            .filter(|_| self.accepted)
            .map(|hello| hello.node_id)
    }

    /// What is in effect, as last said.
    pub fn held(&self) -> Position {
        self.held
    }

    pub fn moved(&self) -> Instant {
        self.moved
    }

    /// What is quarantined there, as last said.
    pub fn withheld(&self) -> &[Key] {
        &self.withheld
    }

    /// The kinds of entities that it knows.
    pub fn kinds(&self) -> KindSet {
        let hello = self.hello.as_ref();
        hello.map_or(KindSet::DISTRIBUTED, |hello| hello.kinds)
    }

    /// Whether it runs this plugin, as far as it says.
    pub fn runs(&self, plugin: &str) -> bool {
        let plugins = self.hello.as_ref().map(|hello| &hello.plugins);
        plugins.is_none_or(|all| all.is_empty() || all.iter().any(|it| it.name == plugin))
    }

    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    pub fn status(&self) -> SyncStatus {
        self.status
    }

    /// Takes in what the session reports; false when the row stays the same.
    pub fn learn(&mut self, report: &Report) -> bool {
        let tells = self.take_in(report);
        // All control planes show the same row: it says when it has changed.
        if tells {
            self.last_seen = now();
        }
        tells
    }

    fn take_in(&mut self, report: &Report) -> bool {
        match report {
            Report::Joined(hello) => {
                self.accepted = true;
                self.sync_status = NORMAL;
                self.go_to(hello.held);
                self.moved = Instant::now();
                self.hello = Some(Arc::new(hello.clone()));
            }
            Report::Greeted(_) | Report::Alive => return false,
            // Whoever that is, it is not shown as the node of that id.
            Report::Refused { refused, .. }
                if matches!(
                    refused.code,
                    RefusalCode::Identity | RefusalCode::InvalidHello
                ) =>
            {
                self.trouble = Some(refused.reason.clone());
                return false;
            }
            Report::Refused { hello, refused } => {
                self.sync_status = match refused.code {
                    RefusalCode::VersionIncompatible => VERSION_INCOMPATIBLE,
                    _ => self.sync_status,
                };
                self.trouble = Some(refused.reason.clone());
                self.hello = Some(Arc::new(hello.clone()));
            }
            Report::Heartbeat(heartbeat) => {
                self.go_to(heartbeat.position);
                self.telemetry.clone_from(&heartbeat.telemetry);
            }
            Report::Applied(applied) => {
                self.go_to(applied.position);
                self.in_effect_at = Some(applied.in_effect_at);
                self.trouble = None;
                let entries = applied.quarantined.iter();
                self.withheld = entries.map(|entry| (entry.entity, entry.id)).collect();
                self.applied = Some(Arc::new(applied.clone()));
            }
            Report::Unpersisted(unpersisted) => self.trouble = Some(unpersisted.reason.clone()),
            Report::Rejected(rejected) => self.trouble = Some(rejected.reason.clone()),
            Report::Status(status) => {
                if *status == SyncStatus::Ahead {
                    let node_id = self.joined();
                    tracing::warn!(
                        ?node_id,
                        "a data plane holds a later revision than the \
                        database: it is sent nothing until the revisions meet"
                    );
                }
                self.status = *status;
                return false;
            }
        }
        true
    }

    fn go_to(&mut self, position: Position) {
        if self.held != position {
            self.moved = Instant::now();
        }
        self.held = position;
    }

    /// The row that says so; `None` before the data plane has introduced itself.
    pub fn row(&self, fleet: &Fleet) -> Option<DataPlanePresence> {
        let hello = self.hello.as_ref()?;
        let purge_delay = i64::try_from(fleet.purge_delay.as_secs()).unwrap_or(i64::MAX);
        let mut quarantined = self.applied.as_deref().map(quarantined).unwrap_or_default();
        let unknown = KindSet::DISTRIBUTED.minus(hello.kinds);
        // The configuration is copied when it changes while somebody else holds it.
        if self.accepted && !unknown.is_empty() {
            let since = self.connected_at;
            quarantined.extend(not_sent(&fleet.feed.config(), unknown, since));
            quarantined.truncate(Applied::MOST_QUARANTINED);
        }
        Some(DataPlanePresence {
            id: hello.node_id,
            hostname: hello.hostname.clone(),
            ip: self.ip.to_string(),
            last_seen: self.last_seen,
            updated_at: self.last_seen,
            config_hash: self.held.digest.config_hash(),
            version: Some(hello.kong_version.clone()),
            sync_status: self.sync_status.to_owned(),
            labels: Some(Labels(hello.labels.clone())),
            cert_details: json!({ "expiry_timestamp": self.certificate_expiry }),
            rpc_capabilities: Some(Strings(Vec::new())),
            ttl: self.last_seen.saturating_add(purge_delay),
            control_plane: Some(fleet.own),
            connected: self.accepted,
            revision: i64::try_from(self.held.revision.0).ok(),
            in_effect_at: self.in_effect_at.map(|at| at as f64 / 1000.0),
            quarantined: Value::Array(quarantined),
            langur_version: Some(hello.langur_version.clone()),
            telemetry: self.telemetry.clone(),
        })
    }

    /// For people who look at the actors.
    pub fn about(&self) -> Value {
        json!({
            "node_id": self.hello.as_ref().map(|hello| hello.node_id),
            "ip": self.ip,
            "status": self.status.as_str(),
            "in_effect": self.held.to_string(),
            "telemetry": self.telemetry,
            "trouble": self.trouble,
        })
    }
}

fn quarantined(applied: &Applied) -> Vec<Value> {
    let entries = applied.quarantined.iter();
    entries.map(crate::wire::Quarantined::document).collect()
}

/// What the data plane was not sent, because it does not know its kind.
fn not_sent(config: &Config, unknown: KindSet, since: i64) -> Vec<Value> {
    let entry = |kind: Kind| {
        config.of_kind(kind).map(move |(id, row)| {
            let name = row.to_json().unwrap_or_default().get("name").cloned();
            json!({
                "entity": kind,
                "id": id,
                "name": name,
                "reason": format!("this version of the data plane does not know {kind}"),
                "since": since as f64,
                "in_effect": crate::wire::Quarantined::NOTHING,
            })
        })
    };
    let entries = unknown.iter().flat_map(entry);
    entries.take(Applied::MOST_QUARANTINED).collect()
}

/// Epoch seconds.
pub(super) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Revision, Row};

    #[test]
    fn what_an_older_data_plane_was_not_sent_is_listed() {
        let row = |fields: Value| Row::from_json(fields.as_object().expect("an object"));
        let vault = (
            Kind::Vaults,
            Uuid::from_u128(1),
            row(json!({"name": "env"})),
        );
        let group = (Kind::Acls, Uuid::from_u128(2), row(json!({"group": "g"})));
        let session = (Kind::Sessions, Uuid::from_u128(3), row(json!({})));
        let service = (Kind::Services, Uuid::from_u128(4), row(json!({})));
        let config = Config::from_rows(Revision(1), [vault, group, session, service]);
        let listed = not_sent(&config, KindSet::DISTRIBUTED.minus(KindSet::FIRST), 7);
        let names: Vec<_> = listed.iter().map(|entry| &entry["entity"]).collect();
        assert_eq!(names, ["vaults", "acls"]);
        assert_eq!(
            listed[0],
            json!({
                "entity": "vaults", "id": Uuid::from_u128(1), "name": "env", "since": 7.0,
                "in_effect": "nothing",
                "reason": "this version of the data plane does not know vaults",
            })
        );
    }
}
