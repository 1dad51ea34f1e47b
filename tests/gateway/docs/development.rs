//! What the pages say to those who work on Langur: blocks, and commands within sentences.

use super::blocks::{Place, commands_in_sentences};
use super::machine::Machine;
use super::of;
use crate::harness::BINARY;
use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What is run of `cargo test --workspace`: one story, which needs the server that comes with it.
const STORY: &str = "docs::stories::postgres_is_backed_up_and_restored";

#[test]
fn in_a_copy_of_the_repository() {
    let nowhere = Path::new("/nonexistent");
    let mut machine = Machine::new(nowhere, nowhere);
    for part in ["Justfile", "scripts", "benches"] {
        machine.link(part);
    }
    // Version managers of the tools keep their files there.
    machine.variable("HOME", &std::env::var("HOME").unwrap_or_default());
    let tests = std::env::current_exe().expect("this binary");
    machine.cargo(&[
        (
            "test --workspace",
            format!("PATH=$REAL_PATH exec {} --exact {STORY}", tests.display()),
        ),
        (
            "build --profile dist",
            format!("mkdir -p target/dist && ln -sf {BINARY} target/dist/langur"),
        ),
    ]);
    for block in of(Place::Development) {
        let printed = machine.run(&block);
        let proof = match block.script.contains("bench") {
            true => "| GET 1 MiB, 16 connections |",
            false => "test result: ok. 1 passed",
        };
        assert!(
            printed.contains(proof),
            "{}: no '{proof}' in:\n{printed}",
            block.at
        );
    }
}

/// What is shortened above, `.ci/run` runs in full.
#[test]
fn the_last_command_of_ci_is_that_of_just_test() {
    let script = fs::read_to_string(Path::new(ROOT).join(".ci/run")).expect(".ci/run");
    let recipe = just(&["--dry-run", "test"]).expect("a recipe");
    assert_eq!(script.lines().last(), Some(recipe.trim()));
}

#[test]
fn commands_in_sentences_exist() {
    let mut wrong = Vec::new();
    let mut recipes = 0;
    for (page, command) in commands_in_sentences() {
        let words: Vec<_> = command.split_whitespace().collect();
        let trouble = match words.as_slice() {
            ["just", recipe] => just(&["--show", recipe]).err(),
            ["just", call @ ..] => just(&[&["--dry-run"], call].concat()).err(),
            [path, ..] if !Path::new(ROOT).join(path).exists() => Some("is not there".into()),
            _ => None,
        };
        recipes += usize::from(words[0] == "just");
        wrong.extend(trouble.map(|why| format!("{page}: {command}: {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(recipes > 10, "only {recipes} are found");
}

/// What just says, which is on standard error for a dry run.
fn just(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("just")
        .args(arguments)
        .current_dir(ROOT)
        .output();
    let output = output.map_err(|err| format!("just: {err}: run scripts/setup.sh"))?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(printed),
        false => Err(printed),
    }
}
