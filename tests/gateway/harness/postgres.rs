//! A PostgreSQL database of a test's own, on the server that `scripts/with-postgres.sh` runs.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// psql looks first where Langur's tables are.
const SEARCH_PATH: &str = "-c search_path=langur,public";

/// Where the server is, and a fresh database on it.
#[derive(Clone, Debug)]
pub struct PostgresDatabase {
    pub host: String,
    pub port: String,
    pub user: String,
    pub database: String,
}

impl PostgresDatabase {
    /// A fresh database. Panics when there is no server: a test about PostgreSQL must not
    /// pass without one.
    pub fn create() -> PostgresDatabase {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("LANGUR_TEST_POSTGRES")
            .expect("no PostgreSQL: run the tests with `just test` (scripts/with-postgres.sh)");
        let rest = url.strip_prefix("postgres://").expect("a postgres:// URL");
        let (user, rest) = rest.split_once('@').expect("a user in the URL");
        let (address, _) = rest.split_once('/').expect("a database in the URL");
        let (host, port) = address.split_once(':').expect("a port in the URL");
        let server = PostgresDatabase {
            host: host.into(),
            port: port.into(),
            user: user.into(),
            database: "postgres".into(),
        };
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("langur_{}_{n}", std::process::id());
        server.sql(&format!("CREATE DATABASE {database}"));
        PostgresDatabase { database, ..server }
    }

    /// Runs one statement with psql and returns what it printed.
    pub fn sql(&self, statement: &str) -> String {
        let output = Command::new("psql")
            .args([
                "-h",
                &self.host,
                "-p",
                &self.port,
                "-U",
                &self.user,
                "-d",
                &self.database,
            ])
            .args(["-At", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .env("PGOPTIONS", SEARCH_PATH)
            .output()
            .expect("psql runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// A psql session that stays open until it is dropped: for holding locks.
pub struct Session(std::process::Child);

impl PostgresDatabase {
    /// Runs statements in a session that stays open; returns when they are done.
    pub fn session(&self, statements: &str) -> Session {
        use std::io::{BufRead, BufReader, Write};
        let mut child = Command::new("psql")
            .args([
                "-h",
                &self.host,
                "-p",
                &self.port,
                "-U",
                &self.user,
                "-d",
                &self.database,
                "-Atq",
            ])
            .env("PGOPTIONS", SEARCH_PATH)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("psql runs");
        let stdin = child.stdin.as_mut().expect("a piped stdin");
        writeln!(stdin, "{statements}\nSELECT 'done';").expect("written");
        let stdout = child.stdout.as_mut().expect("a piped stdout");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("an answer");
        assert_eq!(line.trim(), "done");
        Session(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
