//! The arguments that say where settings come from, and reading them.

use super::CliError;
use crate::settings::{MAX_TEXT, Settings, SettingsFile, Sources};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Read when no file is named, the first that exists.
const DEFAULT_FILES: [&str; 2] = ["/etc/langur/langur.conf", "/etc/langur.conf"];

/// Where settings come from beside the environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SettingsArgs {
    /// Settings file; else /etc/langur/langur.conf or /etc/langur.conf, if there.
    #[arg(short = 'c', long = "conf", value_name = "FILE")]
    pub conf: Option<PathBuf>,

    /// Set one key; stronger than file and environment.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,

    /// Working directory; the same as --set prefix=DIR.
    #[arg(short, long, value_name = "DIR")]
    pub prefix: Option<String>,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl SettingsArgs {
    /// Reads the file and the environment of this process; the second part is warnings.
    ///
    /// # Errors
    /// The file cannot be read, or any setting is wrong: then all of them are named.
    pub fn load(&self) -> Result<(Settings, Vec<String>), CliError> {
        let environment: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        self.load_with(&environment)
    }

    fn load_with(
        &self,
        environment: &[(String, String)],
    ) -> Result<(Settings, Vec<String>), CliError> {
        let file = match self.file() {
            Some(path) => Some((path.display().to_string(), read(&path)?)),
            None => None,
        };
        let mut flags = self.set.clone();
        flags.extend(self.prefix.clone().map(|dir| ("prefix".to_owned(), dir)));
        let sources = Sources {
            file: file
                .as_ref()
                .map(|(name, text)| SettingsFile { name, text }),
            environment,
            flags: &flags,
        };
        Ok(Settings::load(&sources)?)
    }

    /// The settings file that is read, if any.
    pub fn file(&self) -> Option<PathBuf> {
        let default = || {
            DEFAULT_FILES
                .map(PathBuf::from)
                .into_iter()
                .find(|f| f.is_file())
        };
        self.conf.clone().or_else(default)
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let error = |source| CliError::Read {
        path: path.display().to_string(),
        source,
    };
    let file = std::fs::File::open(path).map_err(error)?;
    let mut text = String::new();
    // One byte more than is allowed, so that the grammar can say that it is too long.
    file.take(MAX_TEXT as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => error(io::Error::other("it is not UTF-8")),
            _ => error(e),
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_flags_and_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("langur.conf");
        std::fs::write(&conf, "pg_user = file\npg_host = file\npg_database = file").unwrap();
        let mut args = SettingsArgs {
            conf: Some(conf.clone()),
            set: vec![pair("pg_user = flag=1").unwrap()],
            prefix: Some("/p".to_owned()),
        };
        args.set.push(pair("database=postgres").unwrap());
        let environment = [
            ("LANGUR_PG_USER".to_owned(), "env".to_owned()),
            ("LANGUR_PG_HOST".to_owned(), "env".to_owned()),
        ];
        let (settings, _) = args.load_with(&environment).unwrap();
        let report = settings.report();
        for (key, expected) in [
            ("pg_user", "flag=1"),
            ("pg_host", "env"),
            ("pg_database", "file"),
            ("prefix", "/p"),
        ] {
            assert_eq!(report[key], expected);
        }
        assert!(pair("nothing").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("binary");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        for (path, expected) in [
            (directory.path().join("none"), "No such file"),
            (binary, "it is not UTF-8"),
        ] {
            let args = SettingsArgs {
                conf: Some(path),
                ..SettingsArgs::default()
            };
            let error = args.load_with(&[]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit(), crate::cli::Exit::NoInput);
        }
    }
}
