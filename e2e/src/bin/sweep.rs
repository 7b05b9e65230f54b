//! Runs the fault sweep and prints its table. Exit status: 0 if nothing was violated, 1 if something was, 2 if the
//! sweep could not run.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::{
    fault_sweep::{self, SweepOptions},
    program,
};

#[tokio::main]
async fn main() -> ExitCode {
    program::run("sweep", Box::pin(run(&SweepOptions::parse()))).await
}

#[allow(clippy::print_stdout, reason = "the result is what was asked for")]
async fn run(options: &SweepOptions) -> Result<ExitCode> {
    let report = fault_sweep::run(options).await?;
    if let Some(file) = options.report_file() {
        report.write(&file)?;
    }
    println!("{}", report.table());
    if report.violations == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}", report.violations());
    Ok(ExitCode::FAILURE)
}
