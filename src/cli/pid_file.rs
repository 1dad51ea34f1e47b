//! The process id of a running node, in `<prefix>/pids/nginx.pid` as in Kong.
//!
//! The node holds a lock on the file for as long as it lives. So a file that a crash has left, and
//! a number that some other process has by now, are never taken for a running node.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whoever asks whether a node runs holds the lock for a moment: a start tries again.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The file of this process; removed when it is dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _locked: File,
}

/// Why the file is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum PidError {
    #[error("prefix: a node runs already in {0}")]
    AlreadyRuns(String),
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
}

/// Where the file of a prefix is.
pub fn path(prefix: &Path) -> PathBuf {
    prefix.join("pids").join("nginx.pid")
}

impl PidFile {
    /// Makes this process the one that runs in the prefix.
    ///
    /// # Errors
    /// Another one does, or the file cannot be written.
    pub fn take(prefix: &Path) -> Result<PidFile, PidError> {
        let path = path(prefix);
        let failed = |source| PidError::Io {
            path: path.display().to_string(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        for attempt in 1..=ATTEMPTS {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                // The one before may have removed it between the two steps.
                Ok(()) if is_at(&file, &path) => {
                    write(&file).map_err(failed)?;
                    return Ok(PidFile {
                        path,
                        _locked: file,
                    });
                }
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if attempt == ATTEMPTS => break,
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
        Err(PidError::AlreadyRuns(prefix.display().to_string()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that stays is taken for what it is, since nobody holds its lock.
        let _ = fs::remove_file(&self.path);
    }
}

fn write(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => same(open, there),
        _ => false,
    }
}

/// The id of the process that runs in the prefix; none when there is none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn running(prefix: &Path) -> io::Result<Option<i32>> {
    let mut file = match File::open(path(prefix)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    (&mut file).take(32).read_to_string(&mut text)?;
    Ok(text.trim().parse().ok().filter(|id| *id > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_10_one_node_runs_in_a_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(running(folder.path()).unwrap(), None);
        let first = PidFile::take(folder.path()).unwrap();
        assert_eq!(running(folder.path()).unwrap(), Some(own));
        let second = PidFile::take(folder.path()).unwrap_err();
        assert!(
            second.to_string().contains("a node runs already"),
            "{second}"
        );
        drop(first);
        assert!(!path(folder.path()).exists());
        let again = PidFile::take(folder.path()).unwrap();
        drop(again);
    }

    #[test]
    fn trial_10_a_file_that_a_crash_left_is_no_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "1\n").unwrap();
        assert_eq!(running(folder.path()).unwrap(), None);
        let taken = PidFile::take(folder.path()).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(taken);
    }

    #[test]
    fn trial_10_a_prefix_that_cannot_be_written_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = PidFile::take(&file).unwrap_err();
        assert!(error.to_string().contains("pids/nginx.pid"), "{error}");
    }
}
