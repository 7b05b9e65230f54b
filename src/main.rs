//! The operator's binary.

use std::process::ExitCode;

use clap::Parser;
use developerspace_operator::{cli::Cli, commands};

/// Chosen by measurement, see `docs/adr/0004-what-is-kept-in-memory.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::execute(cli.command).await {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a command that failed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
