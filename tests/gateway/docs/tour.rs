//! Tours: nodes that a page starts, and commands beside them, as a person would type them.

use super::blocks::{Block, Place};
use super::machine::Machine;
use super::of;
use crate::harness::{BINARY, call, free_address, get, unique_loopback};
use std::net::SocketAddr;

/// What the pages say of everything that listens by default.
const PORTS: [u16; 8] = [8000, 8443, 8001, 8005, 8006, 8007, 8100, 9080];

struct Tour {
    machine: Machine,
    /// What is meant by each of [`PORTS`].
    meant: [SocketAddr; 8],
    started: bool,
}

impl Tour {
    fn new() -> Tour {
        // No settings file and no prefix of the default places.
        let nowhere = std::path::Path::new("/nonexistent");
        let mut machine = Machine::new(nowhere, nowhere);
        let ip = unique_loopback();
        let meant = PORTS.map(|said| {
            let meant = free_address(ip);
            machine.exchange(&format!("127.0.0.1:{said}"), &meant.to_string());
            meant
        });
        Tour {
            machine,
            meant,
            started: false,
        }
    }

    fn meant(&self, said: u16) -> SocketAddr {
        let at = PORTS.iter().position(|port| *port == said);
        self.meant[at.expect("a port of the pages")]
    }

    /// A person is slower than the fleet: after each command everything is in effect.
    fn settle(&self) {
        let url = format!("http://{}/clustering/data-planes", self.meant(8001));
        self.machine.wait("the data plane is in sync", || {
            let reply = get(&url)?;
            let newest = reply
                .header("x-langur-revision")
                .unwrap_or_default()
                .to_owned();
            let row = &reply.json()["data"][0];
            match row["connected"] == true && row["revision"].as_u64() == newest.parse().ok() {
                true => Ok(()),
                false => Err(reply.text),
            }
        });
    }

    fn run(&mut self, block: &Block) {
        if block.background || !self.started {
            self.started |= block.background;
            self.machine.run(block);
            return;
        }
        println!("{}", block.at);
        let mut printed = String::new();
        for line in block.script.lines() {
            self.settle();
            // What only looks may look again: figures arrive a second or two later.
            let looks = !line.contains(" -d ") && !line.contains(" -X ");
            let output = match looks {
                true => self.machine.wait(line, || self.machine.try_script(line)),
                false => {
                    let output = self.machine.try_script(line);
                    output.unwrap_or_else(|why| panic!("{}: {why}", block.at))
                }
            };
            printed.push_str(&output);
            printed.push('\n');
        }
        block.check(&printed);
    }
}

#[test]
fn the_tour_of_the_readme() {
    let mut tour = Tour::new();
    let flags = [
        "--proxy-port",
        "--proxy-ssl-port",
        "--admin-port",
        "--cluster-port",
        "--telemetry-port",
        "--control-plane-status-port",
        "--data-plane-status-port",
        "--echo-port",
    ];
    let ports = flags.iter().zip(tour.meant);
    let ports: Vec<_> = ports
        .map(|(flag, meant)| format!("{flag} {}", meant.port()))
        .collect();
    // What was built is run; with other ports, since those of the text may be taken.
    tour.machine.cargo(&[(
        "run --release -- quickstart",
        format!(
            "exec {BINARY} quickstart --bind {} {}",
            tour.meant[0].ip(),
            ports.join(" "),
        ),
    )]);
    let blocks = of(Place::Quickstart);
    assert!(blocks[0].background, "the first block starts it");
    for block in &blocks {
        tour.run(block);
    }
    // The tour has led where it says: the route is there, and asks for a key.
    let proxied = format!("http://{}/echo/hello", tour.meant(8000));
    let reply = get(&proxied).expect("an answer");
    assert_eq!(reply.status, 401, "{}", reply.text);
    let with_key = call("GET", &proxied, &[("apikey", "secret")], None).expect("an answer");
    assert_eq!(with_key.json()["path"], "/hello", "{}", with_key.text);
}

/// One control plane, one data plane and an upstream, each in a terminal of its own.
#[test]
fn nodes_by_hand() {
    let mut tour = Tour::new();
    for (key, said) in [
        ("admin_listen", 8001),
        ("status_listen", 8007),
        ("cluster_listen", 8005),
        ("cluster_telemetry_listen", 8006),
        ("proxy_listen", 8000),
        ("cluster_control_plane", 8005),
        ("cluster_telemetry_endpoint", 8006),
    ] {
        let meant = tour.meant(said).to_string();
        tour.machine.set(key, &meant);
    }
    let echo = tour.meant(9080);
    let script = format!("[ \"$*\" = echo ] && set -- echo --listen {echo}\nexec {BINARY} \"$@\"");
    tour.machine.program("langur", &script);
    for block in of(Place::ByHand) {
        tour.run(&block);
    }
}
