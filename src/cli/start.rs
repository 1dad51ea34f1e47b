//! `langur start`: settings, logging, identity, then the planes of the role.

use super::args::SettingsArgs;
use super::{CliError, Exit, logging};
use crate::settings::identity::IdentityError;
use crate::settings::{CredentialError, Listen, LogControl, Settings};
use std::io;
use std::net::{SocketAddr, TcpListener};
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
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        key: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
}

impl StartError {
    pub fn exit(&self) -> Exit {
        match self {
            StartError::NotInThisBuild(_) | StartError::Credential(_) => Exit::Config,
            StartError::Identity(_) => Exit::CannotCreate,
            StartError::Listen { .. } => Exit::System,
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

/// Opens every address of one setting.
///
/// # Errors
/// An address cannot be bound; the error names the setting.
pub fn bind(key: &'static str, listens: &[Listen]) -> Result<Vec<TcpListener>, StartError> {
    let bind_one = |listen: &Listen| {
        listen.bind().map_err(|source| StartError::Listen {
            key,
            address: listen.address(),
            source,
        })
    };
    listens.iter().map(bind_one).collect()
}

/// Runs the planes of the role until the process is told to stop.
///
/// # Errors
/// A part could not start.
pub async fn run(settings: Arc<Settings>, _log: LogControl) -> Result<(), StartError> {
    Err(StartError::NotInThisBuild(settings.node.role.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    #[test]
    fn a_taken_port_names_the_setting() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let flags = [("status_listen".to_owned(), address.to_string())];
        let sources = Sources {
            flags: &flags,
            ..Sources::default()
        };
        let (settings, _) = Settings::load(&sources).unwrap();
        let error = bind("status_listen", &settings.listeners.status).unwrap_err();
        let expected = format!("status_listen: cannot listen on {address}: ");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(error.exit(), Exit::System);
    }
}
