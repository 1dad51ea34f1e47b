//! The README's tour beside a quickstart, as a person would take it.

use super::blocks::{Block, Place};
use super::machine::Machine;
use super::of;
use crate::harness::{free_address, get, unique_loopback};

/// The ports of quickstart: its flags, and what the pages say.
const PORTS: [(&str, u16); 8] = [
    ("--proxy-port", 8000),
    ("--proxy-ssl-port", 8443),
    ("--admin-port", 8001),
    ("--cluster-port", 8005),
    ("--telemetry-port", 8006),
    ("--control-plane-status-port", 8007),
    ("--data-plane-status-port", 8100),
    ("--echo-port", 9080),
];

struct Quickstart {
    machine: Machine,
    admin: String,
}

impl Quickstart {
    fn new() -> Quickstart {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let mut machine = Machine::new(&folder.join("etc"), &folder.join("var"));
        let ip = unique_loopback();
        let mut flags = format!("--bind {ip}");
        let mut admin = String::new();
        for (flag, said) in PORTS {
            let meant = free_address(ip);
            flags.push_str(&format!(" {flag} {}", meant.port()));
            machine.exchange(&format!("127.0.0.1:{said}"), &meant.to_string());
            if said == 8001 {
                admin = meant.to_string();
            }
        }
        let binary = env!("CARGO_BIN_EXE_langur");
        // What was built is run; with other ports, since those of the text may be taken.
        machine.program(
            "cargo",
            &format!(
                "[ \"$*\" = 'run --release -- quickstart' ] || exit 97\nexec {binary} quickstart {flags}"
            ),
        );
        Quickstart { machine, admin }
    }

    /// A person is slower than the fleet: after each command everything is in effect.
    fn settle(&self) {
        let url = format!("http://{}/clustering/data-planes", self.admin);
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
        if block.background {
            self.machine.run(block);
            return self.settle();
        }
        println!("{}", block.at);
        let mut printed = String::new();
        for line in block.script.lines() {
            // What only looks may look again: figures arrive a second or two later.
            let looks = !line.contains(" -d ") && !line.contains(" -X ");
            let output = match looks {
                true => self.machine.wait(line, || self.machine.try_script(line)),
                false => self
                    .machine
                    .try_script(line)
                    .unwrap_or_else(|why| panic!("{}: {why}", block.at)),
            };
            printed.push_str(&output);
            printed.push('\n');
            self.settle();
        }
        block.check(&printed);
    }
}

#[test]
fn the_tour_of_the_readme() {
    let mut quickstart = Quickstart::new();
    let blocks = of(Place::Quickstart);
    assert!(blocks[0].background, "the first block starts it");
    for block in &blocks {
        quickstart.run(block);
    }
    // The tour has led where it says: the route is there, and asks for a key.
    let proxied = quickstart.machine.meant("http://127.0.0.1:8000/echo/hello");
    let reply = get(&proxied).expect("an answer");
    assert_eq!(reply.status, 401, "{}", reply.text);
    let with_key = crate::harness::call("GET", &proxied, &[("apikey", "secret")], None);
    let with_key = with_key.expect("an answer");
    assert_eq!(with_key.json()["path"], "/hello", "{}", with_key.text);
}
