//! The build runs the plugin, and its control plane knows what may be configured.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_own_plugin");

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configuration(upstream: u16, config: &str) -> String {
    format!(
        r#"{{"_format_version": "3.0", "services": [{{"name": "s", "host": "127.0.0.1", "port": {upstream},
            "routes": [{{"name": "r", "paths": ["/"]}}], "plugins": [{{"name": "ticket", "config": {config}}}]}}]}}"#
    )
}

/// Answers every connection once.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    port
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn answer(port: u16, lines: &str) -> Option<String> {
    let mut gateway = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    gateway.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    gateway.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn the_plugin_guards_its_route() {
    let prefix = tempfile::tempdir().expect("a directory");
    let file = prefix.path().join("kong.json");
    let document = configuration(upstream(), r#"{"tickets": ["blue"]}"#);
    std::fs::write(&file, document).expect("a file");
    let port = free_port();
    let child = Command::new(BINARY)
        .arg("start")
        .env("LANGUR_ROLE", "traditional")
        .env("LANGUR_DATABASE", "off")
        .env("LANGUR_PREFIX", prefix.path())
        .env("LANGUR_DECLARATIVE_CONFIG", &file)
        .env("LANGUR_PLUGINS", "bundled,ticket")
        .env("LANGUR_PROXY_LISTEN", format!("127.0.0.1:{port}"))
        .env("LANGUR_ADMIN_LISTEN", "off")
        .env("LANGUR_STATUS_LISTEN", "off")
        .spawn()
        .expect("it starts");
    let _running = Running(child);
    let start = Instant::now();
    let refused = loop {
        match answer(port, "") {
            Some(text) => break text,
            None => assert!(
                start.elapsed() < Duration::from_secs(60),
                "it does not serve"
            ),
        }
        std::thread::yield_now();
    };
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(refused.contains("You need a ticket"), "{refused}");
    let passed = answer(port, "X-Ticket: blue\r\n").expect("an answer");
    assert!(passed.starts_with("HTTP/1.1 200"), "{passed}");
    assert!(passed.contains("X-Ticket-Used: blue"), "{passed}");
}

#[test]
fn a_bad_configuration_names_the_field() {
    let prefix = tempfile::tempdir().expect("a directory");
    let file = prefix.path().join("kong.json");
    std::fs::write(&file, configuration(1, r#"{"ticket": 7}"#)).expect("a file");
    let output = Command::new(BINARY)
        .args(["config", "parse"])
        .arg(&file)
        .env("LANGUR_PREFIX", prefix.path())
        .env("LANGUR_PLUGINS", "bundled,ticket")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("tickets") && said.contains("unknown field"),
        "{said}"
    );
}
