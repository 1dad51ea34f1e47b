//! No record is lost silently, whatever the link and the control plane do.

use super::*;
use crate::telemetry::batch::{Batch, MAX_FRAME_BYTES, decode_batch};
use crate::telemetry::record::Label;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const NODE: Uuid = Uuid::from_u128(1);

fn buffer(size_limit: usize, batch_limit: usize) -> Buffer {
    let options = BufferOptions {
        size_limit,
        batch_limit,
        flush_interval: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(45),
    };
    Buffer::new(options, NODE, Uuid::from_u128(2))
}

fn record(n: u64) -> Record {
    Record {
        started_at: n,
        ..Record::default()
    }
}

/// The batches among the outputs: number, reported losses, records.
fn sent(outputs: &[Output]) -> Vec<(u64, u64, Vec<u64>)> {
    outputs.iter().filter_map(batch_of).map(content).collect()
}

fn batch_of(output: &Output) -> Option<Batch> {
    match output {
        Output::Send(frame) => Some(decode_batch(frame).expect("a batch")),
        _ => None,
    }
}

fn content(batch: Batch) -> (u64, u64, Vec<u64>) {
    let records = batch.records().expect("records");
    let records = records.iter().map(|record| record.started_at).collect();
    (batch.key.sequence, batch.dropped, records)
}

#[test]
fn a_batch_a_flush_interval_and_full_batches_at_once() {
    let mut buffer = buffer(100, 3);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    assert_eq!(buffer.step(Input::LinkUp, at(0)), []);
    assert_eq!(buffer.step(Input::Tick, at(0)), []);
    for n in 0..2 {
        assert_eq!(buffer.step(Input::Recorded(record(n)), at(10)), []);
    }
    assert_eq!(buffer.step(Input::Tick, at(999)), []);
    assert_eq!(
        sent(&buffer.step(Input::Tick, at(1000))),
        [(1, 0, vec![0, 1])]
    );
    for n in 2..4 {
        assert_eq!(buffer.step(Input::Recorded(record(n)), at(1001)), []);
    }
    assert_eq!(
        sent(&buffer.step(Input::Recorded(record(4)), at(1001))),
        [(2, 0, vec![2, 3, 4])]
    );
    assert_eq!(
        buffer.step(Input::Answered(Answer::counted(2)), at(1002)),
        []
    );
    let totals = buffer.totals();
    assert_eq!((totals.held, totals.sent, totals.delivered), (0, 5, 5));
}

#[test]
fn the_limit_holds_sent_records_too_and_the_oldest_go_first() {
    let mut buffer = buffer(4, 2);
    let now = Instant::now();
    buffer.step(Input::LinkUp, now);
    for n in 0..3 {
        buffer.step(Input::Recorded(record(n)), now);
    }
    // Batch 1 (records 0 and 1) is out, 2 waits; then the link goes.
    buffer.step(Input::LinkDown, now);
    for n in 3..5 {
        buffer.step(Input::Recorded(record(n)), now);
    }
    assert_eq!(buffer.totals().held, 4);
    assert_eq!(buffer.totals().dropped, 1);
    let again = buffer.step(Input::LinkUp, now);
    assert_eq!(sent(&again), [(1, 0, vec![1]), (2, 1, vec![2, 3])]);
}

#[test]
fn losses_are_reported_even_when_nothing_is_left() {
    let mut buffer = buffer(4, 2);
    let now = Instant::now();
    buffer.step(Input::LinkUp, now);
    buffer.step(Input::Lost(7), now);
    assert_eq!(sent(&buffer.step(Input::Tick, now)), [(1, 7, vec![])]);
    assert_eq!(buffer.totals().unanswered_batches, 1);
    buffer.step(Input::Answered(Answer::counted(1)), now);
    assert_eq!(buffer.totals().unanswered_batches, 0);
    assert_eq!(buffer.step(Input::Tick, now + Duration::from_secs(9)), []);
}

#[test]
fn a_refused_batch_is_dropped_and_counted() {
    let mut buffer = buffer(10, 2);
    let now = Instant::now();
    buffer.step(Input::LinkUp, now);
    buffer.step(Input::Lost(3), now);
    for n in 0..4 {
        buffer.step(Input::Recorded(record(n)), now);
    }
    // Batch 1 reports the three losses and is counted by its successor's refusal.
    let outputs = buffer.step(Input::Answered(Answer::refused(2, "odd")), now);
    assert_eq!(
        outputs,
        [Output::Refused {
            records: 2,
            reason: "odd".into()
        }]
    );
    let totals = buffer.totals();
    assert_eq!((totals.delivered, totals.dropped, totals.held), (2, 5, 0));
}

#[test]
fn a_silent_link_is_given_up() {
    let mut buffer = buffer(10, 2);
    let start = Instant::now();
    buffer.step(Input::LinkUp, start);
    buffer.step(Input::Recorded(record(1)), start);
    assert_eq!(buffer.step(Input::Tick, start).len(), 1);
    let late = start + Duration::from_secs(45);
    assert!(matches!(
        buffer.step(Input::Tick, late)[..],
        [Output::CloseLink(_)]
    ));
    assert_eq!(buffer.step(Input::Tick, late), []);
    assert_eq!(sent(&buffer.step(Input::LinkUp, late)), [(1, 0, vec![1])]);
}

fn record_of(n: u64, name: String) -> Record {
    let id = Uuid::from_u128(n.into());
    Record {
        consumer: Some(
            Arc::new(Label {
                id,
                name: name.into(),
            })
            .into(),
        ),
        ..record(n)
    }
}

#[test]
fn batches_of_long_names_fit_a_frame() {
    let mut buffer = buffer(10_000, 5000);
    let now = Instant::now();
    buffer.step(Input::LinkUp, now);
    let mut outputs = Vec::new();
    for n in 0..5000 {
        let record = record_of(n, "x".repeat(2000));
        outputs.extend(buffer.step(Input::Recorded(record), now));
    }
    let later = now + Duration::from_secs(9);
    outputs.extend(buffer.step(Input::Tick, later));
    for output in &outputs {
        assert!(matches!(output, Output::Send(frame) if frame.len() <= MAX_FRAME_BYTES));
    }
    let batches = sent(&outputs);
    let records: Vec<_> = batches
        .iter()
        .flat_map(|(_, _, records)| records.clone())
        .collect();
    assert!(records.iter().copied().eq(0..5000), "{records:?}");
    let numbers: Vec<_> = batches.iter().map(|(sequence, ..)| *sequence).collect();
    assert!(numbers.len() > 2 && numbers.iter().copied().eq(1..=numbers.len() as u64));
    // The same on another link.
    assert_eq!(sent(&buffer.step(Input::LinkUp, later)), batches);
}

#[test]
fn a_record_that_fits_no_frame_holds_up_nobody() {
    let mut buffer = buffer(10, 10);
    let now = Instant::now();
    buffer.step(Input::LinkUp, now);
    for n in 0..3 {
        let name = "x".repeat(if n == 1 { MAX_FRAME_BYTES } else { 1 });
        buffer.step(Input::Recorded(record_of(n, name)), now);
    }
    let outputs = buffer.step(Input::Tick, now);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Refused { records: 1, .. }))
    );
    assert_eq!(sent(&outputs), [(1, 0, vec![0]), (2, 1, vec![2])]);
    let totals = buffer.totals();
    assert_eq!((totals.held, totals.sent, totals.dropped), (2, 2, 1));
}

#[derive(Clone, Debug)]
enum Event {
    Record(u8),
    Lost(u8),
    /// The control plane reads the next frame; it may die before it commits, or before the
    /// answer leaves.
    Read {
        commits: bool,
        answers: bool,
    },
    /// The next answer arrives.
    Answer,
    /// The link breaks: what is in flight either way is gone.
    Break,
    /// The old end of a broken link is read once more before the new one.
    BreakWithLateRead,
    Connect,
    Pass(u16),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0u8..9).prop_map(Event::Record),
        1 => (0u8..4).prop_map(Event::Lost),
        6 => (prop::bool::weighted(0.9), prop::bool::weighted(0.8))
            .prop_map(|(commits, answers)| Event::Read { commits, answers }),
        4 => Just(Event::Answer),
        1 => Just(Event::Break),
        1 => Just(Event::BreakWithLateRead),
        3 => Just(Event::Connect),
        4 => (0u16..3000).prop_map(Event::Pass),
    ];
    proptest::collection::vec(event, 0..200)
}

/// A control plane that counts a batch once by its number.
#[derive(Default)]
struct ControlPlane {
    last: u64,
    counted: BTreeMap<u64, u32>,
    reported_lost: u64,
}

impl ControlPlane {
    fn commit(&mut self, frame: &Bytes) -> u64 {
        let (sequence, dropped, records) = content(decode_batch(frame).expect("a batch"));
        if sequence > self.last {
            self.last = sequence;
            self.reported_lost += dropped;
            for record in records {
                *self.counted.entry(record).or_default() += 1;
            }
        }
        sequence
    }
}

/// The world around a buffer: a link with frames in flight and a control plane.
struct World {
    buffer: Buffer,
    control_plane: ControlPlane,
    now: Instant,
    up: bool,
    frames: VecDeque<Bytes>,
    answers: VecDeque<Answer>,
    recorded: u64,
    lost: u64,
}

impl World {
    fn new() -> World {
        World {
            buffer: buffer(12, 4),
            control_plane: ControlPlane::default(),
            now: Instant::now(),
            up: false,
            frames: VecDeque::new(),
            answers: VecDeque::new(),
            recorded: 0,
            lost: 0,
        }
    }

    fn input(&mut self, input: Input) {
        for output in self.buffer.step(input, self.now) {
            match output {
                Output::Send(frame) => self.frames.push_back(frame),
                Output::CloseLink(_) => self.cut(),
                Output::Refused { .. } => unreachable!("nobody refuses here"),
            }
        }
        assert!(self.up || self.frames.is_empty(), "sent without a link");
    }

    fn cut(&mut self) {
        self.up = false;
        self.frames.clear();
        self.answers.clear();
    }

    fn read(&mut self, commits: bool, answers: bool) {
        let Some(frame) = self.frames.pop_front() else {
            return;
        };
        let sequence = if commits {
            self.control_plane.commit(&frame)
        } else {
            0
        };
        if commits && answers {
            self.answers.push_back(Answer::counted(sequence));
        } else {
            // A control plane that cannot commit or answer a batch reads no further one.
            self.cut();
            self.input(Input::LinkDown);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Record(records) => (0..records).for_each(|_| {
                self.recorded += 1;
                self.input(Input::Recorded(record(self.recorded)));
            }),
            Event::Lost(records) => {
                self.lost += u64::from(records);
                self.input(Input::Lost(u64::from(records)));
            }
            Event::Read { commits, answers } => self.read(commits, answers),
            Event::Answer => {
                if let Some(answer) = self.answers.pop_front() {
                    self.input(Input::Answered(answer));
                }
            }
            Event::Break => {
                self.cut();
                self.input(Input::LinkDown);
            }
            Event::BreakWithLateRead => {
                let in_flight = std::mem::take(&mut self.frames);
                self.event(Event::Break);
                for frame in &in_flight {
                    self.control_plane.commit(frame);
                }
            }
            Event::Connect if self.up => {}
            Event::Connect => {
                self.up = true;
                self.input(Input::LinkUp);
            }
            Event::Pass(ms) => {
                self.now += Duration::from_millis(u64::from(ms));
                self.input(Input::Tick);
            }
        }
    }

    fn check(&self) {
        let totals = self.buffer.totals();
        assert!(totals.held <= 12, "{} held", totals.held);
        let counted = self.control_plane.counted.len() as u64;
        assert!(
            self.control_plane.counted.values().all(|times| *times == 1),
            "a record was counted twice"
        );
        // Every record is counted, still held, or known to be lost.
        assert!(counted + totals.held as u64 + totals.dropped >= self.recorded + self.lost);
        assert!(totals.delivered <= counted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_record_is_counted_once_or_reported_lost(events in events()) {
        let mut world = World::new();
        for event in events {
            world.event(event);
            world.check();
        }
        // The faults end: everything is delivered and every loss is reported.
        for _ in 0..20 {
            for event in [
                Event::Connect,
                Event::Pass(1000),
                Event::Read { commits: true, answers: true },
                Event::Answer,
            ] {
                world.event(event);
            }
        }
        let totals = world.buffer.totals();
        prop_assert_eq!((totals.held, totals.unanswered_batches), (0, 0));
        let counted = world.control_plane.counted.len() as u64;
        let (recorded, lost) = (world.recorded, world.lost);
        prop_assert!(counted + world.control_plane.reported_lost >= recorded + lost);
        prop_assert_eq!(totals.delivered + totals.dropped, recorded + lost);
        prop_assert_eq!(world.control_plane.reported_lost, totals.dropped);
    }

    #[test]
    fn without_faults_nothing_is_lost_and_nothing_counted_twice(sizes in proptest::collection::vec(0u8..4, 0..60)) {
        let mut world = World::new();
        world.event(Event::Connect);
        for records in sizes {
            for event in [
                Event::Record(records),
                Event::Pass(1000),
                Event::Read { commits: true, answers: true },
                Event::Answer,
            ] {
                world.event(event);
            }
        }
        prop_assert_eq!(world.buffer.totals().dropped, 0);
        prop_assert_eq!(world.control_plane.counted.len() as u64, world.recorded);
    }
}
