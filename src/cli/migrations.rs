//! `langur migrations`: the schema of the control plane's database, by hand.
//!
//! Kong's commands are all here. Langur's migrations have one phase, so that `up` and `bootstrap`
//! do the same, and `finish` finds nothing left to do after them.

#[cfg(feature = "control-plane")]
use super::Exit;
use super::args::SettingsArgs;
use super::nginx::no_effect;
use super::start::StartError;
use super::{Caller, CliError, logging, start};
#[cfg(feature = "control-plane")]
use crate::node::NodeError;
use crate::settings::{Database, Settings};
use clap::Subcommand;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: ActionArgs,
}

#[derive(Debug, Subcommand)]
enum ActionArgs {
    /// Make the tables in a new database; `langur start` does the same by itself.
    Bootstrap(Options),
    /// Apply what is pending; `langur start` does the same by itself.
    Up(Options),
    /// Apply what is pending; after `up` there is nothing.
    Finish(Options),
    /// Show each migration and whether it is applied.
    List(Options),
    /// The same as JSON.
    Status(Options),
    /// Show the epoch of the database, which says what history its revisions belong to.
    Epoch {
        #[command(flatten)]
        options: Options,
        /// Begin another history: after the restore of a backup, data planes that hold later
        /// revisions are taken back to what the database has.
        #[arg(long)]
        raise: bool,
    },
    /// Delete all tables and everything in them.
    Reset {
        #[command(flatten)]
        options: Options,
        /// Yes, delete everything.
        #[arg(short, long)]
        yes: bool,
    },
}

/// What Kong's commands take.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,

    /// Accepted: a migration that is applied is never applied again.
    #[arg(short, long)]
    force: bool,

    /// Seconds that the database may take to answer.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    db_timeout: Option<u64>,

    /// Accepted: a migration waits for the ones of other nodes as long as the database allows.
    #[arg(long, value_name = "SECONDS")]
    lock_timeout: Option<u64>,
}

/// What to do with the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Bootstrap,
    Up,
    Finish,
    List,
    Status,
    Reset,
    Epoch { raise: bool },
}

impl Args {
    fn parts(&self) -> (Action, &Options) {
        match &self.action {
            ActionArgs::Bootstrap(options) => (Action::Bootstrap, options),
            ActionArgs::Up(options) => (Action::Up, options),
            ActionArgs::Finish(options) => (Action::Finish, options),
            ActionArgs::List(options) => (Action::List, options),
            ActionArgs::Status(options) => (Action::Status, options),
            ActionArgs::Epoch { options, raise } => (Action::Epoch { raise: *raise }, options),
            ActionArgs::Reset { options, .. } => (Action::Reset, options),
        }
    }

    /// The arguments that say where settings come from.
    pub fn settings_mut(&mut self) -> &mut SettingsArgs {
        match &mut self.action {
            ActionArgs::Bootstrap(options)
            | ActionArgs::Up(options)
            | ActionArgs::Finish(options)
            | ActionArgs::List(options)
            | ActionArgs::Status(options)
            | ActionArgs::Epoch { options, .. }
            | ActionArgs::Reset { options, .. } => &mut options.settings,
        }
    }
}

/// Reads the settings, refuses what makes no sense, and runs.
pub fn command(args: &Args) -> Result<(), CliError> {
    if matches!(args.action, ActionArgs::Reset { yes: false, .. }) {
        return Err(CliError::Usage(
            "migrations reset deletes everything: confirm with --yes".to_owned(),
        ));
    }
    let (action, options) = args.parts();
    let mut from = options.settings.clone();
    if let Some(seconds) = options.db_timeout {
        from.set
            .push(("pg_timeout".to_owned(), format!("{seconds}000")));
    }
    let (settings, warnings) = from.load_for_command()?;
    for (given, option) in [
        (options.force, "--force"),
        (options.lock_timeout.is_some(), "--lock-timeout"),
    ] {
        if given {
            no_effect(option);
        }
    }
    if matches!(settings.database, Database::Off) {
        return Err(CliError::Usage(
            "database = off: this node has no database to migrate".to_owned(),
        ));
    }
    logging::init(&settings.node)?;
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    let task = Task {
        action,
        quiet: options.quiet,
        caller: from.caller,
    };
    start::block_on(run(Arc::new(settings), task))
}

/// One action and how it is told.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    pub action: Action,
    pub quiet: bool,
    pub caller: Caller,
}

impl Task {
    #[cfg(feature = "control-plane")]
    fn say(self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }
}

/// Carries the action out and prints what was done.
#[cfg(feature = "control-plane")]
async fn run(settings: Arc<Settings>, task: Task) -> Result<(), CliError> {
    let store = crate::control_plane::connect(&settings)
        .await
        .map_err(StartError::from)?;
    let failed = |err| StartError::from(NodeError::Database(format!("database: {err:?}")));
    match task.action {
        Action::Bootstrap | Action::Up | Action::Finish => {
            let applied = store.migrate().await.map_err(failed)?;
            for name in &applied {
                task.say(&format!("applied {name}"));
            }
            task.say(&match (task.action, applied.len()) {
                (Action::Bootstrap, 0) => "the database is bootstrapped already".to_owned(),
                (Action::Finish, 0) => "there are no pending migrations to finish".to_owned(),
                (_, count) => format!("{count} applied, the schema is up to date"),
            });
        }
        Action::List | Action::Status => {
            let steps = store.migrations().await.map_err(failed)?;
            store.close().await;
            return show(&steps, task);
        }
        Action::Epoch { raise: false } => {
            let (epoch, revision) = store.tip().await.map_err(failed)?;
            task.say(&format!("epoch {epoch}, revision {revision}"));
        }
        Action::Epoch { raise: true } => {
            let (before, after) = store.raise_epoch().await.map_err(failed)?;
            let what = "data planes take over what the database has";
            task.say(&format!("epoch {before} is now {after}: {what}"));
        }
        Action::Reset => {
            store.reset().await.map_err(failed)?;
            task.say("all tables are deleted");
        }
    }
    store.close().await;
    Ok(())
}

/// Prints the steps. Kong's `list` tells by its exit code whether something is to be done.
#[cfg(feature = "control-plane")]
fn show(steps: &[crate::control_plane::MigrationStep], task: Task) -> Result<(), CliError> {
    let named = |applied: bool| -> Vec<&str> {
        let steps = steps.iter().filter(|step| step.applied == applied);
        steps.map(|step| step.name.as_str()).collect()
    };
    let (applied, new) = (named(true), named(false));
    if task.action == Action::Status {
        let status = serde_json::json!({
            "needs_bootstrap": applied.is_empty(),
            "executed_migrations": applied,
            "new_migrations": new,
            "pending_migrations": [],
        });
        println!("{status:#}");
        return Ok(());
    }
    for step in steps {
        let state = if step.applied { "applied" } else { "pending" };
        task.say(&format!("{state}  {}", step.name));
    }
    let answer = |exit, text: &str| Err(CliError::Schema(exit, text.to_owned()));
    match task.caller {
        Caller::Kong if applied.is_empty() => answer(
            Exit::NotBootstrapped,
            "the database has no tables yet: run kong migrations bootstrap",
        ),
        Caller::Kong if !new.is_empty() => answer(
            Exit::NewMigrations,
            "some migrations are not applied: run kong migrations up",
        ),
        _ => Ok(()),
    }
}

#[cfg(not(feature = "control-plane"))]
async fn run(settings: Arc<Settings>, _: Task) -> Result<(), CliError> {
    Err(StartError::NotInThisBuild(settings.node.role.as_str()).into())
}
