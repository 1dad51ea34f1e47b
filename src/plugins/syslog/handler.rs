//! Sends the record of each request to the log of the system.

use super::config::{Config, Facility};
use super::socket::SystemLog;
use crate::access_log::syslog_time;
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Build, BuildError, CustomFields, FramedHandler, Handler, QueueParameters, Severity,
};
use std::sync::Arc;

/// Where the daemon that keeps the system's log listens.
const DEV_LOG: &str = "/dev/log";

/// Most messages that are sent at a time.
const MOST_MESSAGES: usize = 100;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("syslog", build, &config.custom_fields_by_lua)?;
    let parameters = QueueParameters {
        max_batch_size: MOST_MESSAGES,
        max_coalescing_delay: 0.0,
        // Messages that were partly sent must not come again.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let host = &build.resources.host;
    let facility = config.facility;
    Ok(Arc::new(FramedHandler {
        fields,
        // There is one log of the system, whatever is configured.
        queue: host.queue(
            &build.plugin.name,
            DEV_LOG.into(),
            &parameters,
            SystemLog::new(DEV_LOG),
        ),
        severities: config.severities,
        frame: Box::new(move |out, severity, ended_at| {
            out.extend_from_slice(head(facility, severity, ended_at).as_bytes());
        }),
    }))
}

/// What stands before the record, as the system's own library writes it. The name is Kong's, by which filters
/// that are in use know these messages.
fn head(facility: Facility, severity: Severity, ended_at: u64) -> String {
    let (priority, time) = (
        severity.priority(facility as u8),
        syslog_time(ended_at / 1000),
    );
    format!("<{priority}>{time} kong[{}]: ", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_message_begins_with_facility_severity_time_and_name() {
        for (facility, severity, expected) in [
            ("kern", Severity::Emerg, "<0>"),
            ("user", Severity::Info, "<14>"),
            ("authpriv", Severity::Info, "<86>"),
            ("ftp", Severity::Info, "<94>"),
            ("uucp", Severity::Info, "<70>"),
            ("local0", Severity::Info, "<134>"),
            ("local7", Severity::Warning, "<188>"),
        ] {
            let facility: Facility =
                serde_json::from_value(Value::from(facility)).expect("a facility");
            let text = head(facility, severity, 1_764_557_069_017);
            let (priority, rest) = text.split_at(expected.len());
            assert_eq!(priority, expected);
            let (time, name) = rest.split_at(15);
            assert!(time.ends_with(":44:29"), "{text}");
            assert_eq!(name, format!(" kong[{}]: ", std::process::id()));
        }
        let config: Config = serde_json::from_value(json!({})).expect("a configuration");
        assert_eq!(config.facility, Facility::User);
    }
}
