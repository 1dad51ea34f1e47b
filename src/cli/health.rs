//! `langur health`: asks the node that the settings describe whether it is ready; `kong health` only
//! whether it runs, as in Kong, where one that has nothing to serve yet is healthy.

use super::args::SettingsArgs;
use super::ask::Listener;
use super::{Caller, CliError};
use crate::settings::Settings;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,

    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Prints `ready`, or fails with what the node says.
pub fn command(args: &Args) -> Result<(), CliError> {
    let (settings, _) = args.settings.load()?;
    let caller = args.settings.caller;
    let (listener, path) = question(&settings, caller)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let answer = listener.ask(path, deadline)?;
    match answer.status {
        200 if caller == Caller::Kong => {
            println!("Kong is healthy at {}", settings.node.prefix.display());
            Ok(())
        }
        200 => {
            println!("{}", answer.message().as_deref().unwrap_or("ready"));
            Ok(())
        }
        status => Err(CliError::Unavailable(format!(
            "{} answers {status}: {}",
            listener.name,
            answer.message().as_deref().unwrap_or("no message")
        ))),
    }
}

/// The status listener if there is one, else the admin listener, and what to ask it.
fn question(settings: &Settings, caller: Caller) -> Result<(Listener, &'static str), CliError> {
    if let Some(listener) = Listener::status(settings)? {
        let path = match caller {
            Caller::Langur => "/status/ready",
            Caller::Kong => "/status",
        };
        return Ok((listener, path));
    }
    if let Some(listener) = Listener::admin(settings)? {
        return Ok((listener, "/status"));
    }
    let nobody = "status_listen is off: there is nobody to ask";
    Err(CliError::Unavailable(nobody.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SettingsFile, Sources};

    fn asked(text: &str) -> Option<(String, &'static str)> {
        let file = SettingsFile { name: "test", text };
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        let (settings, _) = Settings::load(&sources).unwrap();
        let (listener, path) = question(&settings, Caller::Langur).ok()?;
        Some((listener.name, path))
    }

    #[test]
    fn the_status_listener_or_else_the_admin_listener() {
        let check = |text: &str, expected: Option<(&str, &'static str)>| {
            let expected = expected.map(|(name, path)| (name.to_owned(), path));
            assert_eq!(asked(text), expected, "{text}");
        };
        check("", Some(("status_listen 127.0.0.1:8007", "/status/ready")));
        check(
            "status_listen = off",
            Some(("admin_listen 127.0.0.1:8001", "/status")),
        );
        let node = "role = data_plane\ncluster_cert = a\ncluster_cert_key = b\n";
        check(&format!("{node}status_listen = off"), None);
    }
}
