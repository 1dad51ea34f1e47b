//! `langur status`: the fleet as a control plane sees it, or what a data plane says of itself.

mod fleet;
mod node;
mod table;

use super::CliError;
use super::args::SettingsArgs;
use super::ask::Listener;
use crate::settings::{HostPort, Role};
use fleet::Fleet;
use node::DataPlane;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,

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

/// Whom to ask, and for what.
enum Asked {
    /// A control plane, for its fleet.
    Fleet(Listener),
    /// A node that serves traffic, for itself.
    Node(Listener),
}

impl Asked {
    fn of(args: &Args) -> Result<Asked, CliError> {
        if let Some(address) = &args.admin {
            let failed = |error| CliError::Unavailable(format!("{address}: {error}"));
            return Ok(Asked::Fleet(Listener::plain(address).map_err(failed)?));
        }
        let (settings, _) = args.settings.load()?;
        // A node of both planes has no fleet: it is asked for itself.
        if settings.node.role == Role::ControlPlane
            && let Some(admin) = Listener::admin(&settings)?
        {
            return Ok(Asked::Fleet(admin));
        }
        let nobody = "status_listen is off: there is nobody to ask";
        let status = Listener::status(&settings)?;
        let status = status.ok_or_else(|| CliError::Unavailable(nobody.to_owned()))?;
        Ok(Asked::Node(status))
    }
}

/// Prints the state; fails with 69 when nobody answers, with 1 when something is not as it
/// should be.
pub fn command(args: &Args) -> Result<(), CliError> {
    let asked = Asked::of(args)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let (text, json, trouble) = match asked {
        Asked::Fleet(admin) => {
            let fleet = Fleet::ask(&admin, deadline)?;
            (fleet.text(now()), fleet.json(), fleet.trouble())
        }
        Asked::Node(status) => {
            let node = DataPlane::ask(&status, deadline)?;
            (node.text(), node.json(), node.trouble())
        }
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
