//! Reads the source as text and fails when the layout's rules are broken: who may import
//! whom, how long a file may be, and that every file says what it is for.

mod layout;
mod source;

use source::rust_files;

/// Lines of a file from which it should be split soon, and from which it must be.
const TALK_AT: usize = 400;
const FAIL_AT: usize = 800;

fn all_rust_files() -> Vec<(String, String)> {
    ["src", "entity/src", "migration/src", "tests"]
        .iter()
        .flat_map(|dir| rust_files(dir))
        .collect()
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
