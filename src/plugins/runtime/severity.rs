//! Severities of log messages, as syslog has them, and which one a request's status gives its record.

use serde::{Deserialize, Serialize};

/// In syslog's order: the first is the most severe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    #[default]
    Info,
    Debug,
}

impl Severity {
    /// The severity that nginx calls so; what it does not know is for debugging.
    pub fn of_nginx(level: &str) -> Severity {
        match level {
            "emerg" => Severity::Emerg,
            "alert" => Severity::Alert,
            "crit" => Severity::Crit,
            "err" | "error" => Severity::Err,
            "warn" => Severity::Warning,
            "notice" => Severity::Notice,
            "info" => Severity::Info,
            _ => Severity::Debug,
        }
    }

    /// The priority of a message (RFC 5424, 6.2.1) of this facility.
    pub fn priority(self, facility: u8) -> u16 {
        u16::from(facility) * 8 + self as u16
    }
}

/// What a configuration says of severities.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Severities {
    /// Records that are less severe are not sent.
    pub log_level: Severity,
    pub successful_severity: Severity,
    pub client_errors_severity: Severity,
    pub server_errors_severity: Severity,
}

impl Severities {
    /// The severity of a request's record; `None` where it is not sent.
    pub fn of(&self, status: u16) -> Option<Severity> {
        let severity = match status {
            500.. => self.server_errors_severity,
            400.. => self.client_errors_severity,
            _ => self.successful_severity,
        };
        (severity <= self.log_level).then_some(severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_severity_of_its_status_and_passes_by_the_level() {
        let severities = Severities {
            log_level: Severity::Warning,
            successful_severity: Severity::Info,
            client_errors_severity: Severity::Warning,
            server_errors_severity: Severity::Err,
        };
        for (status, expected) in [
            (200, None),
            (399, None),
            (400, Some(Severity::Warning)),
            (499, Some(Severity::Warning)),
            (500, Some(Severity::Err)),
            (504, Some(Severity::Err)),
        ] {
            assert_eq!(severities.of(status), expected, "{status}");
        }
        assert_eq!(Severities::default().of(503), Some(Severity::Info));
    }

    #[test]
    fn priorities_are_facility_and_severity() {
        for (severity, facility, expected) in [
            (Severity::Info, 1, 14),
            (Severity::Emerg, 0, 0),
            (Severity::Debug, 23, 191),
        ] {
            assert_eq!(severity.priority(facility), expected);
        }
    }
}
