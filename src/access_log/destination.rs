//! Where lines go, and the open file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl Destination {
    /// What a path stands for.
    pub fn of(path: &Path) -> Destination {
        match path.to_str() {
            Some("/dev/stdout" | "/proc/self/fd/1" | "/dev/fd/1") => Destination::Stdout,
            Some("/dev/stderr" | "/proc/self/fd/2" | "/dev/fd/2") => Destination::Stderr,
            _ => Destination::File(path.to_owned()),
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Stdout => f.write_str("/dev/stdout"),
            Destination::Stderr => f.write_str("/dev/stderr"),
            Destination::File(path) => path.display().fmt(f),
        }
    }
}

/// An open destination.
#[derive(Debug)]
pub struct LogFile {
    file: File,
}

impl LogFile {
    /// Opens it to append; folders of the path are made. A link to one of the standard streams is
    /// that stream, which whoever has started this process may have opened for it alone.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(destination: &Destination) -> io::Result<LogFile> {
        let path = match destination {
            Destination::Stdout => return LogFile::of(io::stdout().as_fd()),
            Destination::Stderr => return LogFile::of(io::stderr().as_fd()),
            Destination::File(path) => path,
        };
        match fs::read_link(path).map(|link| Destination::of(&link)) {
            Ok(Destination::Stdout) => return LogFile::of(io::stdout().as_fd()),
            Ok(Destination::Stderr) => return LogFile::of(io::stderr().as_fd()),
            _ => {}
        }
        let open = || OpenOptions::new().create(true).append(true).open(path);
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                open()
            }
            other => other,
        };
        Ok(LogFile { file: opened? })
    }

    fn of(stream: std::os::fd::BorrowedFd<'_>) -> io::Result<LogFile> {
        let file = File::from(stream.try_clone_to_owned()?);
        Ok(LogFile { file })
    }
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_streams_are_streams() {
        for (path, expected) in [
            ("/dev/stdout", Destination::Stdout),
            ("/dev/stderr", Destination::Stderr),
            ("/proc/self/fd/1", Destination::Stdout),
            ("/x/a.log", Destination::File("/x/a.log".into())),
        ] {
            assert_eq!(Destination::of(Path::new(path)), expected);
        }
    }

    #[test]
    fn folders_are_made_and_files_appended_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/c.log");
        for text in ["one\n", "two\n"] {
            let file = LogFile::open(&Destination::File(path.clone())).expect("a file");
            (&file).write_all(text.as_bytes()).expect("written");
        }
        assert_eq!(fs::read_to_string(&path).expect("text"), "one\ntwo\n");
        let under_a_file = Destination::File(path.join("d.log"));
        assert!(LogFile::open(&under_a_file).is_err());
    }
}
