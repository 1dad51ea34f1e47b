//! The first command of the README: its tour works as printed, and a second start continues.

use crate::harness::{BINARY, call, eventually, free_address, get, unique_loopback};
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Quickstart(Child);

impl Quickstart {
    fn start(folder: &Path, ip: &str, ports: &[u16; 8], output: &Path) -> Quickstart {
        let names = [
            "--proxy-port",
            "--proxy-ssl-port",
            "--admin-port",
            "--cluster-port",
            "--telemetry-port",
            "--control-plane-status-port",
            "--data-plane-status-port",
            "--echo-port",
        ];
        let mut command = Command::new(BINARY);
        command
            .arg("quickstart")
            .arg("--dir")
            .arg(folder)
            .args(["--bind", ip]);
        for (name, port) in names.iter().zip(ports) {
            command.arg(name).arg(port.to_string());
        }
        let file = std::fs::File::create(output).expect("a file");
        Quickstart(
            command
                .stdout(file)
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts"),
        )
    }

    fn stop(mut self) -> Option<i32> {
        // SAFETY: kill(2) takes no pointers; the process is our own child and not yet reaped.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        self.0.wait().ok()?.code()
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the `curl` lines that quickstart printed and returns what each said.
fn paste(tour: &str) -> Vec<String> {
    let commands = tour
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "));
    commands
        .map(|line| {
            let output = Command::new("sh")
                .args(["-c", line])
                .output()
                .expect("sh runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .collect()
}

#[test]
fn the_tour_works_as_printed_and_a_second_start_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let ip = unique_loopback();
    let ports: [u16; 8] = std::array::from_fn(|_| free_address(ip).port());
    let (ip, output) = (ip.to_string(), folder.path().join("output"));
    let state = folder.path().join("state");
    let running = Quickstart::start(&state, &ip, &ports, &output);
    let tour = eventually("the tour is printed", || {
        let text = std::fs::read_to_string(&output).map_err(|err| err.to_string())?;
        if text.contains("Ctrl-C") {
            Ok(text)
        } else {
            Err(text)
        }
    });
    let said = paste(&tour);
    let proxied = format!("http://{ip}:{}/echo/hello", ports[0]);
    eventually("the route asks for a key", || match get(&proxied)?.status {
        401 => Ok(()),
        other => Err(other.to_string()),
    });
    eventually("the key opens", || {
        let reply = call("GET", &proxied, &[("apikey", "secret")], None)?;
        if reply.text.contains("\"path\":\"/hello\"") {
            Ok(())
        } else {
            Err(reply.text)
        }
    });
    assert!(
        said.iter().any(|text| text.contains("\"connected\":true")),
        "{said:#?}"
    );
    assert_eq!(running.stop(), Some(0));

    let again = Quickstart::start(&state, &ip, &ports, &output);
    eventually("the same data is there", || match get(&proxied)?.status {
        401 => Ok(()),
        other => Err(other.to_string()),
    });
    let consumer = format!("http://{ip}:{}/consumers/ann", ports[2]);
    eventually("the consumer is there", || match get(&consumer)?.status {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(again.stop(), Some(0));
}
