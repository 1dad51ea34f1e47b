//! A node in the background: another process of this program, of which the one in the foreground
//! only waits to hear that it serves.

use super::args::SettingsArgs;
use super::{CliError, Exit, pid_file};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What the node says on its standard output once it serves.
const STARTED: &str = "started";

/// A start that has not ended by itself after this long is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lines of its log that are shown of a node that did not start.
const SHOWN: usize = 20;

/// The most of the log that is read for them, in bytes.
const MAX_LOG: u64 = 64 << 10;

/// Where a node in the background logs.
pub fn log_file(prefix: &Path) -> PathBuf {
    prefix.join("logs").join("error.log")
}

/// Says to whom has started this process that it serves.
pub fn announce() {
    let mut out = io::stdout();
    // Nobody may listen any more; the node serves all the same.
    let _ = writeln!(out, "{STARTED}").and_then(|()| out.flush());
}

/// Starts the node and returns when it serves.
///
/// # Errors
/// It did not start; what it has logged is printed.
pub fn start(settings: &SettingsArgs, prefix: &Path) -> Result<(), CliError> {
    let log = log_file(prefix);
    let failed = |source| CliError::Create {
        path: log.display().to_string(),
        source,
    };
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(failed)?;
    let before = file.metadata().map_err(failed)?.len();
    let program = std::env::current_exe().map_err(|source| CliError::Read {
        path: "/proc/self/exe".to_owned(),
        source,
    })?;
    let mut child = Command::new(program)
        .arg0("langur")
        .args(["start", "--announce"])
        .args(settings.to_arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        // What ends the terminal's foreground processes does not end it.
        .process_group(0)
        .spawn()
        .map_err(CliError::Write)?;
    if has_started(&mut child) {
        println!(
            "started in the background: process {}, log {}",
            child.id(),
            log.display()
        );
        return Ok(());
    }
    // It is not left half started.
    let _ = child.kill();
    let status = child.wait().map_err(CliError::Write)?;
    let exit = status
        .code()
        .and_then(Exit::of_code)
        .unwrap_or(Exit::Failure);
    let mut lines = tail(&log, before).unwrap_or_default();
    lines.push(format!(
        "the node did not start; its log is {}",
        log.display()
    ));
    Err(CliError::Background {
        exit,
        lines: lines.join("\n"),
    })
}

/// Waits for the line, for the end of the process, or until it takes too long.
fn has_started(child: &mut Child) -> bool {
    let Some(out) = child.stdout.take() else {
        return false;
    };
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(out.take(64)).read_line(&mut line);
        let _ = tell.send(read.is_ok() && line.trim_end() == STARTED);
    });
    told.recv_timeout(PATIENCE).unwrap_or(false)
}

/// The last lines that were written to the log since it had this length.
fn tail(log: &Path, before: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(before.max(length.saturating_sub(MAX_LOG))))?;
    let mut bytes = Vec::new();
    file.take(MAX_LOG).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN)..];
    let plain = |line: &&str| line.strip_prefix("langur: ").unwrap_or(line).to_owned();
    Ok(shown.iter().map(plain).collect())
}

/// Refuses a start beside a node that runs.
///
/// # Errors
/// One does.
pub fn expect_nobody(prefix: &Path) -> Result<(), CliError> {
    match pid_file::running(prefix) {
        Ok(Some(_)) => Err(CliError::AlreadyRuns(prefix.display().to_string())),
        _ => Ok(()),
    }
}
