//! A build of one's own: a plugin that is not named here is not in the binary. What a data plane of
//! such a build cannot run, the control plane shows at `/clustering/data-planes`.

use langur::plugins::{correlation_id, key_auth, rate_limiting};

fn main() -> std::process::ExitCode {
    langur::cli::main(&[
        correlation_id::PLUGIN,
        key_auth::PLUGIN,
        rate_limiting::PLUGIN,
    ])
}
