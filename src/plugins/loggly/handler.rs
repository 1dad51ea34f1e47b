//! Sends the record of each request to Loggly's syslog endpoint.

use super::config::Config;
use crate::access_log::utc_time;
use crate::plugins::runtime::{config_of, milliseconds, without_host};
use crate::plugins::{
    Build, BuildError, CustomFields, Datagrams, Deliver, Delivery, FramedHandler, Handler,
    QueueParameters, Severity, queue_name,
};
use bytes::Bytes;
use std::fmt::Write;
use std::sync::Arc;

/// The port and the timeout, in milliseconds, where a configuration has null.
const PORT: u16 = 514;
const TIMEOUT: f64 = 10_000.0;

/// `user`, as Kong has it.
const FACILITY: u8 = 1;

/// The number of Loggly among private enterprises (RFC 5424, 7.2.2).
const ENTERPRISE: u32 = 41_058;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("loggly", build, &config.custom_fields_by_lua)?;
    let parameters = QueueParameters {
        // What cannot be sent is not sent again, as in Kong.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let name = queue_name(&config);
    let data = structured_data(&config.key, &config.tags);
    let hostname = Arc::clone(&build.resources.node.hostname);
    let severities = config.severities;
    let Some(host) = config.host else {
        return Ok(without_host(build.plugin));
    };
    let records = Records(Datagrams {
        names: build.resources.names.clone(),
        timeout: milliseconds(config.timeout.unwrap_or(TIMEOUT)),
        host,
        port: config.port.unwrap_or(PORT),
    });
    let queue = build
        .resources
        .host
        .queue(&build.plugin.name, name, &parameters, records);
    Ok(Arc::new(FramedHandler {
        fields,
        queue,
        severities,
        frame: Box::new(move |out, severity, ended_at| {
            out.extend_from_slice(head(severity, ended_at, &hostname, &data).as_bytes());
        }),
    }))
}

/// The head of a message (RFC 5424, 6.2), up to the record. The name of the application is Kong's, by which
/// searches that are in use find records.
fn head(severity: Severity, ended_at: u64, hostname: &str, data: &str) -> String {
    let (priority, time) = (severity.priority(FACILITY), utc_time(ended_at));
    format!("<{priority}>1 {time} {hostname} kong - - {data} ")
}

/// The key and the tags as structured data (RFC 5424, 6.3).
fn structured_data(key: &str, tags: &[String]) -> String {
    let mut data = format!("[{key}@{ENTERPRISE}");
    for tag in tags {
        let _ = write!(data, " tag=\"");
        for character in tag.chars() {
            if matches!(character, '"' | '\\' | ']') {
                data.push('\\');
            }
            data.push(character);
        }
        data.push('"');
    }
    data.push(']');
    data
}

struct Records(Datagrams);

impl Deliver<Bytes> for Records {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let sent = self.0.send(batch.iter().map(|record| &**record)).await;
            sent.map_err(Into::into)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::runtime::testing::{built, plugin};
    use crate::plugins::{Phases, Severities};
    use serde_json::json;

    #[test]
    fn messages_begin_with_priority_time_host_key_and_tags() {
        let check = |tags: &[&str], severity, expected: &str| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let data = structured_data("KEY", &tags);
            assert_eq!(head(severity, 1_764_557_069_017, "node-1", &data), expected);
        };
        check(
            &["kong"],
            Severity::Info,
            "<14>1 2025-12-01T02:44:29.017Z node-1 kong - - [KEY@41058 tag=\"kong\"] ",
        );
        check(
            &["kong", "a b"],
            Severity::Emerg,
            "<8>1 2025-12-01T02:44:29.017Z node-1 kong - - [KEY@41058 tag=\"kong\" tag=\"a b\"] ",
        );
        check(
            &["a\"]\\"],
            Severity::Debug,
            "<15>1 2025-12-01T02:44:29.017Z node-1 kong - - [KEY@41058 tag=\"a\\\"\\]\\\\\"] ",
        );
        check(
            &[],
            Severity::Info,
            "<14>1 2025-12-01T02:44:29.017Z node-1 kong - - [KEY@41058] ",
        );
    }

    #[test]
    fn severities_of_a_configuration_are_read_and_without_a_host_nothing_is_done() {
        let plugin = plugin(
            "loggly",
            json!({"key": "k", "log_level": "debug", "client_errors_severity": "crit"}),
        );
        let config: Config = config_of(&plugin).expect("a configuration");
        let Severities {
            log_level,
            successful_severity,
            client_errors_severity,
            ..
        } = config.severities;
        assert_eq!(
            (log_level, successful_severity, client_errors_severity),
            (Severity::Debug, Severity::Info, Severity::Crit)
        );
        let handler = built("loggly", json!({"key": "k"}));
        assert_eq!(handler.phases(Phases::LOG), Phases::NONE);
    }
}
