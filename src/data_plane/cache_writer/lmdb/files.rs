//! The files of a cache before LMDB opens them: whether each is what it has to be, and whose it is.
//!
//! LMDB itself would wait for ever on a named pipe, and says of a file that it may not open neither
//! which one nor whose it is.

use super::unfit::OpenError;
use crate::data_plane::cache_writer::CacheError;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// It is made when it is missing, for its owner alone.
    Create,
}

/// Opens a file; `None` when it is missing. Nothing that is no file is opened: that could wait for
/// ever.
pub(super) fn open(path: &Path, access: Access) -> Result<Option<File>, OpenError> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        Ok(about) => return Err(not_the_kind(path, &about, "file").into()),
        Err(err) if err.kind() == ErrorKind::NotFound && access == Access::Create => {}
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(OpenError::of(path, &err)),
    }
    let opened = OpenOptions::new()
        .read(true)
        .write(access != Access::Read)
        .create(access == Access::Create)
        .truncate(false)
        .mode(0o600)
        // In case that it has become a pipe since.
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    opened.map(Some).map_err(|err| OpenError::of(path, &err))
}

impl OpenError {
    /// What a failed call of the system means for the cache.
    pub(super) fn of(path: &Path, err: &io::Error) -> OpenError {
        match err.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                OpenError::ReadOnly(format!("{}: {err}", path.display()))
            }
            ErrorKind::PermissionDenied => OpenError::Fatal(forbidden(path, err)),
            _ => OpenError::Fatal(CacheError::Unusable {
                path: path.display().to_string(),
                reason: err.to_string(),
            }),
        }
    }
}

/// Names what forbids: the file itself, or the directory that does not let it be seen or made.
fn forbidden(path: &Path, err: &io::Error) -> CacheError {
    let seen = path
        .ancestors()
        .find_map(|path| Some((path, path.metadata().ok()?)));
    // SAFETY: geteuid has no preconditions and cannot fail.
    let user = name_of(unsafe { libc::geteuid() });
    let reason = err.to_string();
    let (path, owner, mode) = match &seen {
        Some((path, about)) => (*path, name_of(about.uid()), about.mode() & 0o7777),
        None => (path, "nobody knows whom".to_owned(), 0),
    };
    CacheError::Forbidden {
        path: path.display().to_string(),
        owner,
        mode,
        user,
        reason,
    }
}

/// The user's name, if the local list has it, and number.
fn name_of(uid: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    match name {
        Some(name) => format!("{name} ({uid})"),
        None => format!("user {uid}"),
    }
}

/// The error for something that stands in another's place.
pub(super) fn not_the_kind(path: &Path, about: &Metadata, expected: &'static str) -> CacheError {
    CacheError::NotTheKind {
        path: path.display().to_string(),
        found: kind(about.file_type()),
        expected,
    }
}

fn kind(of: FileType) -> &'static str {
    match of {
        _ if of.is_file() => "file",
        _ if of.is_dir() => "directory",
        _ if of.is_fifo() => "named pipe",
        _ if of.is_socket() => "socket",
        _ if of.is_char_device() || of.is_block_device() => "device",
        _ => "special file",
    }
}
