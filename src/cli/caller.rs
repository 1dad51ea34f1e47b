//! By which name the program was called. A link named `kong` makes it a stand-in for Kong's command:
//! its defaults and exit codes are Kong's then.

use super::Exit;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

/// The name that this program answers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caller {
    #[default]
    Langur,
    Kong,
}

impl Caller {
    /// By the first argument of a command line, whatever folder it is in.
    pub fn of(program: Option<&OsString>) -> Caller {
        let name = program.and_then(|program| Path::new(program).file_name());
        match name == Some(OsStr::new("kong")) {
            true => Caller::Kong,
            false => Caller::Langur,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Caller::Langur => "langur",
            Caller::Kong => "kong",
        }
    }
}

/// The commands of `kong one && kong two`, as container definitions give them where no shell takes
/// them apart. The program's name is repeated before each.
pub fn chain(arguments: Vec<OsString>) -> Vec<Vec<OsString>> {
    let Some(program) = arguments.first().cloned() else {
        return vec![arguments];
    };
    let mut commands: Vec<Vec<OsString>> = arguments
        .split(|argument| argument == "&&")
        .map(<[_]>::to_vec)
        .collect();
    for command in commands.iter_mut().skip(1) {
        match command.first() {
            Some(first) if Caller::of(Some(first)) == Caller::Kong => command[0] = program.clone(),
            _ => command.insert(0, program.clone()),
        }
    }
    commands
}

/// Runs one command of a chain.
///
/// # Errors
/// What it exited with.
pub fn run(command: &[OsString]) -> Result<(), Exit> {
    let program = std::env::current_exe().map_err(|_| Exit::Failure)?;
    let status = std::process::Command::new(program)
        .arg0("kong")
        .args(command.iter().skip(1))
        .status();
    match status.ok().and_then(|status| status.code()) {
        Some(0) => Ok(()),
        code => Err(code.and_then(Exit::of_code).unwrap_or(Exit::Failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_10_the_name_of_the_program_decides() {
        for (program, expected) in [
            ("kong", Caller::Kong),
            ("/usr/local/bin/kong", Caller::Kong),
            ("langur", Caller::Langur),
            ("/opt/kong/langur", Caller::Langur),
            ("kong2", Caller::Langur),
            ("", Caller::Langur),
        ] {
            assert_eq!(Caller::of(Some(&program.into())), expected, "{program}");
        }
        assert_eq!(Caller::of(None), Caller::Langur);
    }

    #[test]
    fn trial_10_a_chain_without_a_shell() {
        let check = |line: &str, expected: &[&str]| {
            let words = line.split(' ').map(OsString::from).collect();
            let found: Vec<_> = chain(words)
                .iter()
                .map(|c| c.join(OsStr::new(" ")))
                .collect();
            assert_eq!(found, expected, "{line}");
        };
        check("kong health", &["kong health"]);
        check(
            "kong migrations up && kong migrations finish",
            &["kong migrations up", "kong migrations finish"],
        );
        check("kong version && health", &["kong version", "kong health"]);
        check("kong version &&", &["kong version", "kong"]);
    }
}
