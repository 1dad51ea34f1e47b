//! A machine as the pages mean it: `/etc/langur`, `/var/lib/langur`, the addresses of the
//! defaults and `langur` in the path, each of them the test's own.

use super::blocks::Block;
use crate::harness::{BINARY, Node, eventually};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// One machine; what runs in the background ends with it.
pub struct Machine {
    /// Where the commands are run; holds `bin/` and `config/`.
    work: TempDir,
    /// The settings file of the default place, which is another one here.
    conf: PathBuf,
    /// What the text says, and what is meant; the first that fits counts.
    exchanged: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    background: RefCell<Vec<Child>>,
}

impl Machine {
    /// A machine with these folders for `/etc/langur` and `/var/lib/langur`.
    pub fn new(etc: &Path, var: &Path) -> Machine {
        let work = tempfile::tempdir().expect("a folder");
        let bin = work.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        let real_path = std::env::var("PATH").unwrap_or_default();
        let mut machine = Machine {
            exchanged: vec![
                ("/etc/langur".into(), etc.display().to_string()),
                ("/var/lib/langur".into(), var.display().to_string()),
            ],
            environment: BTreeMap::from([
                ("PATH".into(), format!("{}:{real_path}", bin.display())),
                ("REAL_PATH".into(), real_path),
                ("LANGUR_PREFIX".into(), var.display().to_string()),
            ]),
            background: RefCell::default(),
            conf: etc.join("langur.conf"),
            work,
        };
        machine.link("config");
        // An answer that is an error fails the command, unless the text asks for the status.
        machine.program(
            "curl",
            "PATH=$REAL_PATH\nfor one; do [ \"$one\" = -w ] && exec curl \"$@\"; done\n\
             exec curl --fail-with-body \"$@\"",
        );
        machine.install(Path::new(BINARY));
        machine
    }

    /// `langur` is this binary from now on.
    pub fn install(&mut self, binary: &Path) {
        let script = format!(
            "command=$1; shift\ncase $command in\n  start|health|status|doctor)\n    \
             [ -f {conf} ] && set -- -c {conf} \"$@\";;\nesac\nexec {binary} $command \"$@\"",
            conf = self.conf.display(),
            binary = binary.display(),
        );
        self.program("langur", &script);
    }

    /// A `cargo` that knows these commands and no others, with what is run for each.
    pub fn cargo(&mut self, commands: &[(&str, String)]) {
        let cases: String = commands
            .iter()
            .map(|(arguments, script)| format!("  '{arguments}') {script};;\n"))
            .collect();
        let other = "  *) echo \"cargo $*: unknown here\" >&2; exit 97;;\n";
        self.program("cargo", &format!("case \"$*\" in\n{cases}{other}esac"));
    }

    /// A file or folder of this repository, under its own name.
    pub fn link(&self, name: &str) {
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::os::unix::fs::symlink(real, self.path(name)).expect("a link");
    }

    /// The machine of a running node, with its settings in the environment.
    pub fn of(node: &Node, etc: &Path) -> Machine {
        let mut machine = Machine::new(etc, node.prefix());
        for (key, value) in node.settings() {
            machine.set(key, value);
        }
        machine
    }

    /// A program of that name, found before any other.
    pub fn program(&mut self, name: &str, script: &str) {
        let path = self.work.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// A setting, by the environment.
    pub fn set(&mut self, key: &str, value: &str) {
        self.variable(&format!("LANGUR_{}", key.to_uppercase()), value);
    }

    pub fn variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    /// Wherever the text has `said`, `meant` is meant.
    pub fn exchange(&mut self, said: &str, meant: &str) {
        self.exchanged.push((said.into(), meant.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The text with what is meant.
    pub fn meant(&self, text: &str) -> String {
        let all = self.exchanged.iter();
        all.fold(text.to_owned(), |text, (said, meant)| {
            text.replace(said, meant)
        })
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-ec").arg(self.meant(script));
        command.env_clear().envs(&self.environment);
        command.current_dir(self.work.path()).stdin(Stdio::null());
        command
    }

    /// Runs a block; it must succeed and print what the page says. What it printed, unless it runs
    /// in the background.
    #[track_caller]
    pub fn run(&mut self, block: &Block) -> String {
        println!("{}", block.at);
        if block.background {
            self.start(block);
            return String::new();
        }
        let printed = self.try_script(&block.script);
        let printed = printed.unwrap_or_else(|why| panic!("{}: {why}", block.at));
        block.check(&printed);
        printed
    }

    /// Runs a script; what it printed, or why it failed.
    pub fn try_script(&self, script: &str) -> Result<String, String> {
        let output = self.command(script).output().expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(printed),
            false => Err(format!(
                "{script}\n{}: {printed}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    /// Runs a block whose last command stays. That it has come that far, the caller waits for.
    fn start(&mut self, block: &Block) {
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.path("log"));
        let log = log.expect("a file");
        let mut command = self.command(&block.script);
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        // A group of its own: the shell is ended with what it started.
        command.process_group(0);
        let child = command.spawn().expect("sh runs");
        self.background.borrow_mut().push(child);
    }

    /// Waits for a condition; the log of what runs in the background is shown when it never comes,
    /// and at once when something there has ended.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        eventually(what, || {
            for child in &mut *self.background.borrow_mut() {
                let ended = child.try_wait().expect("our own child");
                assert_eq!(ended, None, "{what}: it has ended:\n{}", log());
            }
            ask().map_err(|why| format!("{why}\n{}", log()))
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.background.get_mut() {
            // SAFETY: kill(2) takes no pointers; the group is that of our own child, and has others
            // in it when the child itself has ended.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            let _ = child.wait();
        }
    }
}
