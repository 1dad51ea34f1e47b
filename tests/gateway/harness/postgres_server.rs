//! A PostgreSQL server of a test's own, which can be frozen and killed.

use super::postgres::PostgresDatabase;
use super::{eventually, free_address, unique_loopback};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server and its files.
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    address: SocketAddr,
    running: Child,
}

/// As whom the server runs, where the test is root: PostgreSQL refuses to. (with-postgres.sh has made
/// the user where it was missing.)
fn owner() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    (number(&["-u"]) == Some(0)).then_some(())?;
    Some((number(&["-u", "postgres"])?, number(&["-g", "postgres"])?))
}

fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let versions = installed.flatten().map(|entry| entry.path().join("bin"));
    let found = versions.filter(|bin| bin.join("initdb").exists()).max();
    found.unwrap_or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output();
        let output = output.expect("PostgreSQL is installed: see scripts/setup.sh");
        String::from_utf8_lossy(&output.stdout).trim().into()
    })
}

impl PostgresServer {
    pub fn start() -> PostgresServer {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = programs();
        if let Some((user, group)) = owner() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).expect("given away");
        }
        let address = free_address(unique_loopback());
        let mut made = as_owner(Command::new(programs.join("initdb")));
        made.arg("-D").arg(folder.path().join("data"));
        made.args(["-U", "langur", "--auth=trust", "--no-sync"]);
        let made = made
            .current_dir(folder.path())
            .output()
            .expect("initdb runs");
        let text = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{text}");
        let running = run(&folder, &programs, address);
        let server = PostgresServer {
            folder,
            programs,
            address,
            running,
        };
        server.wait_until_ready();
        server
    }

    /// Its one database.
    pub fn database(&self) -> PostgresDatabase {
        PostgresDatabase {
            host: self.address.ip().to_string(),
            port: self.address.port().to_string(),
            user: "langur".into(),
            database: "postgres".into(),
        }
    }

    fn wait_until_ready(&self) {
        eventually("PostgreSQL is ready", || {
            let asked = Command::new(self.programs.join("pg_isready"))
                .args(["-h", &self.address.ip().to_string()])
                .args(["-p", &self.address.port().to_string()])
                .output()
                .map_err(|err| err.to_string())?;
            asked.status.success().then_some(()).ok_or_else(|| {
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            })
        });
    }

    /// The server's processes: the first one, then those it has made.
    fn processes(&self) -> Vec<i32> {
        let first = self.running.id() as i32;
        let parent = |process: i32| -> Option<i32> {
            let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // After the name in parentheses, which may hold anything: state and parent.
            let rest = text.rsplit_once(") ")?.1;
            rest.split(' ').nth(1)?.parse().ok()
        };
        let all = std::fs::read_dir("/proc").expect("processes").flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut processes = vec![first];
        processes.extend(all.filter(|process| parent(*process) == Some(first)));
        processes
    }

    fn signal(&self, signal: i32) {
        // The first one is stopped before it can make another.
        for process in self.processes() {
            // SAFETY: kill(2) takes no pointers; the processes are our child and its children.
            unsafe { libc::kill(process, signal) };
        }
    }

    /// From now on it takes what it is sent, and says nothing.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
        // A child that was made just before.
        self.signal(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    /// SIGKILL to all of it.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.running.wait();
    }

    /// Starts it again on the files that are there.
    pub fn restart(&mut self) {
        self.running = run(&self.folder, &self.programs, self.address);
        self.wait_until_ready();
    }
}

fn as_owner(mut command: Command) -> Command {
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

fn run(folder: &TempDir, programs: &std::path::Path, address: SocketAddr) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .expect("a log");
    let mut server = as_owner(Command::new(programs.join("postgres")));
    server.arg("-D").arg(folder.path().join("data"));
    server.arg("-k").arg(folder.path());
    server.args(["-p", &address.port().to_string()]);
    server.args(["-c", &format!("listen_addresses={}", address.ip())]);
    server.args(["-c", "fsync=off"]).current_dir(folder.path());
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    server.spawn().expect("postgres runs")
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}
