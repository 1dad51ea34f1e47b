//! Who this node is: a UUID that survives restarts, and the host's name.

use super::Node;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use thiserror::Error;
use uuid::Uuid;

/// The file under `prefix` that holds the id.
const FILE: &str = "kong.id";

/// An identity that cannot be read or kept.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("prefix: {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("prefix: {path} does not hold a UUID; remove it, or set node_id")]
    NotAnId { path: String },
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
    match read(&path)? {
        Some(id) => Ok(id),
        None => create(&node.prefix, &path),
    }
}

fn read(path: &Path) -> Result<Option<Uuid>, IdentityError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    // An empty file is what a crash during the first start leaves.
    if text.trim().is_empty() {
        return Ok(None);
    }
    Uuid::try_parse(text.trim())
        .map(Some)
        .map_err(|_| IdentityError::NotAnId {
            path: path.display().to_string(),
        })
}

/// Written beside and renamed, so that the file is never seen half written.
fn create(prefix: &Path, path: &Path) -> Result<Uuid, IdentityError> {
    fs::create_dir_all(prefix).map_err(|e| io_error(prefix, e))?;
    let id = Uuid::new_v4();
    let draft = path.with_extension("id.new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{id}")?;
            file.sync_all()
        });
    written.map_err(|e| io_error(&draft, e))?;
    fs::rename(&draft, path).map_err(|e| io_error(path, e))?;
    Ok(id)
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
