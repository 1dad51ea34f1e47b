//! The first command of the README: its tour works as printed, and a second start continues.

use crate::harness::{BINARY, call, eventually, free_address, get, unique_loopback};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

struct Quickstart {
    child: Child,
    /// What it printed and logged.
    output: PathBuf,
}

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
        let log = file.try_clone().expect("a second handle");
        Quickstart {
            child: command.stdout(file).stderr(log).spawn().expect("it starts"),
            output: output.to_owned(),
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// `eventually`, for as long as it runs.
    fn wait<T>(&mut self, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
        eventually(what, || {
            let ended = self.child.try_wait().expect("our own child");
            assert_eq!(ended, None, "{what}: it has ended:\n{}", self.printed());
            ask().map_err(|why| format!("{why}\n{}", self.printed()))
        })
    }

    fn stop(mut self) -> Option<i32> {
        // SAFETY: kill(2) takes no pointers; the process is our own child and not yet reaped.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = eventually("it ends", || {
            let ended = self.child.try_wait().expect("our own child");
            ended.ok_or_else(|| self.printed())
        });
        status.code()
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let mut running = Quickstart::start(&state, &ip, &ports, &output);
    let tour = running.wait("the tour is printed", || {
        let text = std::fs::read_to_string(&output).map_err(|err| err.to_string())?;
        if text.contains("Ctrl-C") {
            Ok(text)
        } else {
            Err("not yet".into())
        }
    });
    // A person who pastes is slower than the data plane.
    let data_planes = format!("http://{ip}:{}/clustering/data-planes", ports[2]);
    running.wait("the data plane is connected", || {
        let reply = get(&data_planes)?;
        let connected = reply.json()["data"][0]["connected"] == true;
        connected.then_some(()).ok_or(reply.text)
    });
    let said = paste(&tour);
    let proxied = format!("http://{ip}:{}/echo/hello", ports[0]);
    running.wait("the route asks for a key", || match get(&proxied)?.status {
        401 => Ok(()),
        other => Err(other.to_string()),
    });
    running.wait("the key opens", || {
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

    let mut again = Quickstart::start(&state, &ip, &ports, &output);
    again.wait("the same data is there", || match get(&proxied)?.status {
        401 => Ok(()),
        other => Err(other.to_string()),
    });
    let consumer = format!("http://{ip}:{}/consumers/ann", ports[2]);
    again.wait("the consumer is there", || match get(&consumer)?.status {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(again.stop(), Some(0));
}
