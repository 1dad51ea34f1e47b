//! Who this node is: a UUID that survives restarts, what it proves that by, and the host's name.

use super::Node;
use crate::wire::NodeSecret;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use thiserror::Error;
use uuid::Uuid;

/// The file under `prefix` that holds the id.
const FILE: &str = "kong.id";

/// The file under `prefix` that holds the secret of a data plane.
const SECRET_FILE: &str = "node.secret";

/// An identity that cannot be read or kept.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("prefix: {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("prefix: {path} does not hold a UUID; remove it, or set node_id")]
    NotAnId { path: String },
    #[error(
        "prefix: {path} does not hold the secret of a node (64 hexadecimal digits); remove it, and \
         have the node forgotten by its control planes: langur hybrid forget"
    )]
    NotASecret { path: String },
}

/// The id of this node: `node_id` if set, else what `<prefix>/kong.id` holds, which is created
/// with a new id where it is missing.
///
/// # Errors
/// The file cannot be read or created, or holds something else.
pub fn node_id(node: &Node) -> Result<Uuid, IdentityError> {
    if let Some(id) = node.node_id {
        return Ok(id);
    }
    let path = node.prefix.join(FILE);
    let Some(text) = read(&path)? else {
        let id = Uuid::new_v4();
        create(&node.prefix, &path, &id.to_string(), 0o644)?;
        return Ok(id);
    };
    Uuid::try_parse(&text).map_err(|_| IdentityError::NotAnId {
        path: path.display().to_string(),
    })
}

/// What a data plane proves to be itself by: what `<prefix>/node.secret` holds, which is created
/// with a new secret where it is missing.
///
/// # Errors
/// The file cannot be read or created, or holds something else.
pub fn node_secret(prefix: &Path) -> Result<NodeSecret, IdentityError> {
    let path = prefix.join(SECRET_FILE);
    let Some(text) = read(&path)? else {
        let secret = NodeSecret::new(rand::random());
        create(prefix, &path, &secret.to_hex(), 0o600)?;
        return Ok(secret);
    };
    NodeSecret::from_hex(&text).ok_or_else(|| IdentityError::NotASecret {
        path: path.display().to_string(),
    })
}

/// What the file says; an empty one is what a crash during the first start leaves.
fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, error)),
    }
}

/// Written beside and renamed, so that the file is never seen half written.
fn create(prefix: &Path, path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    fs::create_dir_all(prefix).map_err(|e| io_error(prefix, e))?;
    let draft = path.with_added_extension("new");
    // What an earlier attempt has left may have another mode.
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        });
    written.map_err(|e| io_error(&draft, e))?;
    fs::rename(&draft, path).map_err(|e| io_error(path, e))
}

fn io_error(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Io {
        path: path.display().to_string(),
        source,
    }
}

/// The host's name, as data planes report it.
pub fn hostname() -> String {
    hostname::get().map_or_else(
        |_| "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn an_id_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().join("not/yet/there");
        let mut node = settings(&format!("prefix = {}", prefix.display())).node;
        let first = node_id(&node).unwrap();
        assert_eq!(node_id(&node).unwrap(), first);
        let given = Uuid::from_u128(7);
        node.node_id = Some(given);
        assert_eq!(node_id(&node).unwrap(), given);
    }

    #[test]
    fn files_that_hold_something_else() {
        let directory = tempfile::tempdir().unwrap();
        let node = settings(&format!("prefix = {}", directory.path().display())).node;
        let path = directory.path().join(FILE);
        fs::write(&path, "").unwrap();
        let renewed = node_id(&node).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{renewed}\n"));
        fs::write(&path, "me").unwrap();
        let error = node_id(&node).unwrap_err().to_string();
        assert!(error.contains("does not hold a UUID"), "{error}");
    }

    #[test]
    fn trial_15_a_secret_is_made_once_and_is_the_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().join("not/yet/there");
        let first = node_secret(&prefix).unwrap();
        assert_eq!(node_secret(&prefix).unwrap(), first);
        let path = prefix.join(SECRET_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(node_secret(directory.path()).unwrap(), first);
        fs::write(&path, "open sesame").unwrap();
        let error = node_secret(&prefix).unwrap_err().to_string();
        assert!(error.contains("does not hold the secret"), "{error}");
        assert!(!error.contains("sesame"), "{error}");
    }

    #[test]
    fn a_prefix_that_cannot_be_made_names_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let node = settings(&format!("prefix = {}", file.display())).node;
        assert!(
            node_id(&node)
                .unwrap_err()
                .to_string()
                .starts_with("prefix: ")
        );
    }
}
