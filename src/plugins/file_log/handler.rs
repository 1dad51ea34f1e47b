//! Appends the records of requests to a file.
//!
//! Writing may wait for a disk, which neither a request nor the other queues may: it is done on a thread of
//! its own.

use super::config::Config;
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Build, BuildError, CustomFields, Deliver, Delivery, Handler, QueueParameters, RecordHandler,
    queue_name,
};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Most lines that are written at a time.
const MOST_LINES: usize = 1000;

/// Readable by everybody, as Kong's files are.
const MODE: u32 = 0o644;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let fields = CustomFields::build("file-log", build, &config.custom_fields_by_lua)?;
    let parameters = QueueParameters {
        max_batch_size: MOST_LINES,
        max_coalescing_delay: 0.0,
        // Lines that were partly written must not come again.
        max_retry_time: 0.0,
        ..QueueParameters::default()
    };
    let (host, name) = (&build.resources.host, queue_name(&config));
    let lines = Lines(Arc::new(LogFile {
        path: config.path,
        reopen: config.reopen,
        open: Mutex::new(None),
    }));
    Ok(Arc::new(RecordHandler {
        fields,
        queue: host.queue(&build.plugin.name, name, &parameters, lines),
        lines: true,
    }))
}

struct Lines(Arc<LogFile>);

struct LogFile {
    path: PathBuf,
    reopen: bool,
    /// Between writes, unless the file is opened anew for each.
    open: Mutex<Option<File>>,
}

impl LogFile {
    fn append(&self, text: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match open.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .append(true)
                .create(true)
                .mode(MODE)
                .open(&self.path)?,
        };
        file.write_all(text)?;
        if !self.reopen {
            *open = Some(file);
        }
        Ok(())
    }
}

impl Deliver<Bytes> for Lines {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        let (file, text) = (Arc::clone(&self.0), batch.concat());
        Box::pin(async move {
            let path = file.path.display().to_string();
            let written = tokio::task::spawn_blocking(move || file.append(&text)).await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("{path}: {error}").into()),
                Err(error) => Err(format!("{path}: {error}").into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(path: PathBuf, reopen: bool) -> LogFile {
        LogFile {
            path,
            reopen,
            open: Mutex::new(None),
        }
    }

    #[test]
    fn lines_are_appended_and_the_file_is_opened_anew_if_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        for (reopen, expected) in [(false, None), (true, Some("two\n"))] {
            let _ = fs::remove_file(&path);
            let log = file(path.clone(), reopen);
            log.append(b"zero\n").expect("written");
            log.append(b"one\n").expect("written");
            assert_eq!(fs::read_to_string(&path).expect("a file"), "zero\none\n");
            let mode = fs::metadata(&path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o133, 0, "{mode:o}");
            fs::remove_file(&path).expect("removed");
            log.append(b"two\n").expect("written");
            let found = fs::read_to_string(&path).ok();
            assert_eq!(found.as_deref(), expected, "reopen {reopen}");
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none/a.log");
        assert!(file(path.clone(), true).append(b"x").is_err());
        assert!(!path.exists());
    }
}
