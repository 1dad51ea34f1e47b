//! One data plane at a time; the simulation has the rest.

use super::super::state::Origin;
use super::*;
use crate::model::{Change, Config, Digest, Kind, Op, Row};
use crate::wire::{
    Blob, GoAway, HeartbeatAck, Incoming as Frame, Limits, RefusalCode, Refused, decode,
    encode_snapshot,
};
use uuid::Uuid;

/// A data plane with the configuration its router would hold, and what it did last.
struct Case {
    state: State,
    control_plane: Config,
    now: Duration,
    outputs: Vec<Output>,
}

fn welcome() -> Welcome {
    Welcome {
        control_plane: Uuid::nil(),
        langur_version: "0.1.0".into(),
        kong_version: "3.9.3".into(),
        position: Position::default(),
    }
}

impl Case {
    fn new(addresses: usize) -> Case {
        Case::with(addresses, Position::default())
    }

    fn with(addresses: usize, persisted: Position) -> Case {
        let hello = Hello {
            node_id: Uuid::from_u128(1),
            hostname: String::new(),
            langur_version: "0.1.0".into(),
            kong_version: String::new(),
            plugins: vec![],
            kinds: crate::model::KindSet::DISTRIBUTED,
            labels: Default::default(),
            held: Position::default(),
            incarnation: Uuid::nil(),
            secret: None,
        };
        let limits = Limits::for_payload(4096);
        let origin = Origin {
            hello,
            persisted,
            in_effect_at: 0,
            quarantined: Arc::default(),
        };
        let mut case = Case {
            state: State::new(origin, addresses, 5, limits),
            control_plane: Config::default(),
            now: Duration::ZERO,
            outputs: vec![],
        };
        case.input(Input::Start);
        case
    }

    fn live() -> Case {
        let mut case = Case::new(1);
        case.establish();
        case
    }

    fn establish(&mut self) {
        let link = self.state.link;
        self.input(Input::Connected { link });
        self.receive(welcome());
    }

    fn input(&mut self, input: Input) {
        self.outputs = step(&mut self.state, input, self.now);
    }

    fn receive(&mut self, message: impl Into<FromControlPlane>) {
        let link = self.state.link;
        self.input(Input::Received {
            link,
            message: message.into(),
        });
    }

    fn next_change(&mut self) -> ChangeMessage {
        let n = self.control_plane.revision().0;
        let put = Op::Put {
            kind: Kind::Services,
            id: Uuid::from_u128(n.into()),
            row: Row::from_bytes(&n.to_le_bytes()),
        };
        let next = self.control_plane.revision().next();
        ChangeMessage {
            epoch: 0,
            change: self.control_plane.commit(next, vec![put]),
            causes: Vec::new(),
        }
    }

    fn change(&mut self) {
        let change = self.next_change();
        self.receive(change);
    }

    fn snapshot(&mut self, epoch: u64) {
        let config = self.control_plane.clone();
        for bytes in encode_snapshot(
            epoch,
            &config,
            crate::model::KindSet::ALL,
            &self.state.limits,
        )
        .expect("encodes")
        .iter()
        {
            match decode(bytes, &self.state.limits) {
                Ok(Frame::Known(FromControlPlane::SnapshotChunk(chunk))) => self.receive(chunk),
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is being applied takes effect.
    fn in_effect(&mut self) {
        let applying = self.state.applying.as_ref().expect("something is applied");
        self.input(Input::InEffect {
            position: applying.position(),
            at: 42,
            quarantined: Arc::default(),
            last_good: Arc::default(),
        });
    }

    fn persisted(&mut self) {
        let position = self.state.persisting.as_ref().expect("a write").position;
        self.input(Input::Persisted { position });
    }

    fn lose(&mut self) {
        let link = self.state.link;
        self.input(Input::LinkClosed {
            link,
            reason: "lost".into(),
        });
    }

    /// What was sent, in short.
    fn sent(&self) -> Vec<String> {
        let sent = |output: &Output| match output {
            Output::Send { message, .. } => Some(match message {
                FromDataPlane::Hello(hello) => format!("hello {}", hello.held.revision),
                FromDataPlane::Applied(applied) => {
                    format!("applied {}", applied.position.revision)
                }
                FromDataPlane::Unpersisted(it) => format!("unpersisted {}", it.position.revision),
                FromDataPlane::Rejected(it) => format!("rejected {}", it.revision),
                FromDataPlane::Pong(_) => "pong".to_owned(),
                FromDataPlane::Heartbeat(it) => format!("heartbeat {}", it.position.revision),
            }),
            _ => None,
        };
        self.outputs.iter().filter_map(sent).collect()
    }

    fn count(&self, which: fn(&Output) -> bool) -> usize {
        self.outputs.iter().filter(|output| which(output)).count()
    }

    fn wait(&mut self) {
        self.now = self.state.deadline().expect("something is due");
        self.input(Input::Tick);
    }
}

const NOTHING: [&str; 0] = [];
const APPLIES: fn(&Output) -> bool =
    |output| matches!(output, Output::Apply(_) | Output::ApplySnapshot(_));
const PERSISTS: fn(&Output) -> bool = |output| matches!(output, Output::Persist(_));

#[test]
fn an_acknowledgement_waits_for_router_and_disk() {
    let mut case = Case::live();
    assert_eq!(case.sent(), ["applied 0"]);
    case.change();
    assert_eq!((case.sent().len(), case.count(APPLIES)), (0, 1));
    case.in_effect();
    assert_eq!((case.sent().len(), case.count(PERSISTS)), (0, 1));
    case.persisted();
    assert_eq!(case.sent(), ["applied 1"]);
}

#[test]
fn changes_are_applied_in_order_and_written_together() {
    let mut case = Case::live();
    for expected in [1, 0, 0, 0] {
        case.change();
        assert_eq!(case.count(APPLIES), expected);
    }
    case.in_effect();
    assert_eq!((case.count(APPLIES), case.count(PERSISTS)), (1, 1));
    for applies in [1, 1, 0] {
        case.in_effect();
        assert_eq!((case.count(APPLIES), case.count(PERSISTS)), (applies, 0));
    }
    // The first write is done: its position is acknowledged, the rest is one write.
    case.persisted();
    assert_eq!(case.sent(), ["applied 1"]);
    let Some(Output::Persist(Persist::Change { change, .. })) = case.outputs.last() else {
        panic!("{:?}", case.outputs);
    };
    assert_eq!((change.base, change.revision), (Revision(1), Revision(4)));
    case.persisted();
    assert_eq!(case.sent(), ["applied 4"]);
}

#[test]
fn what_does_not_fit_is_rejected_until_a_snapshot_comes() {
    let check = |spoil: fn(&mut ChangeMessage)| {
        let mut case = Case::live();
        case.change();
        let mut bad = case.next_change();
        spoil(&mut bad);
        let rejected = format!("rejected {}", bad.change.revision);
        case.receive(bad);
        assert_eq!(case.sent(), [rejected]);
        case.change();
        assert_eq!((case.sent().len(), case.count(APPLIES)), (0, 0));
        case.in_effect();
        case.snapshot(0);
        assert_eq!(case.count(APPLIES), 1);
        case.in_effect();
        assert_eq!(case.state.live().revision, Revision(3));
        case.change();
        assert_eq!(case.count(APPLIES), 1);
    };
    check(|bad| bad.change.base = Revision(0));
    check(|bad| bad.change.base = Revision(2));
    check(|bad| bad.epoch = 1);
}

#[test]
fn what_the_router_refuses_is_rejected() {
    let mut case = Case::live();
    case.change();
    case.change();
    case.input(Input::NotApplied {
        reason: "digest".into(),
    });
    assert_eq!(case.sent(), ["rejected 1"]);
    assert_eq!(case.count(APPLIES), 0);
    case.snapshot(0);
    assert_eq!(case.count(APPLIES), 1);
}

#[test]
fn more_changes_than_the_window_are_rejected() {
    let mut case = Case::live();
    for _ in 0..=WINDOW {
        case.change();
        assert_eq!(case.sent(), NOTHING);
    }
    case.change();
    assert_eq!(case.sent(), [format!("rejected {}", WINDOW + 2)]);
}

#[test]
fn a_snapshot_never_leads_back_within_an_epoch() {
    let mut case = Case::live();
    let old = case.control_plane.clone();
    case.change();
    case.in_effect();
    let new = std::mem::replace(&mut case.control_plane, old);
    case.snapshot(0);
    assert_eq!(case.sent(), ["rejected 0"]);
    // A later epoch does.
    case.snapshot(1);
    assert_eq!(case.count(APPLIES), 1);
    case.in_effect();
    assert_eq!(case.state.live().order(), (1, Revision(0)));
    // Other content at the same revision is taken too.
    case.control_plane = new.clone();
    case.control_plane = Config::from_rows(
        Revision(0),
        new.iter().map(|(kind, id, row)| (kind, id, row.clone())),
    );
    case.snapshot(1);
    assert_eq!(case.count(APPLIES), 1);
}

#[test]
fn a_failed_write_keeps_serving_and_is_made_good() {
    let mut case = Case::live();
    case.change();
    case.in_effect();
    case.input(Input::NotPersisted {
        reason: "full".into(),
    });
    assert_eq!(case.sent(), ["unpersisted 1"]);
    assert_eq!(case.state.cache_error(), Some("full"));
    case.change();
    case.in_effect();
    assert_eq!(case.sent(), ["unpersisted 2"]);
    assert_eq!(case.count(PERSISTS), 0);
    case.wait();
    assert_eq!(case.outputs[0], Output::Persist(Persist::Live));
    case.persisted();
    assert_eq!(case.sent(), ["applied 2"]);
    assert_eq!(case.state.cache_error(), None);
}

#[test]
fn a_rewrite_that_is_ahead_of_the_news_is_acknowledged_once() {
    let mut case = Case::live();
    case.next_change();
    case.snapshot(0);
    case.in_effect();
    assert_eq!(case.outputs[0], Output::Persist(Persist::Live));
    // The router has gone on when the rewrite reads its configuration.
    case.change();
    let position = case.state.applying.as_ref().expect("something").position();
    case.input(Input::Persisted { position });
    assert_eq!(case.sent(), NOTHING);
    case.in_effect();
    assert_eq!(case.sent(), ["applied 2"]);
    assert_eq!(case.count(PERSISTS), 0);
}

#[test]
fn a_client_that_does_not_know_its_cache_writes_it_first() {
    let unknown = Position {
        epoch: 9,
        ..Position::default()
    };
    let mut case = Case::with(1, unknown);
    assert_eq!(case.outputs[0], Output::Persist(Persist::Live));
    case.establish();
    assert_eq!(case.sent(), NOTHING);
    case.persisted();
    assert_eq!(case.sent(), ["applied 0"]);
}

#[test]
fn a_lost_acknowledgement_is_repeated_on_the_next_link() {
    let mut case = Case::live();
    case.change();
    case.in_effect();
    case.lose();
    case.persisted();
    assert_eq!(case.sent(), NOTHING);
    case.wait();
    let link = case.state.link;
    case.input(Input::Connected { link });
    assert_eq!(case.sent(), ["hello 1"]);
    case.receive(welcome());
    assert_eq!(case.sent(), ["applied 1"]);
}

#[test]
fn hello_waits_for_what_is_being_applied() {
    let mut case = Case::live();
    case.change();
    case.change();
    case.lose();
    assert_eq!(case.state.deadline(), None);
    case.now += Duration::from_secs(60);
    case.input(Input::Tick);
    assert_eq!(case.outputs, []);
    case.in_effect();
    let connects: fn(&Output) -> bool = |output| matches!(output, Output::Connect { .. });
    assert_eq!((case.count(connects), case.count(APPLIES)), (1, 0));
    case.establish();
    assert_eq!(case.state.live().revision, Revision(1));
}

#[test]
fn a_rejection_without_a_link_does_not_outlive_it() {
    let mut case = Case::live();
    case.change();
    case.lose();
    case.input(Input::NotApplied { reason: "r".into() });
    assert_eq!(case.sent(), NOTHING);
    case.wait();
    case.establish();
    case.control_plane = Config::default();
    case.change();
    assert_eq!(case.count(APPLIES), 1);
}

#[test]
fn heartbeats_and_silence() {
    let mut case = Case::live();
    case.now = Duration::from_secs(30);
    assert_eq!(case.state.deadline(), Some(case.now));
    case.input(Input::Tick);
    assert_eq!(case.sent(), ["heartbeat 0"]);
    case.receive(HeartbeatAck {
        position: Position::default(),
    });
    case.wait();
    assert_eq!(case.now, Duration::from_secs(60));
    assert_eq!(case.sent(), ["heartbeat 0"]);
    case.wait();
    assert_eq!(case.now, Duration::from_secs(75));
    assert_eq!(case.state.phase(), Phase::Waiting);
    assert!(matches!(case.outputs[0], Output::Disconnect { .. }));
}

#[test]
fn attempts_time_out() {
    let mut case = Case::new(1);
    case.wait();
    assert_eq!(case.now, Duration::from_secs(10));
    assert_eq!(case.state.phase(), Phase::Waiting);
    case.wait();
    let link = case.state.link;
    case.input(Input::Connected { link });
    let greeted = case.now;
    case.wait();
    assert_eq!(case.now, greeted + Duration::from_secs(10));
    assert_eq!(case.state.phase(), Phase::Waiting);
}

#[test]
fn every_control_plane_is_tried() {
    let mut case = Case::new(3);
    let mut tried = Vec::new();
    for _ in 0..6 {
        tried.push(case.state.reconnect.address());
        case.lose();
        case.wait();
    }
    assert_eq!(tried, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn hints_say_when_to_come_back() {
    let check = |message: FromControlPlane, from: u64, to: u64| {
        let mut case = Case::live();
        case.receive(message);
        let due = case.state.deadline().expect("reconnects").as_secs();
        assert!((from..=to).contains(&due), "{due}");
    };
    let go_away = |reconnect_after| GoAway { reconnect_after }.into();
    check(go_away(Some(0)), 0, 1);
    check(go_away(Some(100)), 100, 126);
    check(go_away(None), 5, 10);
    let refused = Refused {
        code: RefusalCode::OlderHistory,
        reason: "r".into(),
        retry_after: Some(30),
    };
    check(refused.into(), 30, 39);
}

#[test]
fn an_old_link_has_nothing_to_say() {
    let mut case = Case::live();
    let old = case.state.link;
    case.lose();
    case.wait();
    case.establish();
    let change = case.next_change();
    let before = case.state.deadline();
    case.now += Duration::from_secs(1);
    let stale = [
        Input::Received {
            link: old,
            message: change.into(),
        },
        Input::ReceivedUnknown { link: old },
        Input::LinkClosed {
            link: old,
            reason: "r".into(),
        },
        Input::Malformed {
            link: old,
            reason: "r".into(),
        },
        Input::Connected { link: old },
    ];
    for input in stale {
        case.input(input);
        assert_eq!(case.outputs, []);
        assert_eq!(case.state.deadline(), before);
    }
}

#[test]
fn violations_end_the_connection() {
    let check = |message: FromControlPlane| {
        let mut case = Case::live();
        case.receive(message);
        assert!(matches!(case.outputs[0], Output::Disconnect { .. }));
        assert_eq!(case.state.phase(), Phase::Waiting);
    };
    check(welcome().into());
    check(
        SnapshotChunk {
            position: Position::default(),
            index: 1,
            of: 2,
            bytes: Blob::default(),
        }
        .into(),
    );
    let mut case = Case::new(1);
    let link = case.state.link;
    case.input(Input::Connected { link });
    let early = ChangeMessage {
        epoch: 0,
        change: Change {
            base: Revision(0),
            revision: Revision(1),
            digest: Digest::default(),
            ops: vec![],
        },
        causes: Vec::new(),
    };
    case.receive(early);
    assert_eq!(case.state.phase(), Phase::Waiting);
}

#[test]
fn a_stopped_client_stays_silent() {
    let mut case = Case::live();
    case.input(Input::Stop);
    assert!(matches!(case.outputs[0], Output::Disconnect { .. }));
    case.input(Input::Tick);
    assert_eq!((case.outputs.len(), case.state.deadline()), (0, None));
}

#[test]
fn trial_13b_the_control_plane_is_told_that_telemetry_does_not_arrive() {
    let telemetry = |case: &Case| {
        let of = |output: &Output| match output {
            Output::Send {
                message: FromDataPlane::Heartbeat(heartbeat),
                ..
            } => Some(heartbeat.telemetry.clone()),
            _ => None,
        };
        case.outputs.iter().find_map(of)
    };
    let mut case = Case::live();
    let trouble = || Some("the answer is 404".to_owned());
    case.input(Input::Telemetry(trouble()));
    assert_eq!(telemetry(&case), Some(trouble()), "at once");
    case.input(Input::Telemetry(trouble()));
    assert_eq!(telemetry(&case), None, "and then with every heartbeat");
    case.now += HEARTBEAT_INTERVAL;
    case.input(Input::Tick);
    assert_eq!(telemetry(&case), Some(trouble()));
    case.input(Input::Telemetry(None));
    assert_eq!(telemetry(&case), Some(None));
    // Without a link nobody is told; the next heartbeat says it.
    case.lose();
    case.input(Input::Telemetry(trouble()));
    assert_eq!(telemetry(&case), None);
}

#[test]
fn trial_15_a_ping_is_answered() {
    let mut case = Case::live();
    case.receive(crate::wire::Ping {});
    assert!(matches!(
        case.outputs[..],
        [Output::Send {
            message: FromDataPlane::Pong(_),
            ..
        }]
    ));
}
