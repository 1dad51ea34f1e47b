//! What log plugins have in common: the record of a request goes into a queue.

use super::{Context, CustomFields, Handler, Queue, RequestLog};
use bytes::Bytes;
use std::time::Duration;

/// The milliseconds of a configuration: at least one, so that an attempt can begin, and at most a day.
pub fn milliseconds(number: f64) -> Duration {
    Duration::from_secs_f64(number.clamp(1.0, 86_400_000.0) / 1000.0)
}

/// A plugin that puts the JSON text of each request's record into its queue.
pub struct RecordHandler {
    pub fields: CustomFields,
    pub queue: Queue<Bytes>,
    /// A line feed follows each record.
    pub lines: bool,
}

impl Handler for RecordHandler {
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let record = self.fields.record(context, log);
        // A map of JSON values can always be written.
        let mut text = serde_json::to_vec(&record).unwrap_or_default();
        if self.lines {
            text.push(b'\n');
        }
        let size = text.len();
        self.queue.try_enqueue(Bytes::from(text), size);
    }
}
