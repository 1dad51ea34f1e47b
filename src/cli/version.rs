//! `langur version`.

use super::CliError;
use crate::settings::KONG_VERSION;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also show what this build contains.
    #[arg(short, long)]
    all: bool,
}

/// Prints the version.
pub fn command(args: &Args) -> Result<(), CliError> {
    println!("langur {}", env!("CARGO_PKG_VERSION"));
    if args.all {
        println!("behaves as Kong {KONG_VERSION}");
        println!("control-plane: {}", cfg!(feature = "control-plane"));
        println!("data-plane: {}", cfg!(feature = "data-plane"));
    }
    Ok(())
}
