//! The control plane's database: reached, let in, of a known schema, and of the same time.

use super::finding::Finding;
use crate::cli::start::block_on;
use crate::control_plane::{InspectError, Inspection, inspect};
use crate::settings::{Database, Settings};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Clocks that differ by more seconds are worth a word.
const SKEW: f64 = 5.0;

/// The database of these settings.
pub fn examine(settings: &Settings, patience: Duration) -> Vec<Finding> {
    let setting = match &settings.database {
        Database::Sqlite { .. } => "sqlite_path",
        Database::Postgres(_) => "pg_host",
        Database::Off => return Vec::new(),
    };
    let looking = async { tokio::time::timeout(patience, inspect(settings)).await };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    match block_on(looking) {
        Ok(Ok(inspection)) => judge(setting, &inspection, now.as_secs_f64()),
        Ok(Err(error)) => vec![failed(setting, &error)],
        Err(_) => {
            let advice = "look for a firewall, or for a server that is overloaded";
            vec![Finding::error(setting, "no answer in time", advice)]
        }
    }
}

/// What is to be said of a database that answers; `now` in epoch seconds.
fn judge(setting: &str, inspection: &Inspection, now: f64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pending: Vec<_> = inspection
        .steps
        .iter()
        .filter(|step| !step.applied)
        .map(|step| step.name.as_str())
        .collect();
    let fresh = pending.len() == inspection.steps.len();
    if inspection.missing {
        findings.push(Finding::ok(setting, "the file is made at the first start"));
    } else if fresh {
        findings.push(Finding::ok(
            setting,
            "answers and is empty: the schema is made at the first start",
        ));
    } else if !pending.is_empty() {
        findings.push(Finding::warning(
            setting,
            format!("migrations are pending: {}", pending.join(", ")),
            "make a backup; the next `langur start` or `langur migrations up` applies them",
        ));
    } else {
        findings.push(Finding::ok(
            setting,
            "answers, and its schema is up to date",
        ));
    }
    let apart = inspection.server_time.map(|theirs| (theirs - now).abs());
    if let Some(apart) = apart.filter(|apart| *apart > SKEW) {
        let text = format!("the server's clock and this one are {apart:.0} s apart");
        findings.push(Finding::warning(
            setting,
            text,
            "synchronise both clocks (NTP)",
        ));
    }
    findings
}

/// Why it cannot be looked at, and what to do.
fn failed(setting: &str, error: &InspectError) -> Finding {
    let advice = match error {
        InspectError::Credentials(_) => {
            "correct pg_user and pg_password (LANGUR_PG_PASSWORD), or the server's pg_hba.conf"
        }
        InspectError::NoDatabase(_) => "make it: createdb, with pg_user as its owner",
        InspectError::Tls(_) => "compare pg_ssl and pg_ssl_verify with what the server offers",
        InspectError::Unreachable(_) => "start the server, or correct pg_host and pg_port",
        InspectError::Newer(_) => {
            "a newer Langur has migrated it: install that version, or restore a backup"
        }
        InspectError::Other(_) => "look into the log of the database",
    };
    let setting = match error {
        InspectError::Credentials(_) => "pg_user",
        InspectError::NoDatabase(_) => "pg_database",
        _ => setting,
    };
    Finding::error(setting, error.to_string(), advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::control_plane::MigrationStep;

    #[test]
    fn schemas_and_clocks() {
        let check = |applied: &[bool], server_time: Option<f64>, expected: &[(Level, &str)]| {
            let steps = applied
                .iter()
                .enumerate()
                .map(|(n, applied)| MigrationStep {
                    name: format!("m{n}"),
                    applied: *applied,
                });
            let inspection = Inspection {
                steps: steps.collect(),
                missing: false,
                server_time,
            };
            let found = judge("pg_host", &inspection, 1_000.0);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (one, (level, part)) in found.iter().zip(expected) {
                assert_eq!(one.level, *level, "{one:?}");
                assert!(one.text.contains(part), "{one:?}");
            }
        };
        check(&[true, true], Some(1_004.0), &[(Level::Ok, "up to date")]);
        check(&[true, false], None, &[(Level::Warning, "pending: m1")]);
        check(&[false, false], None, &[(Level::Ok, "is empty")]);
        let apart = [(Level::Ok, "up to date"), (Level::Warning, "10 s apart")];
        check(&[true], Some(990.0), &apart);
    }

    #[test]
    fn every_failure_has_its_setting_and_advice() {
        let text = || "x".to_owned();
        for (error, setting, part) in [
            (InspectError::Credentials(text()), "pg_user", "pg_password"),
            (InspectError::NoDatabase(text()), "pg_database", "createdb"),
            (InspectError::Tls(text()), "pg_host", "pg_ssl"),
            (InspectError::Unreachable(text()), "pg_host", "pg_port"),
            (InspectError::Newer(text()), "pg_host", "newer"),
            (InspectError::Other(text()), "pg_host", "log"),
        ] {
            let found = failed("pg_host", &error);
            assert_eq!(
                (found.level, found.subject.as_str()),
                (Level::Error, setting)
            );
            assert!(
                found.advice.is_some_and(|advice| advice.contains(part)),
                "{error:?}"
            );
        }
    }
}
