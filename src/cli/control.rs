//! Telling the node that runs in a prefix to end, to read its settings again, or to start anew.

use super::args::SettingsArgs;
use super::nginx::NginxArgs;
use super::{CliError, pid_file, start};
use crate::plugins::Descriptor;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks whether a process is gone.
const LOOK: Duration = Duration::from_millis(20);

/// How long a node that was told to stop at once may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Debug, clap::Args)]
pub struct QuitArgs {
    #[command(flatten)]
    pub settings: SettingsArgs,

    /// Seconds that requests in flight may take before the node is stopped at once.
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    timeout: u64,

    /// Seconds to wait before the node is told.
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    pub settings: SettingsArgs,
    #[command(flatten)]
    nginx: NginxArgs,
}

/// Stops the node at once: requests in flight are broken off.
pub fn stop(args: &StopArgs) -> Result<(), CliError> {
    let prefix = args.settings.running_prefix()?;
    let process = expect_running(&prefix)?;
    end_at_once(&prefix, process)?;
    println!("stopped: {}", prefix.display());
    Ok(())
}

/// Lets the node finish what is under way, for as long as `--timeout` says.
pub fn quit(args: &QuitArgs) -> Result<(), CliError> {
    let prefix = args.settings.running_prefix()?;
    let process = expect_running(&prefix)?;
    sleep(Duration::from_secs(args.wait));
    signal(process, libc::SIGQUIT)?;
    if !is_gone_within(&prefix, process, Duration::from_secs(args.timeout))? {
        println!(
            "requests are still in flight after {} s: stopping at once",
            args.timeout
        );
        end_at_once(&prefix, process)?;
    }
    println!("stopped: {}", prefix.display());
    Ok(())
}

/// Lets the node read its settings again.
pub fn reload(args: &ReloadArgs) -> Result<(), CliError> {
    args.nginx.warn();
    // A node ignores settings that are wrong; whoever asks for a reload learns of them here.
    let (settings, _) = args.settings.load()?;
    let prefix = settings.node.prefix;
    signal(expect_running(&prefix)?, libc::SIGHUP)?;
    println!("reloaded: {}", prefix.display());
    Ok(())
}

/// Stops the node, if one runs, and starts it.
pub fn restart(args: &start::Args, build: &'static [Descriptor]) -> Result<(), CliError> {
    // Settings that are wrong must not end a node that runs.
    let (settings, _) = args.settings.load()?;
    let prefix = settings.node.prefix;
    if let Some(process) = running(&prefix)? {
        end_at_once(&prefix, process)?;
    }
    start::command(args, build)
}

fn running(prefix: &Path) -> Result<Option<i32>, CliError> {
    pid_file::running(prefix).map_err(|source| CliError::Read {
        path: pid_file::path(prefix).display().to_string(),
        source,
    })
}

fn expect_running(prefix: &Path) -> Result<i32, CliError> {
    let nobody = || CliError::Unavailable(format!("no node runs in {}", prefix.display()));
    running(prefix)?.ok_or_else(nobody)
}

/// SIGINT, which waits for nothing; SIGKILL when even that does not help.
fn end_at_once(prefix: &Path, process: i32) -> Result<(), CliError> {
    signal(process, libc::SIGINT)?;
    if is_gone_within(prefix, process, PATIENCE)? {
        return Ok(());
    }
    signal(process, libc::SIGKILL)?;
    match is_gone_within(prefix, process, PATIENCE)? {
        true => Ok(()),
        false => Err(CliError::Unavailable(format!(
            "process {process} does not end"
        ))),
    }
}

fn is_gone_within(prefix: &Path, process: i32, patience: Duration) -> Result<bool, CliError> {
    let start = Instant::now();
    loop {
        if running(prefix)? != Some(process) {
            return Ok(true);
        }
        if start.elapsed() >= patience {
            return Ok(false);
        }
        sleep(LOOK);
    }
}

fn signal(process: i32, signal: i32) -> Result<(), CliError> {
    // SAFETY: kill(2) takes no pointers. The process holds the lock of its prefix, so that the
    // number is not somebody else's.
    if unsafe { libc::kill(process, signal) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        // It has ended meanwhile, which is what every caller but one wants.
        Some(libc::ESRCH) => Ok(()),
        _ => Err(CliError::Signal {
            process,
            source: error,
        }),
    }
}
