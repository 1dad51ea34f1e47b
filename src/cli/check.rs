//! `langur check FILE`: everything a start would find wrong with settings, without starting.

use super::CliError;
use super::args::SettingsArgs;
#[cfg(feature = "data-plane")]
use crate::cli::start::StartError;
use crate::plugins::Descriptor;
use crate::settings::{Settings, SettingsError};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings file; else the one that `start` would read.
    file: Option<PathBuf>,

    /// Warnings are errors: names that are no settings, and settings that have no effect.
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// What of `declarative_config` this build would not put into effect.
#[cfg(feature = "data-plane")]
fn quarantined(settings: &Settings, build: &'static [Descriptor]) -> Result<Vec<String>, CliError> {
    crate::data_plane::preview_declared(settings, build)
        .map_err(|error| StartError::from(error).into())
}

/// What data planes make of it, only a build with one knows.
#[cfg(not(feature = "data-plane"))]
fn quarantined(_: &Settings, _: &'static [Descriptor]) -> Result<Vec<String>, CliError> {
    Ok(Vec::new())
}

/// Checks the file together with the environment, certificates included.
pub fn command(args: &Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    let mut from = args.settings.clone();
    from.conf = args.file.clone().or(from.conf);
    let loaded = from.load();
    let warnings = match &loaded {
        Ok((_, warnings)) | Err(CliError::Settings(SettingsError { warnings, .. })) => warnings,
        Err(_) => &Vec::new(),
    };
    let severity = if args.strict { "error" } else { "warning" };
    for warning in warnings {
        eprintln!("langur: {severity}: {warning}");
    }
    let (settings, warnings) = loaded?;
    let errors = settings.check_credentials();
    if !errors.is_empty() {
        return Err(CliError::Credentials(errors));
    }
    let validity = settings.check_cluster_validity(super::start::epoch_seconds());
    let soon = validity.map_err(|error| CliError::Credentials(vec![error]))?;
    if let Some(warning) = &soon {
        eprintln!("langur: {severity}: {warning}");
    }
    let quarantined = quarantined(&settings, build)?;
    for line in &quarantined {
        eprintln!("langur: {severity}: declarative_config: {line}");
    }
    let warnings = warnings.len() + usize::from(soon.is_some()) + quarantined.len();
    if args.strict && warnings > 0 {
        return Err(CliError::Strict(warnings));
    }
    match from.file() {
        Some(file) => println!("{} is valid", file.display()),
        None => println!("the settings of the environment are valid"),
    }
    Ok(())
}
