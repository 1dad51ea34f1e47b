//! The command line: one file per command.

mod args;
mod ask;
mod background;
mod caller;
mod check;
mod config;
mod control;
mod doctor;
mod echo;
mod error;
mod exit;
mod health;
mod hybrid;
mod logging;
pub mod migrations;
mod nginx;
mod pid_file;
mod prepare;
pub mod quickstart;
mod reload;
pub mod start;
mod status;
mod vault;
mod version;

pub use caller::Caller;
pub use error::CliError;
pub use exit::Exit;

use crate::plugins::Descriptor;
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
    /// The same, always in the foreground: what a container runs.
    DockerStart(start::Args),
    /// Stop the node that runs with this prefix, at once.
    Stop(control::StopArgs),
    /// Stop it when requests in flight are finished.
    Quit(control::QuitArgs),
    /// Let it read its settings again.
    Reload(control::ReloadArgs),
    /// Stop it, if it runs, and start.
    Restart(start::Args),
    /// Check the settings and make the working directory.
    Prepare(prepare::Args),
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
    /// Vault references.
    Vault(vault::Args),
    /// Look for the usual misconfigurations, and say what to do.
    Doctor(doctor::Args),
    /// Ask the node that these settings describe whether it is ready.
    Health(health::Args),
    /// Show the fleet of a control plane, or the state of a data plane.
    Status(status::Args),
    /// Show the version.
    Version(version::Args),
}

impl Command {
    /// Tells the command by which name the program was called.
    fn called_by(&mut self, caller: Caller) {
        let settings = match self {
            Command::Start(args) | Command::DockerStart(args) | Command::Restart(args) => {
                &mut args.settings
            }
            Command::Stop(args) => &mut args.settings,
            Command::Quit(args) => &mut args.settings,
            Command::Reload(args) => &mut args.settings,
            Command::Prepare(args) => &mut args.settings,
            Command::Check(args) => &mut args.settings,
            Command::Migrations(args) => args.settings_mut(),
            Command::Health(args) => &mut args.settings,
            Command::Config(args) => match &mut args.action {
                config::Action::Init { settings, .. }
                | config::Action::Parse { settings, .. }
                | config::Action::Import { settings, .. }
                | config::Action::Export { settings, .. } => settings,
            },
            Command::Vault(args) => {
                let vault::Action::Get { settings, .. } = &mut args.action;
                settings
            }
            Command::Version(args) => {
                args.caller = caller;
                return;
            }
            Command::Doctor(args) => &mut args.settings,
            Command::Status(args) => &mut args.settings,
            Command::Quickstart(_) | Command::Echo(_) | Command::Hybrid(_) => return,
        };
        settings.caller = caller;
    }
}

/// Runs the command line of this process, with these plugins.
pub fn main(build: &'static [Descriptor]) -> ExitCode {
    let own: Result<Vec<_>, _> = build.iter().filter_map(Descriptor::own).collect();
    if let Err(reason) = own.and_then(crate::schema::add_plugins) {
        eprintln!("langur: {reason}");
        return ExitCode::FAILURE;
    }
    run_as_called(std::env::args_os().collect(), build).into()
}

/// As `kong` every failure exits with 1, as there, and a chain of commands needs no shell.
fn run_as_called(arguments: Vec<OsString>, build: &'static [Descriptor]) -> Exit {
    if Caller::of(arguments.first()) == Caller::Langur {
        return run(arguments, build);
    }
    let mut commands = caller::chain(arguments);
    let last = commands.pop().unwrap_or_default();
    // Each in a process of its own, since what a command sets up is there once in a process.
    for command in commands {
        if let Err(exit) = caller::run(&command) {
            return exit;
        }
    }
    match run(last, build) {
        known @ (Exit::Ok | Exit::NotBootstrapped | Exit::NewMigrations) => known,
        _ => Exit::Failure,
    }
}

/// Runs one command line and says what to exit with.
fn run(arguments: impl IntoIterator<Item = OsString>, build: &'static [Descriptor]) -> Exit {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let caller = Caller::of(arguments.first());
    let mut cli = match Cli::try_parse_from(arguments) {
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
    cli.command.called_by(caller);
    crate::tls::install_provider();
    let result = match cli.command {
        Command::Start(args) => start::command(&args, build),
        Command::DockerStart(args) => start::foreground(&args, build),
        Command::Stop(args) => control::stop(&args),
        Command::Quit(args) => control::quit(&args),
        Command::Reload(args) => control::reload(&args),
        Command::Restart(args) => control::restart(&args, build),
        Command::Prepare(args) => prepare::command(&args),
        Command::Vault(args) => vault::command(&args),
        Command::Quickstart(args) => quickstart::command(&args, build),
        Command::Echo(args) => echo::command(&args),
        Command::Check(args) => check::command(&args, build),
        Command::Config(args) => config::command(&args, build),
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
