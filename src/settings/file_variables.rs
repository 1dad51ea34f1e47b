//! Environment variables that name a file with the value: `KONG_PG_PASSWORD_FILE` is read as
//! `KONG_PG_PASSWORD` would be. It is how secrets of Docker and Kubernetes reach a process.

use super::keys;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// Prefixes of environment variables, the stronger one last.
pub(super) const ENVIRONMENT_PREFIXES: [&str; 2] = ["KONG_", "LANGUR_"];

const SUFFIX: &str = "_FILE";

/// The largest such file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// One variable and what its file holds, or why that cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub struct FileVariable {
    /// The variable's whole name.
    pub name: String,
    pub value: Result<String, String>,
}

/// Without the value, which is a secret.
impl std::fmt::Debug for FileVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl FileVariable {
    /// Reads the files of all such variables of an environment.
    #[must_use]
    pub fn read_all(environment: &[(String, String)]) -> Vec<FileVariable> {
        let named = environment
            .iter()
            .filter(|(name, path)| !path.is_empty() && variable_of(name).is_some());
        named
            .map(|(name, path)| FileVariable {
                name: name.clone(),
                value: read(Path::new(path)).map_err(|why| format!("{path}: {why}")),
            })
            .collect()
    }
}

/// `KONG_PG_USER` for `KONG_PG_USER_FILE`; none when no setting is meant. A key whose own name
/// ends so is not a file variable.
pub(super) fn variable_of(name: &str) -> Option<&str> {
    let variable = name.strip_suffix(SUFFIX)?;
    key_of(name)
        .is_none()
        .then(|| key_of(variable).map(|_| variable))?
}

/// The key that a variable sets.
pub(super) fn key_of(variable: &str) -> Option<&'static str> {
    if variable.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let mut prefixes = ENVIRONMENT_PREFIXES.iter();
    let name = prefixes.find_map(|prefix| variable.strip_prefix(prefix))?;
    keys::find(&name.to_ascii_lowercase()).map(|key| key.name)
}

/// The text of a file, without the line end that editors add.
fn read(path: &Path) -> Result<String, String> {
    let of_io = |err: std::io::Error| err.to_string();
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(of_io)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(of_io)?.take(MAX_FILE + 1);
    let read = { file }.read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 > MAX_FILE => {
            return Err(format!("it is larger than {MAX_FILE} bytes"));
        }
        Ok(_) => {}
        Err(err) if err.kind() == std::io::ErrorKind::InvalidData => {
            return Err("it is not UTF-8".to_owned());
        }
        Err(err) => return Err(of_io(err)),
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_11_which_variables_name_a_file() {
        for (name, expected) in [
            ("KONG_PG_PASSWORD_FILE", Some("KONG_PG_PASSWORD")),
            ("LANGUR_CLUSTER_CERT_FILE", Some("LANGUR_CLUSTER_CERT")),
            ("KONG_PG_PASSWORD", None),
            ("KONG_NOPE_FILE", None),
            ("KONG__FILE", None),
            ("PG_PASSWORD_FILE", None),
            ("KONG_pg_password_FILE", None),
        ] {
            assert_eq!(variable_of(name), expected, "{name}");
        }
    }

    #[test]
    fn trial_11_files_are_read_with_limits() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let huge = vec![b'x'; MAX_FILE as usize + 1];
        for (path, expected) in [
            (file("unix", b"secret\n"), Ok("secret")),
            (file("windows", b"secret\r\n"), Ok("secret")),
            (file("plain", b" two words"), Ok(" two words")),
            (file("lines", b"a\nb\n\n"), Ok("a\nb")),
            (file("empty", b""), Ok("")),
            (
                file("limit", &huge[1..]),
                Ok(str::from_utf8(&huge[1..]).unwrap()),
            ),
            (file("huge", &huge), Err("it is larger than 1048576 bytes")),
            (file("binary", &[0xff, 0xfe]), Err("it is not UTF-8")),
            (
                folder.path().display().to_string(),
                Err("it is no regular file"),
            ),
            (
                "/no/such/file".to_owned(),
                Err("No such file or directory (os error 2)"),
            ),
        ] {
            let environment = [("KONG_PG_PASSWORD_FILE".to_owned(), path.clone())];
            let [found] = <[_; 1]>::try_from(FileVariable::read_all(&environment)).unwrap();
            let expected = expected
                .map(str::to_owned)
                .map_err(|why| format!("{path}: {why}"));
            assert_eq!(found.value, expected, "{path}");
            assert!(!format!("{found:?}").contains("secret"));
        }
        let empty = [("KONG_PG_PASSWORD_FILE".to_owned(), String::new())];
        assert_eq!(FileVariable::read_all(&empty), []);
    }
}
