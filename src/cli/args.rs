//! The arguments that say where settings come from, and reading them.

use super::{Caller, CliError};
use crate::settings::{FileVariable, LogLevel, MAX_TEXT, Settings, SettingsFile, Sources};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Read when no file is named, the first that exists.
const DEFAULT_FILES: [&str; 2] = ["/etc/langur/langur.conf", "/etc/langur.conf"];

/// Those that follow when the program is called as `kong`.
const DEFAULT_FILES_OF_KONG: [&str; 2] = ["/etc/kong/kong.conf", "/etc/kong.conf"];

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

    /// Say more: log at level info. `start` logs by log_level all the same.
    #[arg(long = "v")]
    pub verbose: bool,

    /// Say everything: log at level debug.
    #[arg(long = "vv")]
    pub very_verbose: bool,

    /// By which name the program was called.
    #[arg(skip)]
    pub caller: Caller,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The variables of this process that are text.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl SettingsArgs {
    /// Reads the file and the environment of this process; the second part is warnings.
    ///
    /// # Errors
    /// The file cannot be read, or any setting is wrong: then all of them are named.
    pub fn load(&self) -> Result<(Settings, Vec<String>), CliError> {
        self.load_with(&environment())
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
        let file_variables = FileVariable::read_all(environment);
        let sources = Sources {
            file: file
                .as_ref()
                .map(|(name, text)| SettingsFile { name, text }),
            environment,
            file_variables: &file_variables,
            flags: &flags,
        };
        Ok(Settings::load(&sources)?)
    }

    /// The settings file that is read, if any.
    pub fn file(&self) -> Option<PathBuf> {
        let of_kong: &[&str] = match self.caller {
            Caller::Kong => &DEFAULT_FILES_OF_KONG,
            Caller::Langur => &[],
        };
        let default = || {
            let mut files = DEFAULT_FILES.iter().chain(of_kong).map(PathBuf::from);
            files.find(|file| file.is_file())
        };
        self.conf.clone().or_else(default)
    }

    /// The settings of a command that does one thing and ends, which logs by `--v` and `--vv`.
    ///
    /// # Errors
    /// As [`SettingsArgs::load`].
    pub fn load_for_command(&self) -> Result<(Settings, Vec<String>), CliError> {
        let (mut settings, warnings) = self.load()?;
        if self.very_verbose {
            settings.node.log_level = LogLevel::Debug;
        } else if self.verbose {
            settings.node.log_level = LogLevel::Info;
        }
        Ok((settings, warnings))
    }

    /// Where a running node of these settings is found. With `--prefix`, settings that are wrong
    /// are no obstacle to stopping one.
    ///
    /// # Errors
    /// The settings cannot be read or are wrong.
    pub fn running_prefix(&self) -> Result<PathBuf, CliError> {
        match (&self.prefix, self.load()) {
            (_, Ok((settings, _))) => Ok(settings.node.prefix),
            (Some(prefix), Err(_)) => Ok(PathBuf::from(prefix)),
            (None, Err(error)) => Err(error),
        }
    }

    /// The same as arguments of another process of this program.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(file) = self.file() {
            arguments.extend(["--conf".into(), file.into()]);
        }
        for (key, value) in &self.set {
            arguments.extend(["--set".into(), format!("{key}={value}").into()]);
        }
        if let Some(prefix) = &self.prefix {
            arguments.extend(["--prefix".into(), prefix.into()]);
        }
        arguments
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let error = |source| CliError::Read {
        path: path.display().to_string(),
        source,
    };
    let file = std::fs::File::open(path).map_err(error)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the grammar can say that it is too long.
    file.take(MAX_TEXT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    text_of(bytes).ok_or_else(|| error(io::Error::other("it is not UTF-8")))
}

/// The text of a file. Comments may be in the encoding of another time; nothing else may.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Some(text),
        Err(error) => error.into_bytes(),
    };
    let is_readable = |line: &[u8]| {
        let comment = line.trim_ascii_start().starts_with(b"#");
        comment || str::from_utf8(line).is_ok()
    };
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let all = lines.all(is_readable);
    all.then(|| String::from_utf8_lossy(&bytes).into_owned())
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
            ..SettingsArgs::default()
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
    fn trial_07_comments_in_an_old_encoding() {
        let text = |bytes: &[u8]| text_of(bytes.to_vec());
        let expected = "# f\u{fffd}r alle\nprefix = /a";
        assert_eq!(
            text(b"# f\xfcr alle\nprefix = /a").as_deref(),
            Some(expected)
        );
        assert_eq!(text(b"prefix = /f\xfcr"), None);
        // UTF-16 with its mark.
        assert_eq!(text(b"\xff\xfe#\0\n\0p\0=\0a\0"), None);
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
