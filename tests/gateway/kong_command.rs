//! The binary under the name `kong`: what scripts and compose files written for Kong call.

use crate::harness::{BINARY, call, eventually, free_address, get, unique_loopback};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A machine on which `kong` is this binary; a node in the background ends with it.
pub struct Machine {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// With a prefix and addresses of its own, as `KONG_*` variables.
    pub fn new() -> Machine {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(BINARY, folder.path().join("kong")).expect("a link");
        let mut machine = Machine {
            folder,
            variables: Vec::new(),
        };
        let prefix = machine.path("prefix").display().to_string();
        machine.set("KONG_PREFIX", &prefix);
        let ip = unique_loopback();
        for name in [
            "KONG_PROXY_LISTEN",
            "KONG_ADMIN_LISTEN",
            "KONG_STATUS_LISTEN",
        ] {
            machine.set(name, &free_address(ip).to_string());
        }
        machine
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("kong"))
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .output()
            .expect("it runs")
    }

    /// Runs `kong …`, which must exit with this code; what it printed.
    #[track_caller]
    pub fn kong(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let text = streams.concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    fn pid_file(&self) -> PathBuf {
        self.path("prefix/pids/nginx.pid")
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.pid_file()).unwrap_or_default()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("prefix/logs/error.log")).unwrap_or_default()
    }

    fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.variable("KONG_ADMIN_LISTEN"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log\n{}", self.log());
        }
        self.output(&["stop"]);
    }
}

#[test]
fn trial_10_a_node_in_the_background_is_told_by_its_prefix() {
    let machine = Machine::new();
    assert!(machine.kong(&["health"], 1).contains("status_listen"));
    for nobody in [&["stop"][..], &["quit"], &["reload"]] {
        assert!(
            machine.kong(nobody, 1).contains("no node runs in"),
            "{nobody:?}"
        );
    }
    // Options that scripts give.
    let started = machine.kong(
        &[
            "start",
            "--nginx-conf",
            "custom.template",
            "--run-migrations",
        ],
        0,
    );
    assert!(
        started.contains("--nginx-conf is accepted and has no effect"),
        "{started}"
    );
    // It serves already.
    get(&machine.admin("/")).expect("an answer").expect(200);
    assert!(machine.kong(&["health"], 0).contains("healthy"));
    let first = machine.pid();
    assert!(first.trim().parse::<u32>().is_ok(), "{first:?}");
    assert!(
        machine
            .kong(&["start"], 1)
            .contains("a node runs already in")
    );

    machine.kong(&["reload"], 0);
    eventually("the settings are read again", || {
        let log = machine.log();
        if log.contains("settings read again") {
            Ok(())
        } else {
            Err(log)
        }
    });
    machine.kong(&["restart"], 0);
    get(&machine.admin("/")).expect("an answer").expect(200);
    assert_ne!(machine.pid(), first);

    machine.kong(&["quit", "--timeout", "60", "--wait", "0"], 0);
    assert!(get(&machine.admin("/")).is_err());
    assert!(!machine.pid_file().exists());
    machine.kong(&["stop"], 1);
    machine.kong(
        &[
            "restart",
            "-p",
            &machine.path("prefix").display().to_string(),
        ],
        0,
    );
    machine.kong(
        &["stop", "-p", &machine.path("prefix").display().to_string()],
        0,
    );
    assert!(get(&machine.admin("/")).is_err());
}

#[test]
fn trial_10_a_start_that_fails_in_the_background_says_why() {
    let mut machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    machine.set("KONG_PROXY_LISTEN", &address);
    let told = machine.kong(&["start"], 1);
    assert!(
        told.contains("proxy_listen") && told.contains(&address),
        "{told}"
    );
    machine.set("KONG_PROXY_LISTEN", "nonsense");
    let told = machine.kong(&["start"], 1);
    assert!(told.contains("proxy_listen must be of form"), "{told}");
    assert!(!machine.pid_file().exists());
}

#[test]
fn trial_10_verbs_of_scripts() {
    let mut machine = Machine::new();
    assert_eq!(machine.kong(&["version"], 0), "3.9.3\n");
    assert!(machine.kong(&["version", "-a"], 0).contains("langur "));
    assert!(machine.kong(&["nope"], 1).contains("nope"));
    machine.kong(&["--help"], 0);

    // What `config init` writes is a configuration that `config parse` takes.
    machine.kong(&["config", "init"], 0);
    assert!(
        machine
            .kong(&["config", "parse", "kong.yml"], 0)
            .contains("parse successful")
    );
    assert!(
        machine
            .kong(&["config", "init"], 1)
            .contains("kong.yml is there already")
    );
    machine.kong(&["config", "parse", "nope.yml"], 1);
    machine.kong(&["hybrid", "gen_cert", "cluster.crt", "cluster.key"], 0);
    assert!(machine.path("cluster.crt").exists());

    assert!(
        machine
            .kong(&["prepare", "--nginx-conf", "x"], 0)
            .contains("prepared")
    );
    assert!(machine.path("prefix/kong.id").exists());

    machine.set("MY_SECRET", "swordfish");
    machine.set("ANY_OTHER", r#"{"field": "tuna"}"#);
    for (reference, expected) in [
        ("env/my-secret", "swordfish\n"),
        ("vault://env/my-secret", "swordfish\n"),
        ("{vault://env/my-secret}", "swordfish\n"),
        ("env/any-other/field", "tuna\n"),
    ] {
        assert_eq!(machine.kong(&["vault", "get", reference], 0), expected);
    }
    let told = machine.kong(&["vault", "get", "env/nope"], 1);
    assert!(
        told.contains("the environment variable NOPE is not set"),
        "{told}"
    );
}

#[test]
fn trial_10_a_chain_that_no_shell_takes_apart() {
    let machine = Machine::new();
    let chain = ["migrations", "up", "&&", "kong", "migrations", "finish"];
    let told = machine.kong(&chain, 0);
    assert!(told.contains("the schema is up to date"), "{told}");
    assert!(told.contains("no pending migrations to finish"), "{told}");
    let told = machine.kong(&["config", "parse", "nope.yml", "&&", "kong", "version"], 1);
    assert!(!told.contains("3.9.3"), "{told}");
}

#[test]
fn trial_10_nginx_daemon_off_stays_in_the_foreground() {
    let machine = Machine::new();
    for command in [&["start"][..], &["docker-start"]] {
        let mut child = Command::new(machine.path("kong"))
            .args(command)
            .env_clear()
            .envs(machine.variables.iter().map(|(name, value)| (name, value)))
            // The command that containers run ignores it.
            .env(
                "KONG_NGINX_DAEMON",
                if command[0] == "start" { "off" } else { "on" },
            )
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        eventually("it serves", || get(&machine.admin("/")).map(drop));
        assert!(child.try_wait().expect("our child").is_none());
        assert_eq!(machine.pid().trim(), child.id().to_string());
        machine.kong(&["quit", "-t", "60"], 0);
        assert_eq!(child.wait().expect("our child").code(), Some(0));
    }
}

#[test]
fn trial_10_signals_of_nginx_end_nothing() {
    let machine = Machine::new();
    machine.kong(&["start"], 0);
    let pid = machine.pid().trim().to_owned();
    for signal in ["-USR1", "-USR2", "-WINCH"] {
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }
    eventually("both are logged", || {
        let log = machine.log();
        match log.contains("SIGUSR1") && log.contains("SIGUSR2") {
            true => Ok(()),
            false => Err(log),
        }
    });
    get(&machine.admin("/")).expect("an answer").expect(200);
    machine.kong(&["stop"], 0);
}

/// A file of an old Kong: it serves, and each name that does nothing is in the log once.
#[test]
fn trial_07_an_old_kong_conf_starts_with_warnings() {
    let mut machine = Machine::new();
    let conf = machine.path("kong.conf");
    let text = "client_max_body_size = 0\nssl = off\ncassandra_contact_points = 10.0.0.1\n\
                nginx_http_gzip = on\nplugins = bundled, my-own\nadmin_listen = 127.0.0.1:1\n";
    std::fs::write(&conf, text).expect("written");
    let conf = conf.display().to_string();
    machine.set("KONG_CLIENT_MAX_BODY_SIZE", "0");
    assert!(machine.kong(&["check", &conf], 0).contains("is valid"));
    let strict = machine.kong(&["check", "--strict", &conf], 1);
    assert!(strict.contains("error: "), "{strict}");
    let flag = machine.kong(&["start", "-c", &conf, "--set", "ssl=off"], 1);
    assert!(flag.contains("unknown setting 'ssl' in a flag"), "{flag}");
    machine.kong(&["start", "-c", &conf], 0);
    get(&machine.admin("/")).expect("an answer").expect(200);
    let log = machine.log();
    for name in [
        "client_max_body_size",
        "ssl",
        "cassandra_contact_points",
        "nginx_http_gzip",
        "my-own",
    ] {
        let about = |line: &&str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let warning = event["warning"].as_str().unwrap_or_default();
            warning
                .split(['\'', ' ', ':'])
                .any(|word| word == name || word == format!("{name};"))
        };
        assert_eq!(log.lines().filter(about).count(), 1, "{name}: {log}");
    }
    machine.kong(&["stop"], 0);
}

/// Secrets reach a node by files and by references, and are nowhere in its log.
#[test]
fn trial_11_settings_from_files_and_references() {
    let mut machine = Machine::new();
    let admin = machine.variable("KONG_ADMIN_LISTEN").to_owned();
    let file = |machine: &Machine, name: &str, text: &str| {
        std::fs::write(machine.path(name), text).expect("written");
        machine.path(name).display().to_string()
    };
    let listen = file(&machine, "listen", &format!("{admin}\n"));
    let password = file(&machine, "password", "hunter2\n");
    machine
        .variables
        .retain(|(name, _)| name != "KONG_ADMIN_LISTEN");
    machine.set("KONG_DATABASE", "sqlite");
    machine.set("KONG_ADMIN_LISTEN_FILE", &listen);
    machine.set("KONG_PG_PASSWORD_FILE", &password);
    machine.set("KONG_VAULT_ENV_PREFIX", "SECRET_");
    machine.set("KONG_REQUEST_DEBUG_TOKEN", "{vault://env/unused}");
    machine.set("KONG_SQLITE_PATH", "{vault://env/path}");
    machine.set("SECRET_PATH", "hunter3.db");
    machine.kong(&["start"], 0);
    let reply = get(&format!("http://{admin}/"))
        .expect("an answer")
        .expect(200);
    assert_eq!(reply["configuration"]["sqlite_path"], "{vault://env/path}");
    assert_eq!(reply["configuration"]["pg_password"], "******");
    assert!(machine.path("prefix/hunter3.db").exists());
    assert!(!machine.log().contains("hunter"), "{}", machine.log());
    machine.kong(&["stop"], 0);

    machine.set("KONG_PG_USER_FILE", "/no/such/file");
    machine.set("KONG_PG_PASSWORD", "hunter4");
    machine.set("KONG_PG_HOST", "{vault://env/host}");
    let told = machine.kong(&["start"], 1);
    for expected in [
        "environment variable KONG_PG_USER_FILE: /no/such/file: No such file",
        "KONG_PG_PASSWORD and KONG_PG_PASSWORD_FILE are both set",
        "pg_host: {vault://env/host} cannot be resolved: the environment variable SECRET_HOST is not set",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(!told.contains("hunter"), "{told}");
}

/// Kong's example of a settings file may be all there is.
#[test]
fn trial_10_a_prefix_that_cannot_be_written_to_is_no_obstacle() {
    let machine = Machine::new();
    // Nothing can be made where a file is.
    std::fs::write(machine.path("prefix"), "").expect("written");
    assert!(Path::new(&machine.path("prefix")).is_file());
    let told = machine.kong(&["start"], 1);
    assert!(told.contains("prefix/logs"), "{told}");
    let _ = call("GET", &machine.admin("/"), &[], None).expect_err("nobody serves");
}
