//! `langur config`: declarative files and the control plane's database.

use super::CliError;
use super::args::SettingsArgs;
use crate::declared::{self, Rules};
use crate::model::declarative::{self, Declared};
use crate::plugins::Descriptor;
use crate::settings::Settings;
use clap::Subcommand;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write an example of a declarative file.
    Init {
        #[arg(default_value = "kong.yml")]
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Check a declarative file.
    Parse {
        /// YAML or JSON.
        file: PathBuf,
        /// Also refuse what Langur takes and Kong does not.
        #[arg(long)]
        kong: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Put what a declarative file holds into the database, all of it or nothing; what is there
    /// beside it stays.
    #[command(name = "db_import", visible_alias = "db-import")]
    Import {
        /// YAML or JSON.
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Write what is in the database to a new declarative file.
    #[command(name = "db_export", visible_alias = "db-export")]
    Export {
        #[arg(default_value = "kong.yml")]
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Runs the subcommand.
pub fn command(args: &Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    match &args.action {
        Action::Parse {
            file,
            kong,
            settings,
        } => {
            let (settings, _) = settings.load()?;
            let declared = parse(file, &Rules::of(&settings))?;
            if *kong && !declared.not_in_kong.is_empty() {
                let lines = declared.not_in_kong.join("\n  ");
                return Err(CliError::Refused(format!(
                    "{}: Kong does not load it:\n  {lines}",
                    file.display()
                )));
            }
            warn_of_quarantine(&declared, &settings, build);
            println!("parse successful");
            Ok(())
        }
        Action::Init { file, .. } => init(file),
        Action::Import { file, settings } => database::import(file, settings, build),
        Action::Export { file, settings } => database::export(file, settings),
    }
}

/// What `config init` writes.
const EXAMPLE: &str = include_str!("declarative_example.yml");

/// Writes the example; never over a file that is there.
fn init(path: &Path) -> Result<(), CliError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    written.map_err(|source| of_new_file(path, source))?;
    println!(
        "{} is an example: change it, then check it with config parse",
        path.display()
    );
    Ok(())
}

/// Why a file that must be new cannot be written.
fn of_new_file(path: &Path, source: io::Error) -> CliError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::AlreadyThere(format!("{} is there already", path.display()))
        }
        _ => CliError::Create {
            path: path.display().to_string(),
            source,
        },
    }
}

/// Says what of a file this build would not put into effect, and what answers 503 because of it.
#[cfg(feature = "data-plane")]
fn warn_of_quarantine(declared: &Declared, settings: &Settings, build: &'static [Descriptor]) {
    for line in crate::data_plane::preview(settings, build, declared.rows()) {
        eprintln!("langur: warning: {line}");
    }
}

/// What data planes make of it, only a build with one knows.
#[cfg(not(feature = "data-plane"))]
fn warn_of_quarantine(_: &Declared, _: &Settings, _: &'static [Descriptor]) {}

/// What a file declares.
fn parse(file: &Path, rules: &Rules) -> Result<Declared, CliError> {
    let text = declared::read_file(file).map_err(|source| CliError::Read {
        path: file.display().to_string(),
        source,
    })?;
    let refused = |err| CliError::Refused(format!("{}: {err}", file.display()));
    let declared = declarative::parse(&text, &rules.env()).map_err(refused)?;
    for ignored in &declared.ignored {
        eprintln!("langur: warning: {ignored}: not used, skipped");
    }
    Ok(declared)
}

#[cfg(feature = "control-plane")]
mod database {
    use super::*;
    use crate::cli::start::StartError;
    use crate::cli::{logging, start};
    use crate::control_plane;
    use crate::control_plane::config_store::{Declaration, Extent, Store, StoreError};
    use crate::model::Revision;
    use crate::model::declarative::Dump;
    use crate::node::NodeError;
    use crate::schema;
    use crate::settings::Database;
    use std::fs::{self, File};
    use std::io::BufWriter;
    use std::os::unix::fs::OpenOptionsExt;

    pub fn import(
        file: &Path,
        from: &SettingsArgs,
        build: &'static [Descriptor],
    ) -> Result<(), CliError> {
        let settings = settings_of(from)?;
        let declared = parse(file, &Rules::of(&settings))?;
        warn_of_quarantine(&declared, &settings, build);
        let all = declared.entities.len();
        let declaration = Declaration::new(Extent::Part, declared.entities);
        let done = start::block_on(async {
            let store = control_plane::connect(&settings)
                .await
                .map_err(StartError::from)?;
            store.migrate().await.map_err(failed)?;
            let done = store.declare(declaration, None).await;
            let done = done.map_err(refused)?;
            store.close().await;
            Ok::<_, CliError>(done)
        })?;
        println!(
            "import successful: {} of {all} entities changed, revision {}",
            done.ops.len(),
            done.revision
        );
        Ok(())
    }

    pub fn export(path: &Path, from: &SettingsArgs) -> Result<(), CliError> {
        let settings = settings_of(from)?;
        let rules = Rules::of(&settings);
        let (entities, revision) = start::block_on(async {
            let store = control_plane::connect(&settings)
                .await
                .map_err(StartError::from)?;
            check_schema(&store).await?;
            let written = write(path, &store, &rules).await;
            store.close().await;
            written
        })?;
        let path = path.display();
        println!("export successful: {entities} entities in {path}, revision {revision}");
        Ok(())
    }

    /// The settings of a node that has a database.
    fn settings_of(from: &SettingsArgs) -> Result<Settings, CliError> {
        let (settings, warnings) = from.load_for_command()?;
        if matches!(settings.database, Database::Off) {
            let why = "database = off: this node has no database to import to or export from";
            return Err(CliError::Usage(why.to_owned()));
        }
        logging::init(&settings.node)?;
        for warning in warnings {
            tracing::warn!(warning, "settings");
        }
        Ok(settings)
    }

    /// A database of another version is not what this one exports.
    async fn check_schema(store: &Store) -> Result<(), CliError> {
        let steps = store.migrations().await.map_err(failed)?;
        match steps.iter().all(|step| step.applied) {
            true => Ok(()),
            false => Err(CliError::Refused(
                "the database's schema is not up to date: run langur migrations up".to_owned(),
            )),
        }
    }

    /// Writes a new file that only its owner can read; it is gone again when that fails.
    async fn write(path: &Path, store: &Store, rules: &Rules) -> Result<(u64, Revision), CliError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| of_new_file(path, source))?;
        let written = dump(file, store, rules).await;
        if written.is_err() {
            // The error that led here is the one to tell.
            let _ = fs::remove_file(path);
        }
        written
    }

    async fn dump(file: File, store: &Store, rules: &Rules) -> Result<(u64, Revision), CliError> {
        let mut dump = Dump::new(BufWriter::new(file)).map_err(CliError::Write)?;
        let env = rules.env();
        let mut entities = 0;
        let kinds = Dump::<BufWriter<File>>::KINDS;
        let revision = store
            .each_kind(kinds, |kind, documents| {
                let schema = schema::entity(kind.as_str());
                for document in documents {
                    if let Some(entity) = schema.and_then(|schema| schema.exported(document, &env))
                    {
                        dump.entity(kind, entity).map_err(CliError::Write)?;
                        entities += 1;
                    }
                }
                Ok::<_, CliError>(())
            })
            .await?;
        dump.finish().map_err(CliError::Write)?;
        Ok((entities, revision))
    }

    fn failed(err: StoreError) -> CliError {
        let failed = NodeError::Database(format!("database: {err:?}"));
        CliError::Start(StartError::from(failed))
    }

    /// What the database has says no, or it says nothing at all.
    fn refused(err: StoreError) -> CliError {
        match err {
            StoreError::Busy
            | StoreError::Unavailable(_)
            | StoreError::Database(_)
            | StoreError::Unreadable(_) => failed(err),
            err => CliError::Refused(format!("nothing was imported: {err}")),
        }
    }

    impl From<StoreError> for CliError {
        fn from(err: StoreError) -> CliError {
            failed(err)
        }
    }
}

#[cfg(not(feature = "control-plane"))]
mod database {
    use super::*;
    use crate::cli::start::StartError;

    pub fn import(_: &Path, from: &SettingsArgs, _: &'static [Descriptor]) -> Result<(), CliError> {
        no_database(from)
    }

    pub fn export(_: &Path, from: &SettingsArgs) -> Result<(), CliError> {
        no_database(from)
    }

    fn no_database(from: &SettingsArgs) -> Result<(), CliError> {
        let (settings, _) = from.load()?;
        Err(StartError::NotInThisBuild(settings.node.role.as_str()).into())
    }
}
