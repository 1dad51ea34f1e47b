//! Why a command failed, and what it exits with.

use super::Exit;
use super::start::StartError;
use crate::settings::{CredentialError, SettingsError};
use crate::tls::TlsError;
use std::io;
use thiserror::Error;

/// The error of any command.
#[derive(Debug, Error)]
pub enum CliError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{}", join(.0))]
    Credentials(Vec<CredentialError>),
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Create { path: String, source: io::Error },
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    AlreadyThere(String),
    #[error("{0}")]
    Unavailable(String),
    /// What was asked about is there and not as it should be.
    #[error("{0}")]
    Unhealthy(String),
    /// What was given is not accepted.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// `check --strict` found this many warnings.
    #[error("{0} of the settings would give a warning")]
    Strict(usize),
    /// A node that did not start in the background, with what it logged.
    #[error("{lines}")]
    Background { exit: Exit, lines: String },
    #[error("a node runs already in {0}")]
    AlreadyRuns(String),
    #[error("process {process} cannot be told: {source}")]
    Signal { process: i32, source: io::Error },
    /// The working directory cannot be made.
    #[error("{0}")]
    Prefix(String),
    /// `migrations list`, as Kong answers it.
    #[error("{1}")]
    Schema(Exit, String),
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    #[error("cannot log: {0}")]
    Logging(String),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl CliError {
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Settings(_) | CliError::Credentials(_) | CliError::Strict(_) => Exit::Config,
            CliError::Read { .. } => Exit::NoInput,
            CliError::Usage(_) => Exit::Usage,
            CliError::AlreadyThere(_) | CliError::Create { .. } => Exit::CannotCreate,
            CliError::Prefix(_) => Exit::CannotCreate,
            CliError::Background { exit, .. } | CliError::Schema(exit, _) => *exit,
            CliError::AlreadyRuns(_) | CliError::Signal { .. } => Exit::System,
            CliError::Unavailable(_) => Exit::Unavailable,
            CliError::Tls(TlsError::Io { .. }) => Exit::CannotCreate,
            CliError::Tls(_)
            | CliError::Logging(_)
            | CliError::Unhealthy(_)
            | CliError::Refused(_) => Exit::Failure,
            CliError::Write(_) => Exit::Io,
            CliError::Start(error) => error.exit(),
        }
    }

    /// What is printed: one line for each thing that is wrong.
    pub fn lines(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }
}

fn join(errors: &[CredentialError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
