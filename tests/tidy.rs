//! Reads the source as text and fails when the layout's rules are broken: who may import
//! whom, how long a file may be, and that every file says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file from which it should be split soon, and from which it must be.
const TALK_AT: usize = 400;
const FAIL_AT: usize = 800;

/// A module and what it must not name. Data flows one way: `ARCHITECTURE.md` says why.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("src/control_plane", &["crate::data_plane", "crate::cli"]),
    (
        "src/data_plane",
        &["crate::control_plane", "crate::cli", "sea_orm"],
    ),
    (
        "src/plugins",
        &["crate::control_plane", "crate::data_plane", "crate::cli"],
    ),
    (
        "src/wire",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::cli",
            "tokio::",
            "actix",
            "std::fs",
            "std::net::Tcp",
        ],
    ),
    (
        "src/model",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::wire",
            "crate::cli",
            "tokio::",
            "actix",
            "std::fs",
        ],
    ),
    (
        "src/schema",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::wire",
            "crate::model",
            "crate::cli",
            "tokio::",
            "actix",
            "std::fs",
            "SystemTime::now",
        ],
    ),
    (
        "src/http",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::cli",
            "tokio::",
            "actix",
            "std::fs",
        ],
    ),
    (
        "src/data_plane/exchange",
        &[
            "crate::data_plane::listener",
            "crate::data_plane::upstream",
            "crate::data_plane::proxy",
        ],
    ),
    (
        "src/data_plane/listener",
        &["crate::data_plane::upstream", "crate::data_plane::proxy"],
    ),
    (
        "src/data_plane/upstream",
        &["crate::data_plane::listener", "crate::data_plane::proxy"],
    ),
    ("src/data_plane/proxy", &["crate::data_plane::listener"]),
    (
        "src/data_plane/router/index",
        &["tokio::", "actix", "std::fs"],
    ),
    (
        "src/data_plane/balancer",
        &["tokio::", "actix", "std::fs", "SystemTime::now"],
    ),
    (
        "src/settings",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::cli",
        ],
    ),
    (
        "src/tls",
        &[
            "crate::control_plane",
            "crate::data_plane",
            "crate::plugins",
            "crate::cli",
        ],
    ),
    (
        "src/telemetry",
        &["crate::control_plane", "crate::data_plane", "crate::cli"],
    ),
    (
        "src/actor",
        &["crate::control_plane", "crate::data_plane", "crate::cli"],
    ),
    ("entity/src", &["langur::"]),
    ("migration/src", &["langur::"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = vec![root().join(dir)];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path).expect("a readable folder") {
                pending.push(entry.expect("a readable entry").path());
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).expect("readable source");
            let name = path.strip_prefix(root()).expect("inside the project");
            found.push((name.to_string_lossy().into_owned(), text));
        }
    }
    found
}

fn all_rust_files() -> Vec<(String, String)> {
    ["src", "entity/src", "migration/src", "tests"]
        .iter()
        .flat_map(|dir| rust_files(dir))
        .collect()
}

#[test]
fn imports_only_point_one_way() {
    let mut broken = Vec::new();
    for (module, forbidden) in FORBIDDEN {
        for (name, text) in all_rust_files()
            .iter()
            // The tests of a module may put it together with others.
            .filter(|(name, _)| name.starts_with(module) && !name.contains("/tests/"))
        {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for import in forbidden.iter().filter(|import| code.contains(**import)) {
                    broken.push(format!("{name}:{}: names {import}", number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_are_short_enough_to_read() {
    let mut long = Vec::new();
    for (name, text) in all_rust_files() {
        let lines = text.lines().count();
        if lines > FAIL_AT {
            long.push(format!("{name}: {lines} lines"));
        } else if lines > TALK_AT {
            println!("talk about {name}: {lines} lines");
        }
    }
    assert!(
        long.is_empty(),
        "split these (over {FAIL_AT} lines):\n{}",
        long.join("\n")
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = all_rust_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no module doc:\n{}", silent.join("\n"));
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    let mut silent = Vec::new();
    for (name, text) in rust_files("src") {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let explained = lines[number.saturating_sub(6)..number]
                .iter()
                .any(|l| l.contains("SAFETY"));
            if code.contains("unsafe {") && !explained {
                silent.push(format!("{name}:{}", number + 1));
            }
        }
    }
    assert!(
        silent.is_empty(),
        "unsafe without a SAFETY comment:\n{}",
        silent.join("\n")
    );
}
