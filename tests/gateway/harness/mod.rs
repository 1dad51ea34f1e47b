//! What the end-to-end tests are told with: real processes on addresses of their own, real
//! databases, real upstreams, and `eventually`.

mod backend;
mod both;
mod cluster;
mod http;
mod node;
mod peer;
mod postgres;
mod postgres_server;
mod relay;
mod upstream;

pub use backend::{Backend, silent};
pub use both::{Both, active, add_target, balanced, merge};
pub use cluster::{Cluster, Database};
pub use http::{Reply, call, delete, get, post, raw};
pub use node::{BINARY, Node, closed_address, example, free_address, unique_loopback};
pub use peer::Peer;
pub use postgres::PostgresDatabase;
pub use postgres_server::PostgresServer;
pub use relay::Relay;
pub use upstream::Upstream;

use std::time::{Duration, Instant};

/// How long a condition may take on a loaded machine before a test gives up. Not a
/// measurement: nothing is concluded from how long it took. A data plane alone may pause for a
/// minute before it tries a control plane again.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until the answer is `Ok`; panics with the last `Err` when it stays so, and
/// at once when a node of the test has ended by itself.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if start.elapsed() > PATIENCE => panic!("never: {what}: {why}"),
            Err(_) => node::expect_all_run(),
        }
        // Polling needs a pause so as not to starve what it waits for.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// `eventually` for a plain condition.
#[track_caller]
pub fn eventually_true(what: &str, mut ask: impl FnMut() -> bool) {
    eventually(what, || if ask() { Ok(()) } else { Err("not yet".into()) });
}

#[test]
fn a_node_that_has_ended_is_not_waited_for() {
    let settings = [("role", "data_plane"), ("prefix", "/nonexistent")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let waited = std::panic::catch_unwind(|| {
        let _node = Node::start(settings.into());
        eventually("it comes", || Err::<(), _>("not yet".into()));
    });
    let why = waited.expect_err("it never comes");
    let why = why.downcast_ref::<String>().expect("a text");
    assert_eq!(
        why,
        "data_plane /nonexistent has ended by itself: exit status: 78"
    );
}
