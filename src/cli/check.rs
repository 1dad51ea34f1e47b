//! `langur check FILE`: everything a start would find wrong with settings, without starting.

use crate::settings::SettingsError;
use super::CliError;
use super::args::SettingsArgs;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings file.
    file: PathBuf,

    /// Set one key; stronger than file and environment.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::args::pair)]
    set: Vec<(String, String)>,
}

/// Checks the file together with the environment, certificates included.
pub fn command(args: &Args) -> Result<(), CliError> {
    let from = SettingsArgs {
        conf: Some(args.file.clone()),
        set: args.set.clone(),
        prefix: None,
    };
    let loaded = from.load();
    let warnings = match &loaded {
        Ok((_, warnings)) | Err(CliError::Settings(SettingsError { warnings, .. })) => warnings,
        Err(_) => &Vec::new(),
    };
    for warning in warnings {
        eprintln!("langur: warning: {warning}");
    }
    let (settings, _) = loaded?;
    let errors = settings.check_credentials();
    if !errors.is_empty() {
        return Err(CliError::Credentials(errors));
    }
    println!("{} is valid", args.file.display());
    Ok(())
}
