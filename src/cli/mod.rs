//! The command line: one file per command.

mod args;
mod ask;
mod check;
mod config;
mod doctor;
mod echo;
mod error;
mod exit;
mod health;
mod hybrid;
mod logging;
pub mod migrations;
pub mod quickstart;
mod reload;
pub mod start;
mod status;
mod version;

pub use error::CliError;
pub use exit::Exit;

use crate::plugins::Implemented;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "langur",
    about = "An API gateway with separated control planes and data planes",
    version,
    after_help = exit::help()
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until it is told to stop.
    Start(start::Args),
    /// Run a control plane, a data plane and an echo upstream to try things out.
    Quickstart(quickstart::Args),
    /// Run only that echo upstream.
    Echo(echo::Args),
    /// Check a settings file.
    Check(check::Args),
    /// Declarative files: check, import into and export from the control plane's database.
    Config(config::Args),
    /// The control plane's database schema.
    Migrations(migrations::Args),
    /// The link between control planes and data planes.
    Hybrid(hybrid::Args),
    /// Look for the usual misconfigurations, and say what to do.
    Doctor(doctor::Args),
    /// Ask the node that these settings describe whether it is ready.
    Health(health::Args),
    /// Show the fleet of a control plane, or the state of a data plane.
    Status(status::Args),
    /// Show the version.
    Version(version::Args),
}

/// Runs the command line of this process, with these plugins.
pub fn main(build: &'static [Implemented]) -> ExitCode {
    run(std::env::args_os(), build).into()
}

/// Runs one command line and says what to exit with.
fn run(arguments: impl IntoIterator<Item = OsString>, build: &'static [Implemented]) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive here too. Nothing is left to do if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
        }
    };
    crate::tls::install_provider();
    let result = match cli.command {
        Command::Start(args) => start::command(&args, build),
        Command::Quickstart(args) => quickstart::command(&args, build),
        Command::Echo(args) => echo::command(&args),
        Command::Check(args) => check::command(&args),
        Command::Config(args) => config::command(&args),
        Command::Migrations(args) => migrations::command(&args),
        Command::Hybrid(args) => hybrid::command(&args),
        Command::Doctor(args) => doctor::command(&args),
        Command::Health(args) => health::command(&args),
        Command::Status(args) => status::command(&args),
        Command::Version(args) => version::command(&args),
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => {
            for line in error.lines() {
                eprintln!("langur: {line}");
            }
            error.exit()
        }
    }
}

#[cfg(test)]
mod tests;
