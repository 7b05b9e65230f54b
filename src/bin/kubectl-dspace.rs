//! The kubectl plugin's binary: `kubectl dspace`.

use std::process::ExitCode;

use developerspace_operator::plugin::{self, cli::Cli};

#[tokio::main]
async fn main() -> ExitCode {
    plugin::run(Cli::read()).await
}
