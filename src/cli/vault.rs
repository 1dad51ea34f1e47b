//! `langur vault get`: what a vault reference stands for.

use super::CliError;
use super::args::SettingsArgs;
use crate::settings::resolve_reference;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print the value of a reference.
    Get {
        /// `env/name`, `env/name/field` or `{vault://env/name}`.
        reference: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Prints the value alone.
pub fn command(args: &Args) -> Result<(), CliError> {
    let Action::Get {
        reference,
        settings,
    } = &args.action;
    let (settings, _) = settings.load()?;
    let environment = super::args::environment();
    let path = reference
        .strip_prefix("{vault://")
        .and_then(|rest| rest.strip_suffix('}'));
    let path = path
        .or_else(|| reference.strip_prefix("vault://"))
        .unwrap_or(reference);
    let prefix = &settings.node.vault_env_prefix;
    let value = resolve_reference(&format!("{{vault://{path}}}"), &environment, prefix);
    println!("{}", value.map_err(CliError::Refused)?);
    Ok(())
}
