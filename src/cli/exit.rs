//! Exit codes: the one place that says what they mean. The numbers are those of sysexits.h.

use std::process::ExitCode;

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Failure = 1,
    NotBootstrapped = 3,
    NewMigrations = 5,
    Usage = 64,
    NoInput = 66,
    Unavailable = 69,
    Internal = 70,
    System = 71,
    CannotCreate = 73,
    Io = 74,
    Config = 78,
}

impl Exit {
    /// All of them, in order.
    pub const ALL: [Exit; 12] = [
        Exit::Ok,
        Exit::Failure,
        Exit::NotBootstrapped,
        Exit::NewMigrations,
        Exit::Usage,
        Exit::NoInput,
        Exit::Unavailable,
        Exit::Internal,
        Exit::System,
        Exit::CannotCreate,
        Exit::Io,
        Exit::Config,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The one with this number.
    pub fn of_code(code: i32) -> Option<Exit> {
        Exit::ALL
            .into_iter()
            .find(|exit| i32::from(exit.code()) == code)
    }

    /// One line for the help text.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done; the node stopped as it was told to",
            Exit::Failure => "failed for a reason that has no number of its own",
            Exit::NotBootstrapped => "kong migrations list: the database has no tables yet",
            Exit::NewMigrations => "kong migrations list: some migrations are not applied",
            Exit::Usage => "the command line is wrong",
            Exit::NoInput => "a file that was named cannot be read",
            Exit::Unavailable => "something needed does not answer: the node, the database",
            Exit::Internal => "a bug",
            Exit::System => "the system refused: a port is taken, a limit is reached",
            Exit::CannotCreate => "a file cannot be created, or is there already",
            Exit::Io => "reading or writing failed",
            Exit::Config => "the settings are wrong",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit codes as the help text shows them.
pub(super) fn help() -> String {
    let rows = Exit::ALL.map(|exit| format!("  {:>2}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", rows.join("\n"))
}
