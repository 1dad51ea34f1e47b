//! `langur status`: the fleet as a control plane sees it, or what a data plane says of itself.

mod fleet;
mod node;
mod table;

use super::CliError;
use super::args::SettingsArgs;
use super::ask::Listener;
use crate::settings::HostPort;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Ask this Admin API, without TLS, instead of the node that the settings describe.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    admin: Option<HostPort>,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    /// Seconds to wait for the answers.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

fn host_port(text: &str) -> Result<HostPort, String> {
    text.parse().map_err(|()| "expected HOST:PORT".to_owned())
}

/// Prints the state; fails with 69 when nobody answers, with 1 when something is not as it
/// should be.
pub fn command(args: &Args) -> Result<(), CliError> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let listener = match &args.admin {
        Some(address) => Some(
            Listener::plain(address)
                .map_err(|error| CliError::Unavailable(format!("{address}: {error}")))?,
        ),
        None => None,
    };
    let (listener, settings) = match listener {
        Some(listener) => (Some(listener), None),
        None => {
            let (settings, _) = args.settings.load()?;
            (Listener::admin(&settings)?, Some(settings))
        }
    };
    let (text, json, trouble) = match (listener, settings) {
        (Some(admin), _) => {
            let fleet = fleet::Fleet::ask(&admin, deadline)?;
            (fleet.text(now()), fleet.json(), fleet.trouble())
        }
        (None, Some(settings)) => {
            let nobody = "status_listen is off: there is nobody to ask";
            let status = Listener::status(&settings)?
                .ok_or_else(|| CliError::Unavailable(nobody.to_owned()))?;
            let node = node::DataPlane::ask(&status, deadline)?;
            (node.text(), node.json(), node.trouble())
        }
        (None, None) => return Err(CliError::Usage("whom to ask?".to_owned())),
    };
    match args.json {
        true => println!("{json:#}"),
        false => print!("{text}"),
    }
    match trouble {
        Some(trouble) => Err(CliError::Unhealthy(trouble)),
        None => Ok(()),
    }
}

/// Epoch seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
