//! One Langur process.

use super::PATIENCE;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A loopback address that no other test of this machine uses: ports chosen on it stay free
/// between choosing and binding, also over a restart of the node.
pub fn unique_loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, a, b, _] = std::process::id().to_be_bytes();
    let [_, _, c, d] = (std::process::id() << 8 | (n & 0xff)).to_be_bytes();
    Ipv4Addr::new(127, 1 + (a ^ b) % 250, 1 + c % 250, 1 + d % 250)
}

/// A port that is free on this address now, and that nobody else was given.
pub fn free_address(ip: Ipv4Addr) -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        // The system may choose a port again as soon as it is closed.
        if GIVEN.lock().expect("the list").insert(address) {
            return address;
        }
    }
}

/// The binary that people run.
pub const BINARY: &str = env!("CARGO_BIN_EXE_langur");

/// Another build of it, from `examples/`: `cargo test --workspace` builds those, and so does
/// `cargo build --examples`.
pub fn example(name: &str) -> PathBuf {
    let folder = Path::new(BINARY).parent().expect("a folder");
    let path = folder.join("examples").join(name);
    assert!(
        path.exists(),
        "{}: run cargo build --examples",
        path.display()
    );
    path
}

/// An address where nobody listens, nor ever will.
pub fn closed_address() -> SocketAddr {
    free_address(unique_loopback())
}

/// A process and the thread that reads its log.
struct Process {
    child: Child,
    reader: JoinHandle<()>,
}

impl Process {
    /// What it ended with; from then on its log is whole.
    fn end(mut self) -> ExitStatus {
        let status = self.child.wait().expect("our own child");
        self.reader.join().expect("the log is read");
        status
    }
}

/// The process of a node, while nobody has asked it to end.
type Running = Mutex<Option<Process>>;

thread_local! {
    /// The nodes that the test of this thread has started.
    static STARTED: RefCell<Vec<(String, Weak<Running>)>> = const { RefCell::new(Vec::new()) };
}

/// Panics when a node of this test has ended by itself: what is waited for will never come. What it
/// logged is printed when it is dropped.
#[track_caller]
pub fn expect_all_run() {
    let ended = |(name, running): &(String, Weak<Running>)| {
        let running = running.upgrade()?;
        let mut running = running.lock().expect("a process");
        let status = running.as_mut()?.child.try_wait().ok()??;
        Some(format!("{name} has ended by itself: {status}"))
    };
    let ended = STARTED.with_borrow(|nodes| nodes.iter().find_map(ended));
    if let Some(ended) = ended {
        panic!("{ended}");
    }
}

/// A running node and what it logged.
pub struct Node {
    /// A command that runs the binary, such as one that takes rights away.
    wrapper: Vec<String>,
    binary: PathBuf,
    settings: BTreeMap<String, String>,
    arguments: Vec<String>,
    running: Arc<Running>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// Starts `langur start` with these settings, given by the environment alone.
    pub fn start(settings: BTreeMap<String, String>) -> Node {
        Node::start_with(settings, &[])
    }

    /// The same, with arguments beside them.
    pub fn start_with(settings: BTreeMap<String, String>, arguments: &[&str]) -> Node {
        Node::start_of(Path::new(BINARY), settings, arguments)
    }

    /// The same, run by another command, which is given the binary and its arguments.
    pub fn start_under(wrapper: &[&str], settings: BTreeMap<String, String>) -> Node {
        Node::begin(wrapper, Path::new(BINARY), settings, &[])
    }

    /// The same, of another build.
    pub fn start_of(binary: &Path, settings: BTreeMap<String, String>, arguments: &[&str]) -> Node {
        Node::begin(&[], binary, settings, arguments)
    }

    fn begin(
        wrapper: &[&str],
        binary: &Path,
        settings: BTreeMap<String, String>,
        arguments: &[&str],
    ) -> Node {
        let mut node = Node {
            wrapper: wrapper.iter().map(|part| (*part).into()).collect(),
            binary: binary.into(),
            settings,
            arguments: arguments
                .iter()
                .map(|argument| (*argument).into())
                .collect(),
            running: Arc::default(),
            log: Arc::default(),
        };
        let name = format!("{} {}", node.setting("role"), node.setting("prefix"));
        let running = Arc::downgrade(&node.running);
        STARTED.with_borrow_mut(|nodes| nodes.push((name, running)));
        node.restart();
        node
    }

    /// Starts the process again with the same settings.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command
            .arg("start")
            .args(&self.arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.stderr(Stdio::piped());
        for (key, value) in &self.settings {
            command.env(format!("LANGUR_{}", key.to_uppercase()), value);
        }
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("a piped stderr");
        let log = Arc::clone(&self.log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.lock().expect("the log").push(line);
            }
        });
        *self.running.lock().expect("a process") = Some(Process { child, reader });
    }

    fn take(&mut self) -> Option<Process> {
        self.running.lock().expect("a process").take()
    }

    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.settings.insert(key.into(), value.to_string());
    }

    pub fn unset(&mut self, key: &str) {
        self.settings.remove(key);
    }

    /// All of its settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.settings.iter();
        all.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map_or("", String::as_str)
    }

    pub fn prefix(&self) -> &Path {
        Path::new(self.setting("prefix"))
    }

    /// Another command of the binary with the settings of this node.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env_clear();
        for (key, value) in &self.settings {
            command.env(format!("LANGUR_{}", key.to_uppercase()), value);
        }
        command.output().expect("the binary runs")
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.take() {
            let _ = process.child.kill();
            process.end();
        }
    }

    /// Sends a signal and waits for the exit code.
    pub fn stop(&mut self, signal: i32) -> Option<i32> {
        self.signal(signal);
        self.ended()
    }

    /// Waits until the process has ended by itself; the exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let mut process = self.take()?;
        let start = Instant::now();
        while process.child.try_wait().expect("our own child").is_none() {
            if start.elapsed() > PATIENCE {
                let _ = process.child.kill();
                process.end();
                panic!("never: {} ends", self.setting("prefix"));
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        process.end().code()
    }

    /// The events of its log with this message.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let lines = self.log();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        events
            .filter(|event: &Value| event["message"] == message)
            .collect()
    }

    pub fn signal(&self, signal: i32) {
        if let Some(process) = &*self.running.lock().expect("a process") {
            // SAFETY: kill(2) takes no pointers; the process is our own child and not yet taken.
            unsafe { libc::kill(process.child.id() as i32, signal) };
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail = &log[log.len().saturating_sub(40)..];
            eprintln!(
                "--- {} {}\n{}",
                self.setting("role"),
                self.setting("prefix"),
                tail.join("\n")
            );
        }
        self.kill();
    }
}
