//! The messages of the configuration link.

use super::frame::{encode_ref, messages};
use super::{Blob, EncodeError, Hello, Limits, bounded};
use crate::model::{Cause, Change, Config, Digest, Kind, KindSet, Revision};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// A place in the history of configurations. Ordered by epoch, then revision.
///
/// The epoch counts histories: an operator who restores a database from a backup raises it,
/// and so tells data planes that hold later revisions of the lost history that they may be
/// taken back. Within an epoch revisions never go backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    #[serde(default)]
    pub epoch: u64,
    pub revision: Revision,
    pub digest: Digest,
}

impl Position {
    /// Where a configuration stands in a given epoch.
    #[must_use]
    pub fn of(epoch: u64, config: &Config) -> Position {
        Position::of_kinds(epoch, config, KindSet::ALL)
    }

    /// Where the configuration stands for a peer that knows only these kinds of entities: the revision
    /// is the same, the digest is the sum over those kinds.
    #[must_use]
    pub fn of_kinds(epoch: u64, config: &Config, kinds: KindSet) -> Position {
        Position {
            epoch,
            revision: config.revision(),
            digest: config.digests().of(kinds),
        }
    }

    /// What positions are ordered by.
    #[must_use]
    pub fn order(&self) -> (u64, Revision) {
        (self.epoch, self.revision)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

/// An entity that is not in effect as configured; its last good version, if any, still is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub entity: Kind,
    pub id: Uuid,
    #[serde(default, deserialize_with = "bounded::name")]
    pub name: Option<String>,
    #[serde(deserialize_with = "bounded::reason")]
    pub reason: String,
    /// Milliseconds since the epoch.
    pub since: u64,
    /// What of it is in effect: [`Quarantined::PREVIOUS`], [`Quarantined::CLOSED`] or
    /// [`Quarantined::NOTHING`]; empty when the peer does not say.
    #[serde(default)]
    pub in_effect: String,
}

impl Quarantined {
    /// The last good version.
    pub const PREVIOUS: &'static str = "previous";
    /// Nothing, and its requests are answered with 503.
    pub const CLOSED: &'static str = "closed";
    pub const NOTHING: &'static str = "nothing";

    /// The entry as pages show it.
    #[must_use]
    pub fn document(&self) -> Value {
        let in_effect = Some(&self.in_effect).filter(|text| !text.is_empty());
        json!({
            "entity": self.entity,
            "id": self.id,
            "name": self.name,
            "reason": self.reason,
            "since": self.since as f64 / 1000.0,
            "in_effect": in_effect,
        })
    }
}

/// The snapshot of this position is live and persisted. Speaks for earlier ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub position: Position,
    /// When it went live: milliseconds since the epoch.
    pub in_effect_at: u64,
    /// The complete list, not the difference; at most [`Applied::MOST_QUARANTINED`].
    #[serde(default, deserialize_with = "bounded::quarantined")]
    pub quarantined: Vec<Quarantined>,
    /// How many are quarantined, when the list had to be cut.
    #[serde(default)]
    pub quarantined_total: u64,
}

impl Applied {
    /// The longest list that is reported.
    pub const MOST_QUARANTINED: usize = 1000;
    /// What the list may take, in bytes: it has to fit a frame in any case.
    pub const MOST_BYTES: usize = 512 << 10;

    /// An acknowledgement within the limits of what is reported.
    #[must_use]
    pub fn new(position: Position, in_effect_at: u64, quarantined: &[Quarantined]) -> Applied {
        let shorten = |entry: &Quarantined| Quarantined {
            name: entry.name.as_deref().map(bounded::shorten),
            reason: bounded::shorten(&entry.reason),
            ..entry.clone()
        };
        let mut left = Self::MOST_BYTES;
        let mut fits = |entry: &Quarantined| {
            // Beside its texts an entry has an id, numbers, and the names of its fields.
            let size = 96 + entry.reason.len() + entry.name.as_ref().map_or(0, String::len);
            left.checked_sub(size).map(|rest| left = rest).is_some()
        };
        Applied {
            position,
            in_effect_at,
            quarantined: quarantined
                .iter()
                .take(Self::MOST_QUARANTINED)
                .map(shorten)
                .take_while(|entry| fits(entry))
                .collect(),
            quarantined_total: quarantined.len() as u64,
        }
    }
}

/// The snapshot of this position is live, but the cache could not take it: a restart
/// without a control plane would fall back to an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpersisted {
    pub position: Position,
    #[serde(deserialize_with = "bounded::reason")]
    pub reason: String,
}

/// The change or snapshot that leads to this revision could not be applied as a whole; the
/// data plane stays where it is and ignores changes until it is sent a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub revision: Revision,
    #[serde(deserialize_with = "bounded::reason")]
    pub reason: String,
}

impl Rejected {
    /// A rejection within the limits of what is reported.
    #[must_use]
    pub fn new(revision: Revision, reason: &str) -> Rejected {
        Rejected {
            revision,
            reason: bounded::shorten(reason),
        }
    }
}

impl Unpersisted {
    /// A report within the limits of what is reported.
    #[must_use]
    pub fn new(position: Position, reason: &str) -> Unpersisted {
        Unpersisted {
            position,
            reason: bounded::shorten(reason),
        }
    }
}

/// Sign of life of a data plane with what is in effect on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub position: Position,
    /// Why no telemetry arrives; none while it does, or where nobody says.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "bounded::name"
    )]
    pub telemetry: Option<String>,
}

impl From<Position> for Heartbeat {
    fn from(position: Position) -> Heartbeat {
        Heartbeat {
            position,
            telemetry: None,
        }
    }
}

/// Answers a [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {}

/// Asks a data plane for a sign of life. One of an earlier version skips it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

/// The answer to an acceptable hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    #[serde(default)]
    pub control_plane: Uuid,
    #[serde(default)]
    pub langur_version: String,
    #[serde(default)]
    pub kong_version: String,
    /// Where the control plane's configuration stands.
    pub position: Position,
}

/// Why a data plane is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    VersionIncompatible,
    InvalidHello,
    /// The data plane holds a later epoch than the control plane.
    OlderHistory,
    /// The data plane does not prove to be the node that it says it is.
    Identity,
    /// A reason of a newer version.
    #[serde(other)]
    Other,
}

/// The answer to a hello that is not acceptable; the connection ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub code: RefusalCode,
    #[serde(deserialize_with = "bounded::reason")]
    pub reason: String,
    /// Seconds before the data plane should try again.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

/// A difference between two revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeMessage {
    #[serde(default)]
    pub epoch: u64,
    pub change: Change,
    /// The requests it came from, for logs; at most [`Cause::MOST`], none where unknown.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub causes: Vec<Cause>,
}

/// A part of a whole configuration. All parts of one snapshot follow one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    pub position: Position,
    /// Counts up from 0.
    pub index: u32,
    /// How many parts there are.
    pub of: u32,
    pub bytes: Blob,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAck {
    /// Where the control plane's configuration stands.
    pub position: Position,
}

/// The control plane is about to go; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoAway {
    /// Seconds before the data plane should connect again.
    #[serde(default)]
    pub reconnect_after: Option<u32>,
}

messages! {
    /// What a data plane sends.
    FromDataPlane {
        Hello = "hello",
        Applied = "applied",
        Unpersisted = "unpersisted",
        Rejected = "rejected",
        Heartbeat = "heartbeat",
        Pong = "pong",
    }
}
messages! {
    /// What a control plane sends.
    FromControlPlane {
        Welcome = "welcome",
        Refused = "refused",
        ChangeMessage = "change",
        SnapshotChunk = "snapshot_chunk",
        HeartbeatAck = "heartbeat_ack",
        GoAway = "go_away",
        Ping = "ping",
    }
}

/// The frame of a change that is only borrowed.
///
/// # Errors
/// When the change does not fit a frame; the whole configuration, sent in chunks, does.
pub fn encode_change(
    epoch: u64,
    change: &Change,
    causes: &[Cause],
    limits: &Limits,
) -> Result<Bytes, EncodeError> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        epoch: u64,
        change: &'a Change,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        causes: &'a [Cause],
    }
    let borrowed = Borrowed {
        epoch,
        change,
        causes,
    };
    encode_ref("change", &borrowed, limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Op, Row};
    use crate::wire::{Incoming, Message, decode, encode};

    fn position() -> Position {
        Position {
            epoch: 1,
            revision: Revision(7),
            digest: Digest::default(),
        }
    }

    fn survives<M: Message + Clone + PartialEq + std::fmt::Debug>(message: M) {
        let bytes = encode(&message, &Limits::default()).expect("encodes");
        assert_eq!(
            decode(&bytes, &Limits::default()),
            Ok(Incoming::Known(message))
        );
    }

    fn causes() -> Vec<Cause> {
        vec![Cause {
            revision: Revision(1),
            request_id: crate::model::RequestId(Uuid::from_u128(8)),
        }]
    }

    fn change() -> Change {
        Config::default().commit(
            Revision(1),
            vec![
                Op::Put {
                    kind: Kind::Services,
                    id: Uuid::from_u128(1),
                    row: Row::from_json(json!({"name": "a"}).as_object().expect("an object")),
                },
                Op::Delete {
                    kind: Kind::Routes,
                    id: Uuid::from_u128(2),
                },
            ],
        )
    }

    #[test]
    fn every_message_survives_the_wire() {
        survives(FromDataPlane::from(Hello {
            node_id: Uuid::from_u128(1),
            hostname: "h".into(),
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
            plugins: vec![crate::wire::PluginVersion {
                name: "key-auth".into(),
                version: None,
            }],
            kinds: KindSet::DISTRIBUTED,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            held: position(),
            incarnation: Uuid::from_u128(9),
            secret: Some(crate::wire::NodeSecret::new([3; 32])),
        }));
        survives(FromDataPlane::from(Pong {}));
        survives(FromControlPlane::from(Ping {}));
        survives(FromDataPlane::from(Applied::new(
            position(),
            1_700_000_000_123,
            &[Quarantined {
                entity: Kind::Plugins,
                id: Uuid::from_u128(4),
                name: None,
                reason: "no such plugin".into(),
                since: 5,
                in_effect: Quarantined::NOTHING.into(),
            }],
        )));
        survives(FromDataPlane::from(Unpersisted {
            position: position(),
            reason: "full".into(),
        }));
        survives(FromDataPlane::from(Rejected {
            revision: Revision(3),
            reason: "r".into(),
        }));
        survives(FromDataPlane::from(Heartbeat::from(position())));
        survives(FromDataPlane::from(Heartbeat {
            position: position(),
            telemetry: Some("no link".into()),
        }));
        survives(FromControlPlane::from(Welcome {
            control_plane: Uuid::from_u128(3),
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
            position: position(),
        }));
        survives(FromControlPlane::from(Refused {
            code: RefusalCode::VersionIncompatible,
            reason: "r".into(),
            retry_after: Some(9),
        }));
        survives(FromControlPlane::from(ChangeMessage {
            epoch: 1,
            change: change(),
            causes: causes(),
        }));
        survives(FromControlPlane::from(SnapshotChunk {
            position: position(),
            index: 0,
            of: 1,
            bytes: Blob(Bytes::from_static(b"xyz")),
        }));
        survives(FromControlPlane::from(HeartbeatAck {
            position: position(),
        }));
        survives(FromControlPlane::from(GoAway {
            reconnect_after: None,
        }));
    }

    #[test]
    fn a_borrowed_change_has_the_bytes_of_an_owned_one() {
        for causes in [Vec::new(), causes()] {
            let owned = FromControlPlane::from(ChangeMessage {
                epoch: 4,
                change: change(),
                causes: causes.clone(),
            });
            assert_eq!(
                encode(&owned, &Limits::default()).expect("encodes"),
                encode_change(4, &change(), &causes, &Limits::default()).expect("encodes")
            );
        }
    }

    /// The message as it was before it had causes.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Older {
        epoch: u64,
        change: Change,
    }

    #[test]
    fn peers_that_know_no_causes_read_and_write_changes() {
        let older = Older {
            epoch: 1,
            change: change(),
        };
        let bytes = encode_ref("change", &older, &Limits::default()).expect("encodes");
        let Ok(Incoming::Known(FromControlPlane::ChangeMessage(read))) =
            decode(&bytes, &Limits::default())
        else {
            panic!("is a change");
        };
        assert_eq!((read.change, read.causes), (change(), Vec::new()));
        let newer = ChangeMessage {
            epoch: 1,
            change: change(),
            causes: causes(),
        };
        let body = FromControlPlane::from(newer)
            .encode_body()
            .expect("encodes");
        assert_eq!(rmp_serde::from_slice::<Older>(&body).expect("reads"), older);
    }

    #[test]
    fn an_unknown_refusal_is_still_a_refusal() {
        #[derive(Serialize)]
        struct Newer {
            code: &'static str,
            reason: &'static str,
        }
        let bytes = encode_ref(
            "refused",
            &Newer {
                code: "full_moon",
                reason: "r",
            },
            &Limits::default(),
        )
        .expect("encodes");
        let Ok(Incoming::Known(FromControlPlane::Refused(refused))) =
            decode(&bytes, &Limits::default())
        else {
            panic!("is refused");
        };
        assert_eq!(refused.code, RefusalCode::Other);
    }

    #[test]
    fn reports_are_cut_and_say_so() {
        let entry = Quarantined {
            entity: Kind::Routes,
            id: Uuid::nil(),
            name: None,
            reason: "ü".repeat(600),
            since: 0,
            in_effect: String::new(),
        };
        let short = Quarantined {
            reason: "short".into(),
            ..entry.clone()
        };
        let applied = Applied::new(position(), 0, &vec![short; 1200]);
        assert_eq!(applied.quarantined.len(), 1000);
        assert_eq!(applied.quarantined_total, 1200);
        let applied = Applied::new(position(), 0, &vec![entry; 1200]);
        assert_eq!(applied.quarantined[0].reason.chars().count(), 512);
        assert!((400..500).contains(&applied.quarantined.len()));
    }

    #[test]
    fn trial_17_every_report_fits_what_a_data_plane_may_send() {
        // Text that does not compress: what a plugin found in a body, say.
        let noise = |n: u64| {
            let letter = |i: u64| {
                let mixed = (n * 512 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                char::from_u32(0x4e00 + (mixed % 20_000) as u32).unwrap_or('x')
            };
            (0..512).map(letter).collect::<String>()
        };
        let entry = |n: u64| Quarantined {
            entity: Kind::Plugins,
            id: Uuid::from_u128(u128::from(n)),
            name: Some(noise(n + 7)),
            reason: noise(n),
            since: n,
            in_effect: Quarantined::NOTHING.into(),
        };
        let entries: Vec<_> = (0..1500).map(entry).collect();
        let limits = Limits::of_data_plane();
        let applied = FromDataPlane::from(Applied::new(position(), 1, &entries));
        let bytes = encode(&applied, &limits).expect("fits");
        assert_eq!(decode(&bytes, &limits), Ok(Incoming::Known(applied)));
    }

    #[test]
    fn trial_17_what_is_too_long_is_cut_when_it_comes() {
        #[derive(Serialize)]
        struct Long {
            revision: Revision,
            reason: String,
        }
        let long = Long {
            revision: Revision(1),
            reason: "é".repeat(1 << 20),
        };
        let limits = Limits::default();
        let bytes = encode_ref("rejected", &long, &limits).expect("encodes");
        let Ok(Incoming::Known(FromDataPlane::Rejected(read))) = decode(&bytes, &limits) else {
            panic!("is rejected");
        };
        assert_eq!(read.reason.chars().count(), 512);
        assert_eq!(read, Rejected::new(Revision(1), &long.reason));
        let entry = Quarantined {
            entity: Kind::Routes,
            id: Uuid::nil(),
            name: None,
            reason: "r".into(),
            since: 0,
            in_effect: Quarantined::NOTHING.into(),
        };
        let many = Applied {
            position: position(),
            in_effect_at: 0,
            quarantined: vec![entry; 5000],
            quarantined_total: 5000,
        };
        let bytes = encode(&FromDataPlane::from(many), &limits).expect("encodes");
        let Ok(Incoming::Known(FromDataPlane::Applied(read))) = decode(&bytes, &limits) else {
            panic!("is applied");
        };
        assert_eq!(read.quarantined.len(), Applied::MOST_QUARANTINED);
    }
}
