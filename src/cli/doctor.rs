//! `langur doctor`: looks for the usual misconfigurations and says what to do. It only reads.
//!
//! Each module here looks at one subject: a pure part that judges and is tested as a table, and a
//! part that gathers what is to be judged.

mod certificates;
#[cfg(feature = "control-plane")]
mod database;
mod finding;
mod folders;
#[cfg(feature = "data-plane")]
mod peers;
mod ports;

use super::CliError;
use super::args::SettingsArgs;
use super::ask::Listener;
use crate::settings::Settings;
use finding::{Finding, Level};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    /// Seconds that each node or server may take to answer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// Prints what was found; fails with 1 when there is an error among it.
pub fn command(args: &Args) -> Result<(), CliError> {
    let patience = Duration::from_secs(args.timeout);
    let findings = match args.settings.load() {
        Ok((settings, warnings)) => {
            let change = "change or remove it";
            let warning = |text| Finding::warning("settings", text, change);
            let mut findings: Vec<_> = warnings.into_iter().map(warning).collect();
            findings.extend(examine(&settings, patience));
            findings
        }
        Err(CliError::Settings(error)) => {
            let advice = "correct it, then look again: nothing else was examined";
            let violations = error.violations.into_iter();
            violations
                .map(|text| Finding::error("settings", text, advice))
                .collect()
        }
        Err(other) => return Err(other),
    };
    match args.json {
        true => println!("{:#}", finding::json(&findings)),
        false => print!("{}", finding::text(&findings)),
    }
    match finding::count(&findings, Level::Error) {
        0 => Ok(()),
        1 => Err(CliError::Unhealthy("1 error was found".to_owned())),
        more => Err(CliError::Unhealthy(format!("{more} errors were found"))),
    }
}

fn examine(settings: &Settings, patience: Duration) -> Vec<Finding> {
    let mut findings = folders::examine(settings);
    findings.extend(certificates::examine(settings, now()));
    findings.extend(ports::examine(settings, is_running(settings, patience)));
    #[cfg(feature = "control-plane")]
    if settings.node.role.has_control_plane() {
        findings.extend(database::examine(settings, patience));
    }
    #[cfg(feature = "data-plane")]
    if settings.node.role == crate::settings::Role::DataPlane {
        findings.extend(peers::examine(settings, patience));
    }
    findings
}

/// Whether the node of these settings runs, so that taken ports are its own: something of ours
/// answers where they say, or holds the cache.
fn is_running(settings: &Settings, patience: Duration) -> bool {
    let ours = |listener: Result<Option<Listener>, CliError>| {
        let deadline = Instant::now() + patience;
        // Kong has no such path, and `headers` may forbid that ours names itself.
        let answer = listener.ok()??.get("/debug/actors", deadline).ok()?;
        Some(answer.json()["actors"].is_array())
    };
    #[cfg(feature = "data-plane")]
    if crate::data_plane::cache_writer::is_cache_in_use(&settings.cache.path) {
        return true;
    }
    ours(Listener::status(settings)) == Some(true) || ours(Listener::admin(settings)) == Some(true)
}

/// Epoch seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
