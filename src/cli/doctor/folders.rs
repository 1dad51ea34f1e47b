//! Where the node writes: `prefix`, and the folder of its SQLite file.

use super::finding::Finding;
use crate::settings::{Database, Settings};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use uuid::Uuid;

/// The folders of these settings, and the node's id if there is one already.
pub fn examine(settings: &Settings) -> Vec<Finding> {
    let prefix = &settings.node.prefix;
    let mut findings = vec![folder("prefix", prefix, may_write)];
    findings.extend(identity(prefix));
    if let Database::Sqlite { path } = &settings.database
        && settings.node.role.has_control_plane()
        && let Some(parent) = path.parent().filter(|parent| *parent != prefix)
    {
        findings.push(folder("sqlite_path", parent, may_write));
    }
    findings
}

/// Whether a folder can be written to, or be made.
fn folder(setting: &str, path: &Path, may_write: impl Fn(&Path) -> bool) -> Finding {
    let shown = path.display();
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    let Some(existing) = existing else {
        // A relative path of one part: its parent is where the node is started.
        return Finding::ok(setting, format!("{shown} is made at the first start"));
    };
    let there = existing.display();
    if !existing.is_dir() {
        let advice = "name a folder";
        return Finding::error(setting, format!("{there} is not a folder"), advice);
    }
    let advice = format!("let the user that Langur runs as own {there}, or set {setting}");
    match (may_write(existing), existing == path) {
        (true, true) => Finding::ok(setting, format!("{shown} can be written to")),
        (true, false) => Finding::ok(setting, format!("{shown} is made at the first start")),
        (false, true) => Finding::error(setting, format!("{shown} cannot be written to"), advice),
        (false, false) => {
            let text = format!("{shown} is not there and cannot be made in {there}");
            Finding::error(setting, text, advice)
        }
    }
}

/// Whether what should be the node's id is one.
fn identity(prefix: &Path) -> Option<Finding> {
    let path = prefix.join("kong.id");
    let text = fs::read_to_string(&path).ok()?;
    let text = text.trim();
    (!text.is_empty() && Uuid::try_parse(text).is_err()).then(|| {
        let advice = "remove the file to get a new id, or set node_id";
        Finding::error(
            "prefix",
            format!("{} does not hold a UUID", path.display()),
            advice,
        )
    })
}

/// Whether this process may make files in a folder.
fn may_write(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `path` is a NUL-terminated string that lives during the call, which keeps nothing.
    unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn folders() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::write(base.join("file"), "").unwrap();
        let locked = base.join("locked");
        fs::create_dir(&locked).unwrap();
        let may_write = |path: &Path| path != locked;
        let check = |path: &Path, level: Level, text: &str| {
            let found = folder("prefix", path, may_write);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.text.contains(text), "{found:?}");
        };
        check(base, Level::Ok, "can be written to");
        check(&base.join("a/b"), Level::Ok, "is made at the first start");
        check(&base.join("file"), Level::Error, "is not a folder");
        check(&base.join("file/a"), Level::Error, "is not a folder");
        check(&locked, Level::Error, "cannot be written to");
        check(&locked.join("a"), Level::Error, "cannot be made in");
        assert!(super::may_write(base));
    }

    #[test]
    fn an_id_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(directory.path().join("kong.id"), text).unwrap();
        assert_eq!(identity(directory.path()), None);
        write("");
        assert_eq!(identity(directory.path()), None);
        write(&format!("{}\n", Uuid::nil()));
        assert_eq!(identity(directory.path()), None);
        write("me");
        let found = identity(directory.path()).unwrap();
        assert!(found.text.ends_with("does not hold a UUID"), "{found:?}");
    }
}
