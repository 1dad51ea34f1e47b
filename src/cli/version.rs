//! `langur version`.

use super::{Caller, CliError};
use crate::settings::KONG_VERSION;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also show what this build contains.
    #[arg(short, long)]
    all: bool,

    /// By which name the program was called.
    #[arg(skip)]
    pub caller: Caller,
}

/// Prints the version: Kong's alone when called as `kong`, as scripts expect it.
pub fn command(args: &Args) -> Result<(), CliError> {
    let own = env!("CARGO_PKG_VERSION");
    match args.caller {
        Caller::Langur => println!("langur {own}"),
        Caller::Kong => println!("{KONG_VERSION}"),
    }
    if args.all {
        match args.caller {
            Caller::Langur => println!("behaves as Kong {KONG_VERSION}"),
            Caller::Kong => println!("langur {own}"),
        }
        println!("control-plane: {}", cfg!(feature = "control-plane"));
        println!("data-plane: {}", cfg!(feature = "data-plane"));
    }
    Ok(())
}
