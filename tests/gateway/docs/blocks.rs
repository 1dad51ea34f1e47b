//! The fenced blocks of the pages, and what their first lines say.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Quickstart,
    ByHand,
    BuildMachine,
    ControlPlaneMachine,
    DataPlaneMachine,
    ControlPlane,
    DataPlane,
    StoppedDataPlane,
    NewDataPlane,
    Renewal,
    SqliteBackup,
    SqliteRestore,
    PostgresBackup,
    PostgresRestore,
    Development,
    /// The composition's own test runs it.
    Compose,
}

impl Place {
    /// The places that are made here.
    pub const RUN: [Place; 15] = [
        Place::Quickstart,
        Place::ByHand,
        Place::BuildMachine,
        Place::ControlPlaneMachine,
        Place::DataPlaneMachine,
        Place::ControlPlane,
        Place::DataPlane,
        Place::StoppedDataPlane,
        Place::NewDataPlane,
        Place::Renewal,
        Place::SqliteBackup,
        Place::SqliteRestore,
        Place::PostgresBackup,
        Place::PostgresRestore,
        Place::Development,
    ];

    fn parse(text: &str) -> Option<Place> {
        Some(match text {
            "quickstart" => Place::Quickstart,
            "build-machine" => Place::BuildMachine,
            "control-plane-machine" => Place::ControlPlaneMachine,
            "data-plane-machine" => Place::DataPlaneMachine,
            "control-plane" => Place::ControlPlane,
            "data-plane" => Place::DataPlane,
            "stopped-data-plane" => Place::StoppedDataPlane,
            "new-data-plane" => Place::NewDataPlane,
            "renewal" => Place::Renewal,
            "sqlite-backup" => Place::SqliteBackup,
            "sqlite-restore" => Place::SqliteRestore,
            "postgres-backup" => Place::PostgresBackup,
            "postgres-restore" => Place::PostgresRestore,
            "by-hand" => Place::ByHand,
            "development" => Place::Development,
            "compose" => Place::Compose,
            _ => return None,
        })
    }
}

/// A shell block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The page and the line.
    pub at: String,
    pub place: Place,
    /// The last command goes on while later blocks run.
    pub background: bool,
    pub script: String,
    /// What it must print, line by line, if the page says so.
    pub output: Option<String>,
}

impl Block {
    /// Fails unless the expected lines are among what was printed, in order.
    #[track_caller]
    pub fn check(&self, printed: &str) {
        let mut lines = printed.lines();
        for expected in self.output.iter().flat_map(|output| output.lines()) {
            let found = lines.any(|line| line.contains(expected.trim()));
            assert!(
                found,
                "{}: no '{expected}' in its place in:\n{printed}",
                self.at
            );
        }
    }
}

/// Languages of blocks that are no commands.
const OTHER: [&str; 5] = ["text", "json", "yaml", "conf", "rust"];

/// The shell blocks of all pages. Panics at a block that does not say what it is.
pub fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(of_page).collect()
}

/// What stands in backticks within sentences and tables and begins as a recipe, or as a path of
/// this repository does: the page and the command.
pub fn commands_in_sentences() -> Vec<(String, String)> {
    let commands = |page: &PathBuf| {
        let (name, text) = read(page);
        spans_of(&text)
            .map(|span| (name.clone(), span.to_owned()))
            .collect::<Vec<_>>()
    };
    pages().iter().flat_map(commands).collect()
}

fn spans_of(text: &str) -> impl Iterator<Item = &str> {
    // The languages and scripts of blocks are every second part between fences.
    let sentences = text.split("```").step_by(2);
    let spans = sentences.flat_map(|part| part.split('`').skip(1).step_by(2));
    let begins = ["just ", "scripts/", "benches/", "tests/", "config/"];
    spans.filter(move |span| begins.iter().any(|begin| span.starts_with(begin)))
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("docs");
    let mut pages: Vec<_> = docs
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages.insert(0, root.join("README.md"));
    pages.push(root.join("ARCHITECTURE.md"));
    pages
}

fn of_page(page: &PathBuf) -> Vec<Block> {
    let (name, text) = read(page);
    blocks_of(&name, &text)
}

/// The name of a page within the repository, and its text.
fn read(page: &PathBuf) -> (String, String) {
    let text = fs::read_to_string(page).expect("a page");
    let name = page
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(page);
    (name.display().to_string(), text)
}

fn blocks_of(name: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Whether only blank lines have come since the last shell block.
    let mut adjacent = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            adjacent &= line.trim().is_empty();
            continue;
        };
        let at = format!("{name}:{}", number + 1);
        let body: Vec<_> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```")
            .collect();
        let body = body.join("\n");
        let (language, marks) = info.split_once(' ').unwrap_or((info, ""));
        match language {
            "sh" => {
                blocks.push(shell(at, marks, body));
                adjacent = true;
            }
            "text" if adjacent => {
                if let Some(block) = blocks.last_mut() {
                    block.output = Some(body);
                }
                adjacent = false;
            }
            other => {
                assert!(OTHER.contains(&other), "{at}: unknown language '{other}'");
                adjacent = false;
            }
        }
    }
    blocks
}

fn shell(at: String, marks: &str, script: String) -> Block {
    let marks = marks.trim();
    let (place, background) = match marks.strip_suffix(" background") {
        Some(place) => (place, true),
        None => (marks, false),
    };
    let place = Place::parse(place)
        .unwrap_or_else(|| panic!("{at}: 'sh {marks}' does not say where the block runs"));
    Block {
        at,
        place,
        background,
        script,
        output: None,
    }
}

#[test]
fn first_lines_and_outputs() {
    let text = "a\n```sh quickstart background\nx\n```\n\n```text\n1\n```\nb\n```text\n2\n```\n\
                ```sh compose\ny\nz\n```\n```json\n{}\n```\n";
    let blocks = blocks_of("p", text);
    assert_eq!(blocks.len(), 2);
    assert_eq!(
        (&blocks[0].place, blocks[0].background),
        (&Place::Quickstart, true)
    );
    assert_eq!(
        (blocks[0].at.as_str(), blocks[0].output.as_deref()),
        ("p:2", Some("1"))
    );
    assert_eq!(blocks[1].place, Place::Compose);
    assert_eq!(
        (blocks[1].script.as_str(), &blocks[1].output),
        ("y\nz", &None)
    );
    for wrong in [
        "```sh\n```",
        "```sh somewhere\n```",
        "```sh not-run=it builds\n```",
        "```\n```",
        "```bash\n```",
    ] {
        let refused = std::panic::catch_unwind(|| blocks_of("p", wrong)).is_err();
        assert!(refused, "{wrong}");
    }
}

#[test]
fn commands_of_sentences() {
    let text = "a `just up` b `c`\n```sh compose\njust `no`\n```\n| `scripts/x.sh y` | `just` |";
    let found: Vec<_> = spans_of(text).collect();
    assert_eq!(found, ["just up", "scripts/x.sh y"]);
}
