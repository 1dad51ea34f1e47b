//! What log plugins have in common: the record of a request goes into a queue.

use super::{Context, CustomFields, Handler, Phases, Queue, RequestLog, Severities, Severity};
use crate::model::Plugin;
use bytes::Bytes;
use std::sync::Arc;
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

/// Writes what stands before a record of this severity; the time is in milliseconds since the epoch.
pub type Frame = Box<dyn Fn(&mut Vec<u8>, Severity, u64) + Send + Sync>;

/// A plugin whose records have a head of their own, with a severity; what is not severe enough is never made.
pub struct FramedHandler {
    pub fields: CustomFields,
    pub queue: Queue<Bytes>,
    pub severities: Severities,
    pub frame: Frame,
}

impl Handler for RecordHandler {
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let mut text = Vec::new();
        write_record(&self.fields, context, log, &mut text);
        if self.lines {
            text.push(b'\n');
        }
        enqueue(&self.queue, text);
    }
}

impl Handler for FramedHandler {
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let Some(severity) = self.severities.of(log.status) else {
            return;
        };
        let mut text = Vec::new();
        (self.frame)(&mut text, severity, log.ended_at());
        write_record(&self.fields, context, log, &mut text);
        enqueue(&self.queue, text);
    }
}

/// A plugin whose configuration has `null` for the host that it sends to: it does nothing, and a warning says so.
pub fn without_host(plugin: &Plugin) -> Arc<dyn Handler> {
    tracing::warn!(plugin = %plugin.id, "{}: host is null: nothing is sent", plugin.name);
    Arc::new(Nothing)
}

struct Nothing;

impl Handler for Nothing {
    fn phases(&self, _: Phases) -> Phases {
        Phases::NONE
    }
}

fn write_record(
    fields: &CustomFields,
    context: &mut Context<'_>,
    log: &RequestLog<'_>,
    out: &mut Vec<u8>,
) {
    let record = fields.record(context, log);
    // A map of JSON values can always be written.
    let _ = serde_json::to_writer(out, &record);
}

fn enqueue(queue: &Queue<Bytes>, text: Vec<u8>) {
    let size = text.len();
    queue.try_enqueue(Bytes::from(text), size);
}

/// JSON texts as one JSON list.
pub fn list(records: &[Bytes]) -> Bytes {
    let length: usize = records.iter().map(|record| record.len() + 1).sum();
    let mut text = Vec::with_capacity(length + 1);
    text.push(b'[');
    for (n, record) in records.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(record);
    }
    text.push(b']');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_joined_to_a_list() {
        let record = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(list(&[record("{}")]), "[{}]");
        assert_eq!(list(&[record("{}"), record("1")]), "[{},1]");
    }
}
