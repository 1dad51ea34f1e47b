//! What the end-to-end tests are told with: real processes on addresses of their own, real
//! databases, real upstreams, and `eventually`.

mod backend;
mod cluster;
mod http;
mod node;
mod postgres;
mod relay;
mod upstream;

pub use backend::Backend;
pub use cluster::{Cluster, Database};
pub use http::{Reply, call, delete, get, post, raw};
pub use node::{BINARY, Node, example, free_address, unique_loopback};
pub use postgres::PostgresDatabase;
pub use relay::Relay;
pub use upstream::Upstream;

use std::time::{Duration, Instant};

/// How long a condition may take on a loaded machine before a test gives up. Not a
/// measurement: nothing is concluded from how long it took.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is `Ok`; panics with the last `Err` when it stays so.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if start.elapsed() > PATIENCE => panic!("never: {what}: {why}"),
            Err(_) => std::thread::yield_now(),
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
