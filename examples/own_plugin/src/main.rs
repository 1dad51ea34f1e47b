//! A build of one's own: everything that Langur has, and the plugin `ticket`.

mod ticket;

use langur::plugins::{BUNDLED, Descriptor};

/// The bundled plugins and ours. `langur::cli::main` wants a list that lives as long as the process.
fn plugins() -> &'static [Descriptor] {
    let mut plugins = BUNDLED.to_vec();
    plugins.push(ticket::PLUGIN);
    plugins.leak()
}

fn main() -> std::process::ExitCode {
    langur::cli::main(plugins())
}
