//! The source as text: which files there are, and which module names which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The names on the way to a module, from the crate's root.
pub type Module = Vec<String>;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder of the project, with their text.
pub fn rust_files(dir: &str) -> Vec<(String, String)> {
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
    found.sort();
    found
}

/// The files of the library that are no tests.
pub fn own_files() -> Vec<(String, String)> {
    let is_test = |name: &str| {
        let file = name.rsplit('/').next().unwrap_or(name);
        let stem = file.trim_end_matches(".rs");
        name.contains("/tests/")
            || stem.ends_with("tests")
            || matches!(stem, "testing" | "test_support" | "killed_actors")
            || name.starts_with("src/simulation")
    };
    rust_files("src")
        .into_iter()
        .filter(|(name, _)| !is_test(name))
        .map(|(name, text)| (name, without_tests(&text)))
        .collect()
}

/// The code of a file without comments and its module of tests.
fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let tests = lines.windows(2).position(|pair| {
        let module = pair[1].starts_with("mod ") && pair[1].ends_with('{');
        pair[0].starts_with("#[cfg(test)]") && module
    });
    lines[..tests.unwrap_or(lines.len())].join("\n")
}

/// Which modules of the library name which others.
pub struct Graph {
    /// Of each module those it names, with what it takes from them.
    pub named: BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>,
}

impl Graph {
    pub fn read() -> Graph {
        let files: BTreeMap<Module, String> = own_files()
            .into_iter()
            .map(|(name, text)| (module_of(&name), text))
            .collect();
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let mut named = BTreeMap::new();
        for (module, text) in &files {
            let mut found: BTreeMap<Module, BTreeSet<String>> = BTreeMap::new();
            for path in paths(text) {
                let Some((target, rest)) = resolve(module, &path, &modules) else {
                    continue;
                };
                if target != *module {
                    found.entry(target).or_default().insert(rest);
                }
            }
            named.insert(module.clone(), found);
        }
        Graph { named }
    }

    /// Every step from a module to one that it names.
    pub fn steps(&self) -> impl Iterator<Item = (&Module, &Module, &BTreeSet<String>)> {
        self.named
            .iter()
            .flat_map(|(from, targets)| targets.iter().map(move |(to, what)| (from, to, what)))
    }
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module_of(file: &str) -> Module {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut names: Module = path.split('/').map(str::to_owned).collect();
    if matches!(
        names.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        names.pop();
    }
    names
}

/// Every path that a file names: those of its `use` declarations, and qualified ones in its code.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = next_use(rest) {
        code.push_str(&rest[..at]);
        let from = &rest[at..];
        let end = from.find(';').unwrap_or(from.len());
        let declaration = from[..end].split_once("use ").map_or("", |(_, tree)| tree);
        let declaration = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
        expand("", &declaration, &mut found);
        rest = &from[end..];
    }
    code.push_str(rest);
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    found.extend(
        code.split(|c: char| !is_name(c))
            .filter(|word| {
                ["crate::", "super::", "self::"]
                    .iter()
                    .any(|it| word.starts_with(it))
            })
            .map(str::to_owned),
    );
    found
}

/// Where the next line begins that is a `use` declaration.
fn next_use(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        let code = match code.strip_prefix("pub") {
            Some(code) if code.starts_with('(') => code.split_once(')').map_or("", |it| it.1),
            Some(code) => code,
            None => code,
        };
        if code.trim_start().starts_with("use ") {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// The paths of a tree: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let (mut depth, mut part) = (0, String::new());
    let mut parts = Vec::new();
    for c in tree.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    for part in parts {
        let part = part.trim();
        match part.split_once('{') {
            Some((before, inside)) => {
                let inside = inside.strip_suffix('}').unwrap_or(inside);
                expand(&format!("{prefix}{before}"), inside, found);
            }
            None if part.is_empty() => {}
            None => {
                let name = part.split(" as ").next().unwrap_or(part);
                found.push(format!("{prefix}{}", name.trim()));
            }
        }
    }
}

/// The module that a path leads to, and what is taken from it.
fn resolve(from: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<(Module, String)> {
    let mut names: Vec<&str> = path.split("::").filter(|name| !name.is_empty()).collect();
    let mut base = from.clone();
    match *names.first()? {
        "crate" => {
            base.clear();
            names.remove(0);
        }
        "self" => {
            names.remove(0);
        }
        "super" => {
            while names.first() == Some(&"super") {
                base.pop();
                names.remove(0);
            }
        }
        // A child module may be named without `self`.
        first => {
            base.push(first.to_owned());
            if !modules.contains(&base) {
                return None;
            }
            base.pop();
        }
    }
    base.extend(names.iter().map(|name| (*name).to_owned()));
    let mut rest = Vec::new();
    while !base.is_empty() && !modules.contains(&base) {
        rest.insert(0, base.pop()?);
    }
    Some((base, rest.join("::")))
}
