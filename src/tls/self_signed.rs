//! The generated certificate of HTTPS listeners, kept under `prefix` so that it stays the same.

use super::{GeneratedPair, Identity, Material, TlsError, listener_certificate};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The identity of listeners without a certificate: read from `<prefix>/ssl/<name>.crt` and
/// `.key`, which are made at the first call.
///
/// # Errors
/// The files cannot be written, or are there and cannot be used.
pub fn default_identity(prefix: &Path, name: &str) -> Result<Identity, TlsError> {
    let directory = prefix.join("ssl");
    let cert = directory.join(format!("{name}.crt"));
    let key = directory.join(format!("{name}.key"));
    if !cert.exists() || !key.exists() {
        fs::create_dir_all(&directory).map_err(|e| io_error(&directory, e))?;
        write_pair(&cert, &key, &listener_certificate(SystemTime::now())?)?;
    }
    Identity::load(&Material::Path(cert), &Material::Path(key))
}

/// Replaces half a pair: a certificate is worth nothing without its key.
fn write_pair(cert: &Path, key: &Path, pair: &GeneratedPair) -> Result<(), TlsError> {
    for stale in [cert, key] {
        match fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(stale, error));
            }
            _ => {}
        }
    }
    write_private(key, &pair.key)?;
    write_public(cert, &pair.certificate)
}

/// Writes a new file that only its owner may read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    write_new(path, text, 0o600)
}

/// Writes a new file that all may read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_public(path: &Path, text: &str) -> Result<(), TlsError> {
    write_new(path, text, 0o644)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .map_err(|e| io_error(path, e))
}

fn io_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::Io {
        path: PathBuf::from(path).display().to_string(),
        source,
    }
}
