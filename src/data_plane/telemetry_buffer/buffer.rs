//! What happens to records on their way to the control plane: a pure state machine.
//!
//! All records stand in one queue, oldest first. Its front is divided into numbered batches
//! that were sent and are not answered; the rest waits. A record leaves the queue in one of
//! two ways: the control plane has answered its batch, or it was dropped because the queue
//! was full, and then it is counted. So none is ever lost silently.
//!
//! Batches are sent in the order of their numbers, and again from the first unanswered one on
//! every new link: when the control plane has counted a number it has counted, or will never
//! be sent, every smaller one.

use crate::telemetry::batch::{Answer, BatchError, BatchKey, MAX_BATCH_RECORDS, encode_batch};
use crate::telemetry::record::Record;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Batches that may be sent and unanswered at a time.
pub const WINDOW: usize = 8;

/// How a buffer behaves.
#[derive(Clone, Copy, Debug)]
pub struct BufferOptions {
    /// `analytics_buffer_size_limit`: records held, those that were sent and are not
    /// answered included.
    pub size_limit: usize,
    /// `analytics_flush_interval`: the longest a record waits while the link is up.
    pub flush_interval: Duration,
    /// A link on which a batch stays unanswered for so long is given up.
    pub answer_timeout: Duration,
    /// Records in one batch; more waiting records are sent before the interval is over.
    pub batch_limit: usize,
}

impl Default for BufferOptions {
    fn default() -> Self {
        BufferOptions {
            size_limit: 100_000,
            flush_interval: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(45),
            batch_limit: MAX_BATCH_RECORDS / 2,
        }
    }
}

/// What happens to a buffer.
#[derive(Debug)]
pub enum Input {
    /// A request has ended.
    Recorded(Record),
    /// So many records were lost before they came here.
    Lost(u64),
    LinkUp,
    LinkDown,
    Answered(Answer),
    /// Time has passed; a few times a flush interval.
    Tick,
    /// Send what waits without waiting for the interval: somebody wants to end.
    Flush,
}

/// What is to be done about it.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send this frame on the link.
    Send(Bytes),
    /// Give the link up and open another.
    CloseLink(&'static str),
    /// No control plane will ever count these records; they were dropped and counted.
    Refused { records: usize, reason: String },
}

/// What `/debug/actors` and the metrics show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Records held now, sent ones included.
    pub held: usize,
    /// Batches sent and not answered.
    pub unanswered_batches: usize,
    /// Records sent, each time they were sent.
    pub sent: u64,
    /// Records the control plane has answered for.
    pub delivered: u64,
    /// Records lost: dropped here or in a ring, or refused.
    pub dropped: u64,
    pub link_up: bool,
}

/// The front part of the queue that went out under one number.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    sequence: u64,
    /// Records of it that are still in the queue.
    len: usize,
    /// Losses it reports: fixed with its number, so that a loss is reported once.
    dropped: u64,
    sent_at: Option<Instant>,
}

pub struct Buffer {
    options: BufferOptions,
    node_id: Uuid,
    incarnation: Uuid,
    queue: VecDeque<Record>,
    numbered: VecDeque<Numbered>,
    /// The sum of `numbered[..].len`: where the waiting records begin.
    numbered_records: usize,
    last_sequence: u64,
    /// Losses no number reports yet.
    unreported: u64,
    last_flush: Option<Instant>,
    link_up: bool,
    sent: u64,
    delivered: u64,
    dropped: u64,
}

impl Buffer {
    /// `incarnation` must be new with every start of the process.
    pub fn new(options: BufferOptions, node_id: Uuid, incarnation: Uuid) -> Buffer {
        let options = BufferOptions {
            size_limit: options.size_limit.max(1),
            batch_limit: options.batch_limit.clamp(1, MAX_BATCH_RECORDS),
            ..options
        };
        Buffer {
            options,
            node_id,
            incarnation,
            queue: VecDeque::new(),
            numbered: VecDeque::new(),
            numbered_records: 0,
            last_sequence: 0,
            unreported: 0,
            last_flush: None,
            link_up: false,
            sent: 0,
            delivered: 0,
            dropped: 0,
        }
    }

    pub fn totals(&self) -> Totals {
        Totals {
            held: self.queue.len(),
            unanswered_batches: self.numbered.len(),
            sent: self.sent,
            delivered: self.delivered,
            dropped: self.dropped,
            link_up: self.link_up,
        }
    }

    /// The one entry: what happened, and when.
    pub fn step(&mut self, input: Input, now: Instant) -> Vec<Output> {
        match input {
            Input::Recorded(record) => {
                self.keep(record);
                self.flush_early(now)
            }
            Input::Lost(records) => {
                self.lose(records);
                Vec::new()
            }
            Input::LinkUp => {
                self.link_up = true;
                self.resend(now)
            }
            Input::LinkDown => {
                self.link_up = false;
                Vec::new()
            }
            Input::Answered(answer) => self.answered(answer, now),
            Input::Tick => self.tick(now),
            Input::Flush => self.flush(1, now),
        }
    }

    fn keep(&mut self, record: Record) {
        if self.queue.len() == self.options.size_limit {
            self.drop_oldest();
        }
        self.queue.push_back(record);
    }

    /// The oldest record may be part of a batch that was sent. If that batch was counted and
    /// only its answer is missing, the record is reported as lost although it is not: losses
    /// may be reported too high, never too low.
    fn drop_oldest(&mut self) {
        if self.queue.pop_front().is_none() {
            return;
        }
        self.lose(1);
        // A batch that loses all its records keeps its number: it still reports losses.
        if let Some(first) = self.numbered.iter_mut().find(|batch| batch.len > 0) {
            first.len -= 1;
            self.numbered_records -= 1;
        }
    }

    fn lose(&mut self, records: u64) {
        self.dropped += records;
        self.unreported += records;
    }

    fn tick(&mut self, now: Instant) -> Vec<Output> {
        let overdue = |batch: &Numbered| {
            batch
                .sent_at
                .is_some_and(|at| now.saturating_duration_since(at) >= self.options.answer_timeout)
        };
        if self.link_up && self.numbered.front().is_some_and(overdue) {
            self.link_up = false;
            return vec![Output::CloseLink("a batch was not answered in time")];
        }
        let due = self
            .last_flush
            .is_none_or(|at| now.saturating_duration_since(at) >= self.options.flush_interval);
        if !due {
            return Vec::new();
        }
        self.last_flush = Some(now);
        self.flush(1, now)
    }

    /// Full batches do not wait for the interval.
    fn flush_early(&mut self, now: Instant) -> Vec<Output> {
        if self.waiting() < self.options.batch_limit {
            return Vec::new();
        }
        self.flush(self.options.batch_limit, now)
    }

    fn waiting(&self) -> usize {
        self.queue.len() - self.numbered_records
    }

    /// Numbers and sends waiting records while there are at least `enough` and the window has
    /// room. Losses are reported even when no record is left to go with them.
    fn flush(&mut self, enough: usize, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        while self.link_up
            && self.numbered.len() < WINDOW
            && (self.waiting() >= enough || self.waiting() == 0 && self.unreported > 0)
        {
            outputs.push(self.number(now));
        }
        outputs
    }

    /// Numbers and sends as many of the waiting records as one batch takes.
    fn number(&mut self, now: Instant) -> Output {
        let mut batch = Numbered {
            sequence: self.last_sequence + 1,
            len: self.waiting().min(self.options.batch_limit),
            dropped: self.unreported,
            sent_at: Some(now),
        };
        loop {
            match self.encode(self.numbered_records, &batch) {
                Ok(frame) => {
                    self.last_sequence = batch.sequence;
                    self.unreported = 0;
                    self.numbered_records += batch.len;
                    self.sent += batch.len as u64;
                    self.numbered.push_back(batch);
                    return Output::Send(frame);
                }
                // Their names are long; what does not go with this batch goes with the next.
                Err(BatchError::TooLarge { .. }) if batch.len > 1 => {
                    batch.len = batch.len.div_ceil(2);
                }
                Err(err) => {
                    // It would be so the next time, and keep all others waiting.
                    self.queue.remove(self.numbered_records);
                    self.lose(1);
                    return Output::Refused {
                        records: 1,
                        reason: err.to_string(),
                    };
                }
            }
        }
    }

    /// A new link: everything unanswered again, in order, and then what waits.
    fn resend(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs: Vec<_> = (0..self.numbered.len())
            .filter_map(|index| self.send(index, now))
            .collect();
        outputs.extend(self.flush(self.options.batch_limit, now));
        outputs
    }

    /// Sends a numbered batch again.
    fn send(&mut self, index: usize, now: Instant) -> Option<Output> {
        let begin: usize = self
            .numbered
            .iter()
            .take(index)
            .map(|batch| batch.len)
            .sum();
        let batch = self.numbered.get_mut(index)?;
        batch.sent_at = Some(now);
        let batch = *batch;
        match self.encode(begin, &batch) {
            Ok(frame) => {
                self.sent += batch.len as u64;
                Some(Output::Send(frame))
            }
            // Cannot happen: it was sent before, and has lost records at most.
            Err(_) => Some(Output::CloseLink("a batch could not be encoded")),
        }
    }

    /// A batch whose records begin there in the queue.
    fn encode(&self, begin: usize, batch: &Numbered) -> Result<Bytes, BatchError> {
        let key = BatchKey {
            node_id: self.node_id,
            incarnation: self.incarnation,
            sequence: batch.sequence,
        };
        let records = self.queue.range(begin..begin + batch.len);
        encode_batch(key, batch.dropped, records)
    }

    /// Answers come in order, so one answers for every smaller number too.
    fn answered(&mut self, answer: Answer, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(first) = self.numbered.front().copied()
            && first.sequence <= answer.sequence
        {
            self.numbered.pop_front();
            self.numbered_records -= first.len;
            self.queue.drain(..first.len);
            match &answer.refused {
                Some(reason) if first.sequence == answer.sequence => {
                    self.lose(first.len as u64);
                    self.unreported += first.dropped;
                    outputs.push(Output::Refused {
                        records: first.len,
                        reason: reason.clone(),
                    });
                }
                _ => self.delivered += first.len as u64,
            }
        }
        outputs.extend(self.flush_early(now));
        outputs
    }
}

#[cfg(test)]
mod tests;
