//! `langur migrations`: the schema of the control plane's database, by hand.

use super::args::SettingsArgs;
use super::start::StartError;
use super::{CliError, logging, start};
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
    /// Apply what is pending; `langur start` does the same by itself.
    #[command(visible_alias = "bootstrap")]
    Up(SettingsArgs),
    /// Show each migration and whether it is applied.
    List(SettingsArgs),
    /// Delete all tables and everything in them.
    Reset {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Yes, delete everything.
        #[arg(short, long)]
        yes: bool,
    },
}

/// What to do with the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Up,
    List,
    Reset,
}

/// Reads the settings, refuses what makes no sense, and runs.
pub fn command(args: &Args) -> Result<(), CliError> {
    let (action, from) = match &args.action {
        ActionArgs::Up(from) => (Action::Up, from),
        ActionArgs::List(from) => (Action::List, from),
        ActionArgs::Reset { yes: false, .. } => {
            return Err(CliError::Usage(
                "migrations reset deletes everything: confirm with --yes".to_owned(),
            ));
        }
        ActionArgs::Reset { settings, .. } => (Action::Reset, settings),
    };
    let (settings, warnings) = from.load()?;
    if matches!(settings.database, Database::Off) {
        return Err(CliError::Usage(
            "database = off: this node has no database to migrate".to_owned(),
        ));
    }
    logging::init(&settings.node)?;
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    start::block_on(run(Arc::new(settings), action))?;
    Ok(())
}

/// Carries the action out and prints what was done.
///
/// # Errors
/// The database cannot be reached or refuses.
#[cfg(feature = "control-plane")]
pub async fn run(settings: Arc<Settings>, action: Action) -> Result<(), StartError> {
    let store = crate::control_plane::connect(&settings).await?;
    let failed = |err| NodeError::Database(format!("database: {err:?}"));
    match action {
        Action::Up => {
            let applied = store.migrate().await.map_err(failed)?;
            for name in &applied {
                println!("applied {name}");
            }
            println!("{} applied, the schema is up to date", applied.len());
        }
        Action::List => {
            for step in store.migrations().await.map_err(failed)? {
                let state = if step.applied { "applied" } else { "pending" };
                println!("{state}  {}", step.name);
            }
        }
        Action::Reset => {
            store.reset().await.map_err(failed)?;
            println!("all tables are deleted");
        }
    }
    store.close().await;
    Ok(())
}

/// # Errors
/// Always: this build has no database.
#[cfg(not(feature = "control-plane"))]
pub async fn run(settings: Arc<Settings>, _: Action) -> Result<(), StartError> {
    Err(StartError::NotInThisBuild(settings.node.role.as_str()))
}
