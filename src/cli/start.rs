//! `langur start`: settings, logging, identity, then the planes of the role.

use super::args::SettingsArgs;
use super::{CliError, Exit, logging};
use crate::settings::identity::IdentityError;
use crate::settings::{LogControl, Settings};
use std::sync::Arc;
use thiserror::Error;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Why a node did not start, or did not end well.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("role = \"{0}\" cannot be started by this build")]
    NotInThisBuild(&'static str),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl StartError {
    pub fn exit(&self) -> Exit {
        match self {
            StartError::NotInThisBuild(_) => Exit::Config,
            StartError::Identity(_) => Exit::CannotCreate,
        }
    }
}

/// Checks everything that can be checked before a socket is opened, then runs.
pub fn command(args: &Args) -> Result<(), CliError> {
    let (settings, warnings) = args.settings.load()?;
    let errors = settings.check_credentials();
    if !errors.is_empty() {
        return Err(CliError::Credentials(errors));
    }
    let log = logging::init(&settings.node)?;
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    let system = actix_rt::System::new();
    system.block_on(run(Arc::new(settings), log))?;
    Ok(())
}

/// Runs the planes of the role until the process is told to stop.
///
/// # Errors
/// A part could not start.
pub async fn run(settings: Arc<Settings>, _log: LogControl) -> Result<(), StartError> {
    Err(StartError::NotInThisBuild(settings.node.role.as_str()))
}
