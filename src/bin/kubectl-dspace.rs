//! The kubectl plugin's binary: `kubectl dspace`.

use std::process::ExitCode;

use clap::Parser;
use developerspace_operator::plugin::{self, args::Cli};

#[tokio::main]
async fn main() -> ExitCode {
    plugin::run(Cli::parse()).await
}
