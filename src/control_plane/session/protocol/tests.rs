//! One connection at a time; the simulation has the rest.

use super::*;
use crate::control_plane::session::{Identity, MemoryHistory};
use crate::model::{Config, Digest, Kind, Op, Revision, Row};
use uuid::Uuid;

/// A session with its history, and what it did last.
struct Case {
    state: State,
    history: MemoryHistory,
    now: Duration,
    outputs: Vec<Output>,
}

fn history(epoch: u64, revisions: u64) -> MemoryHistory {
    let mut history = MemoryHistory::new(epoch, Config::default());
    for n in 1..=revisions {
        write(&mut history, n);
    }
    history
}

fn write(history: &mut MemoryHistory, n: u64) {
    let put = Op::Put {
        kind: Kind::Services,
        id: Uuid::from_u128(n.into()),
        row: Row::from_bytes(&n.to_le_bytes()),
    };
    let next = history.position(KindSet::ALL).revision.next();
    history.record(next, vec![put], None).expect("follows");
}

fn hello(held: Position) -> Hello {
    Hello {
        node_id: Uuid::from_u128(1),
        hostname: String::new(),
        langur_version: "1.2.3".into(),
        kong_version: String::new(),
        plugins: vec![],
        kinds: KindSet::DISTRIBUTED,
        labels: Default::default(),
        held,
        incarnation: Uuid::nil(),
        secret: None,
    }
}

/// The position of a revision, as this history knows it.
fn at(history: &MemoryHistory, revision: u64) -> Position {
    Position {
        epoch: history.position(KindSet::ALL).epoch,
        revision: Revision(revision),
        digest: history
            .digest_at(Revision(revision), KindSet::ALL)
            .expect("known"),
    }
}

impl Case {
    fn new(history: MemoryHistory) -> Case {
        let identity = Identity {
            control_plane: Uuid::from_u128(7),
            langur_version: "1.2.0".into(),
            kong_version: "3.9.3".into(),
        };
        Case {
            state: State::new(identity, Duration::ZERO),
            history,
            now: Duration::ZERO,
            outputs: vec![],
        }
    }

    fn greeted(history: MemoryHistory, held: Position) -> Case {
        let mut case = Case::new(history);
        case.receive(hello(held));
        case
    }

    fn input(&mut self, input: Input) {
        self.outputs = step(&mut self.state, input, self.now, &self.history);
    }

    fn receive(&mut self, message: impl Into<FromDataPlane>) {
        self.input(Input::Received(message.into()));
        let asks = |output: &Output| matches!(output, Output::Report(Report::Greeted(_)));
        if self.outputs.iter().any(asks) {
            self.input(Input::Admitted);
        }
    }

    fn write(&mut self) {
        let n = self.history.position(KindSet::ALL).revision.0 + 1;
        write(&mut self.history, n);
        self.input(Input::ConfigAdvanced);
    }

    fn applied(&mut self, revision: u64) {
        let position = at(&self.history, revision);
        self.receive(Applied::new(position, 0, &[]));
    }

    /// The revision changes were sent from, and "whole" for snapshots.
    fn sent(&self) -> Vec<String> {
        let sent = |output: &Output| match output {
            Output::SendChange { base } => Some(base.revision.to_string()),
            Output::SendSnapshot => Some("whole".into()),
            _ => None,
        };
        self.outputs.iter().filter_map(sent).collect()
    }

    fn closed(&self) -> Option<String> {
        self.outputs.iter().find_map(|output| match output {
            Output::Close(reason) => Some(reason.to_string()),
            _ => None,
        })
    }
}

#[test]
fn a_hello_is_answered_with_what_is_missing() {
    let check = |held: fn(&MemoryHistory) -> Position, sent: &[&str], status: SyncStatus| {
        let history = history(1, 10);
        let held = held(&history);
        let case = Case::greeted(history, held);
        assert_eq!(case.sent(), sent, "{held}");
        assert_eq!(case.state.status(), status, "{held}");
        assert!(matches!(
            case.outputs[0],
            Output::Send(FromControlPlane::Welcome(_))
        ));
    };
    check(|history| at(history, 10), &[], SyncStatus::Syncing);
    check(|history| at(history, 7), &["7"], SyncStatus::Syncing);
    check(|history| at(history, 0), &["0"], SyncStatus::Syncing);
    // The same revision with other content.
    let other = |history: &MemoryHistory| Position {
        digest: Digest::default(),
        ..at(history, 7)
    };
    check(other, &["whole"], SyncStatus::Syncing);
    check(
        |history| Position {
            digest: Digest::default(),
            ..at(history, 10)
        },
        &["whole"],
        SyncStatus::Syncing,
    );
    // An earlier epoch goes back by order, a later revision of the same epoch does not.
    check(|_| Position::default(), &["whole"], SyncStatus::Syncing);
    check(
        |history| Position {
            epoch: 0,
            revision: Revision(99),
            ..at(history, 10)
        },
        &["whole"],
        SyncStatus::Syncing,
    );
    check(
        |history| Position {
            revision: Revision(99),
            ..at(history, 10)
        },
        &[],
        SyncStatus::Ahead,
    );
}

#[test]
fn beyond_the_history_the_whole_is_sent() {
    let config = (*history(0, 10).snapshot()).clone();
    let short = MemoryHistory::new(0, config);
    let held = at(&history(0, 10), 9);
    assert_eq!(Case::greeted(short, held).sent(), ["whole"]);
}

#[test]
fn who_may_not_join_is_told_why() {
    let check = |change: fn(&mut Hello), code: RefusalCode| {
        let mut case = Case::new(history(1, 3));
        let mut hello = hello(at(&case.history, 3));
        change(&mut hello);
        case.receive(hello);
        let Output::Send(FromControlPlane::Refused(refused)) = &case.outputs[0] else {
            panic!("{:?}", case.outputs);
        };
        assert_eq!(refused.code, code);
        assert!(case.closed().is_some());
        assert!(matches!(
            case.outputs[1],
            Output::Report(Report::Refused { .. })
        ));
        case.applied(3);
        assert_eq!(case.outputs, []);
    };
    check(
        |hello| hello.langur_version = "1.3.0".into(),
        RefusalCode::VersionIncompatible,
    );
    check(
        |hello| hello.node_id = Uuid::nil(),
        RefusalCode::InvalidHello,
    );
    check(|hello| hello.held.epoch = 2, RefusalCode::OlderHistory);
}

#[test]
fn a_slow_data_plane_gets_fewer_and_larger_changes() {
    let mut case = Case::greeted(history(0, 0), Position::default());
    for base in ["0", "1", "2", "3"] {
        case.write();
        assert_eq!(case.sent(), [base]);
    }
    for _ in 0..50 {
        case.write();
        assert_eq!(case.sent(), [""; 0]);
    }
    case.applied(1);
    assert_eq!(case.sent(), ["4"]);
    assert_eq!(case.state.status(), SyncStatus::Syncing);
    case.applied(54);
    assert_eq!(case.sent(), [""; 0]);
    assert_eq!(case.state.status(), SyncStatus::Live);
    assert_eq!(
        case.state.acknowledged(),
        Some(case.history.position(KindSet::ALL))
    );
    case.write();
    assert_eq!(case.sent(), ["54"]);
}

#[test]
fn after_a_snapshot_nothing_is_sent_until_it_is_applied() {
    let mut case = Case::greeted(history(1, 5), Position::default());
    assert_eq!(case.sent(), ["whole"]);
    case.write();
    case.write();
    assert_eq!(case.sent(), [""; 0]);
    case.applied(5);
    assert_eq!(case.sent(), ["5"]);
}

#[test]
fn a_rejected_change_is_followed_by_the_whole() {
    let mut case = Case::greeted(history(0, 5), Position::default());
    assert_eq!(case.sent(), ["0"]);
    let rejected = Rejected {
        revision: Revision(5),
        reason: "r".into(),
    };
    case.receive(rejected.clone());
    assert_eq!(case.sent(), ["whole"]);

    // The whole is not sent again at once, but with the next revision or after a pause.
    case.receive(rejected.clone());
    assert_eq!(case.sent(), [""; 0]);
    assert_eq!(case.state.status(), SyncStatus::Rejecting);
    case.input(Input::ConfigAdvanced);
    assert_eq!(case.sent(), [""; 0]);
    case.write();
    assert_eq!(case.sent(), ["whole"]);
    case.receive(Rejected {
        revision: Revision(6),
        ..rejected
    });
    case.now += Duration::from_secs(40);
    let position = at(&case.history, 0);
    case.receive(Heartbeat::from(position));
    case.now = case.state.deadline().expect("is open");
    assert_eq!(case.now, Duration::from_secs(60));
    case.input(Input::Tick);
    assert_eq!(case.sent(), ["whole"]);
    case.applied(6);
    assert_eq!(case.state.status(), SyncStatus::Live);
}

#[test]
fn diverged_content_is_replaced() {
    let mut case = Case::greeted(history(0, 5), Position::default());
    case.applied(5);
    assert_eq!(case.state.status(), SyncStatus::Live);
    let wrong = Position {
        digest: Digest::default(),
        ..at(&case.history, 5)
    };
    case.receive(Heartbeat::from(wrong));
    assert_eq!(case.sent(), ["whole"]);
    case.receive(Heartbeat::from(wrong));
    assert_eq!(case.sent(), [""; 0]);
    case.applied(5);
    assert_eq!(case.state.status(), SyncStatus::Live);
}

#[test]
fn a_data_plane_ahead_waits_for_its_control_plane() {
    let later = history(0, 12);
    let mut case = Case::greeted(history(0, 10), at(&later, 12));
    assert_eq!(case.state.status(), SyncStatus::Ahead);
    case.receive(Applied::new(at(&later, 12), 0, &[]));
    case.write();
    assert_eq!(case.sent(), [""; 0]);
    assert_eq!(case.state.status(), SyncStatus::Ahead);
    case.write();
    assert_eq!(case.sent(), [""; 0]);
    assert_eq!(case.state.status(), SyncStatus::Live);
    case.write();
    assert_eq!(case.sent(), ["12"]);

    // The other way it can end: this control plane's history went another way.
    let mut lost = at(&later, 12);
    lost.digest = Digest::default();
    let mut case = Case::greeted(history(0, 11), lost);
    assert_eq!(case.state.status(), SyncStatus::Ahead);
    case.write();
    assert_eq!(case.sent(), ["whole"]);
}

#[test]
fn what_is_live_but_not_persisted_is_no_acknowledgement() {
    let mut case = Case::greeted(history(0, 0), Position::default());
    for _ in 0..6 {
        case.write();
    }
    let position = at(&case.history, 4);
    case.receive(Unpersisted {
        position,
        reason: "full".into(),
    });
    assert_eq!(case.sent(), ["4"]);
    assert_eq!(case.state.acknowledged(), None);
    let position = at(&case.history, 6);
    case.receive(Unpersisted {
        position,
        reason: "full".into(),
    });
    assert_eq!(case.state.status(), SyncStatus::Syncing);
    case.applied(6);
    assert_eq!(case.state.status(), SyncStatus::Live);
}

#[test]
fn silence_ends_a_session() {
    let mut case = Case::new(history(0, 0));
    case.now = Duration::from_secs(5);
    assert_eq!(case.state.deadline(), Some(case.now));
    case.input(Input::Tick);
    assert_eq!(case.closed().as_deref(), Some("no hello within 5 s"));

    let mut case = Case::greeted(history(0, 0), Position::default());
    case.now = Duration::from_secs(30);
    case.receive(Heartbeat::from(Position::default()));
    case.now = Duration::from_millis(74_999);
    case.input(Input::Tick);
    assert_eq!(case.closed(), None);
    case.now = Duration::from_secs(75);
    assert_eq!(case.state.deadline(), Some(case.now));
    case.input(Input::Tick);
    assert_eq!(case.closed().as_deref(), Some("no frame for 45 s"));
    assert_eq!(case.state.deadline(), None);
}

#[test]
fn a_peer_that_does_not_read_is_not_answered_without_bound() {
    let mut case = Case::greeted(history(0, 0), Position::default());
    let heartbeat = Heartbeat::from(Position::default());
    let mut answers = 0;
    for _ in 0..1000 {
        case.receive(heartbeat.clone());
        let answered = |output: &&Output| matches!(output, Output::Send(_));
        answers += case.outputs.iter().filter(answered).count();
    }
    assert!(answers <= MOST_UNSENT, "{answers}");
    case.input(Input::Sent);
    case.receive(heartbeat);
    assert!(matches!(case.outputs[0], Output::Send(_)));
}

#[test]
fn violations_end_the_connection() {
    let check = |expected: &str, act: fn(&mut Case)| {
        let mut case = Case::greeted(history(0, 3), Position::default());
        act(&mut case);
        let closed = case.closed().unwrap_or_default();
        assert!(closed.contains(expected), "{closed:?}");
    };
    check("second hello", |case| {
        case.receive(hello(Position::default()))
    });
    check("never sent", |case| {
        let position = Position {
            revision: Revision(4),
            ..Position::default()
        };
        case.receive(Applied::new(position, 0, &[]));
    });
    check("not a frame", |case| {
        case.input(Input::Malformed("not a frame".into()));
    });
    let mut case = Case::new(history(0, 0));
    case.receive(Heartbeat::from(Position::default()));
    assert!(case.closed().expect("closes").contains("before hello"));
}

#[test]
fn a_change_that_fits_no_frame_is_sent_whole() {
    let mut case = Case::greeted(history(0, 3), Position::default());
    assert_eq!(case.sent(), ["0"]);
    case.input(Input::ChangeTooLarge);
    assert_eq!(case.sent(), ["whole"]);
    case.input(Input::Unsendable("too large".into()));
    assert!(case.closed().expect("closes").contains("too large"));
}

#[test]
fn a_control_plane_that_stops_says_when_to_come_back() {
    let mut case = Case::greeted(history(0, 0), Position::default());
    case.input(Input::Stop {
        reconnect_after: Some(3),
    });
    assert_eq!(
        case.outputs[0],
        Output::Send(FromControlPlane::GoAway(GoAway {
            reconnect_after: Some(3)
        }))
    );
    assert!(case.closed().is_some());
}

/// A data plane that knows fewer kinds follows the same revisions with digests of its own.
#[test]
fn a_peer_is_measured_by_the_kinds_it_knows() {
    let put = |kind, n: u128| Op::Put {
        kind,
        id: Uuid::from_u128(n),
        row: Row::from_bytes(&[1]),
    };
    let mut history = MemoryHistory::new(1, Config::default());
    let revisions = [
        vec![put(Kind::Services, 1)],
        vec![put(Kind::Acls, 2), put(Kind::Routes, 3)],
        vec![put(Kind::Sessions, 4)],
        vec![put(Kind::Vaults, 5)],
    ];
    for (n, ops) in (1..).zip(revisions) {
        history.record(Revision(n), ops, None).expect("follows");
    }
    for (kinds, holds) in [
        (KindSet::FIRST, 2),
        (KindSet::DISTRIBUTED, 4),
        (KindSet::ALL, 4),
    ] {
        let mut config = Config::default();
        let mut case = Case::new(history.clone());
        case.receive(Hello {
            kinds,
            ..hello(Position::of(1, &config))
        });
        assert_eq!(case.sent(), ["0"], "{kinds:?}");
        let kinds = case.state.kinds();
        let change = case.history.since(Revision(0), kinds).expect("reaches");
        assert_eq!(config.apply(&change), Ok(()), "{kinds:?}");
        assert_eq!(config.len(), holds, "{kinds:?}");
        case.receive(Applied::new(Position::of(1, &config), 0, &[]));
        assert_eq!(case.state.status(), SyncStatus::Live, "{kinds:?}");

        // What it does not know moves it on all the same.
        case.history
            .record(Revision(5), vec![put(Kind::Sessions, 6)], None)
            .expect("follows");
        case.input(Input::ConfigAdvanced);
        assert_eq!(case.sent(), ["4"], "{kinds:?}");
        let change = case.history.since(Revision(4), kinds).expect("reaches");
        assert_eq!((change.ops.len(), config.apply(&change)), (0, Ok(())));
        assert_eq!(Position::of(1, &config), case.history.position(kinds));
    }
}

/// A data plane that learned new kinds since is sent the whole when there is something of them.
#[test]
fn an_upgraded_data_plane_gets_what_it_could_not_hold() {
    let put = |kind| Op::Put {
        kind,
        id: Uuid::from_u128(1),
        row: Row::from_bytes(&[1]),
    };
    for (kind, sent) in [(Kind::Services, &[][..]), (Kind::Acls, &["whole"])] {
        let mut history = MemoryHistory::new(1, Config::default());
        history
            .record(Revision(1), vec![put(kind)], None)
            .expect("follows");
        let held = history.position(KindSet::FIRST);
        let case = Case::greeted(history, held);
        assert_eq!(case.sent(), sent, "{kind}");
    }
}

#[test]
fn trial_15_nobody_joins_before_it_is_admitted() {
    let greet = || {
        let mut case = Case::new(history(1, 3));
        let held = at(&case.history, 3);
        case.input(Input::Received(hello(held).into()));
        assert!(matches!(
            case.outputs[..],
            [Output::Report(Report::Greeted(_))]
        ));
        case
    };
    let mut case = greet();
    case.input(Input::Admitted);
    assert!(matches!(
        case.outputs[0],
        Output::Send(FromControlPlane::Welcome(_))
    ));
    let mut case = greet();
    let reason = "another one".to_owned();
    case.input(Input::TurnedAway { reason });
    assert!(matches!(
        &case.outputs[0],
        Output::Send(FromControlPlane::Refused(refused)) if refused.code == RefusalCode::Identity
    ));
    assert_eq!(case.closed().as_deref(), Some("refused: another one"));
    // Nothing of it is believed meanwhile.
    let mut case = greet();
    case.applied(3);
    let closed = case.closed().expect("closes");
    assert!(closed.contains("a message before welcome"), "{closed}");
    let applied = |output: &Output| matches!(output, Output::Report(Report::Applied(_)));
    assert!(!case.outputs.iter().any(applied));
    let mut case = greet();
    case.now = ADMISSION;
    assert_eq!(case.state.deadline(), Some(ADMISSION));
    case.input(Input::Tick);
    let closed = case.closed().expect("closes");
    assert!(closed.contains("nobody said"), "{closed}");
}

#[test]
fn trial_15_who_is_challenged_gives_a_sign_of_life_or_ends() {
    let mut case = Case::greeted(history(0, 0), Position::default());
    case.input(Input::Challenged);
    assert!(matches!(
        case.outputs[..],
        [Output::Send(FromControlPlane::Ping(_)), ..]
    ));
    let until = CHALLENGE;
    assert_eq!(case.state.deadline(), Some(until));
    // Whatever comes is a sign of life.
    case.receive(crate::wire::Pong {});
    assert_eq!(case.outputs[0], Output::Report(Report::Alive));
    case.now = until;
    case.input(Input::Tick);
    assert_eq!(case.closed(), None);

    case.input(Input::Challenged);
    case.now = until * 2;
    case.input(Input::Tick);
    let closed = case.closed().expect("closes");
    assert!(closed.contains("no sign of life within 2 s"), "{closed}");
}
