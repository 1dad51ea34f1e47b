//! `langur prepare`: everything that a start checks and makes before it opens a socket.

use super::CliError;
use super::args::SettingsArgs;
use super::nginx::NginxArgs;
use crate::settings::identity;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,
    #[command(flatten)]
    nginx: NginxArgs,
}

/// Checks the settings and makes the prefix, with the node's id in it.
pub fn command(args: &Args) -> Result<(), CliError> {
    args.nginx.warn();
    let (settings, warnings) = args.settings.load()?;
    for warning in warnings {
        eprintln!("langur: warning: {warning}");
    }
    let errors = settings.check_credentials();
    if !errors.is_empty() {
        return Err(CliError::Credentials(errors));
    }
    identity::node_id(&settings.node).map_err(|error| CliError::Prefix(error.to_string()))?;
    println!("prepared: {}", settings.node.prefix.display());
    Ok(())
}
