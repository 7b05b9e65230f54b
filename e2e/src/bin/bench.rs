//! Runs the benchmark and prints its table. Exit status: 0 if every figure is within its limit, 1 if one is not, 2 if
//! the benchmark could not run.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::{
    bench::{self, BenchmarkOptions},
    program,
};

#[tokio::main]
async fn main() -> ExitCode {
    program::run("bench", Box::pin(run(&BenchmarkOptions::parse()))).await
}

#[allow(clippy::print_stdout, reason = "the result is what was asked for")]
async fn run(options: &BenchmarkOptions) -> Result<ExitCode> {
    if let Some(folder) = &options.profile {
        bench::profile::draw(options, folder).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = bench::run(options).await?;
    println!("{}", report.table());
    // An incomplete run does not replace the last complete one.
    let is_whole = report.results.failures.is_empty();
    if let Some(folder) = options.folder().filter(|_| is_whole || options.out.is_some()) {
        report.write(&folder)?;
    }
    if !is_whole {
        return Ok(ExitCode::from(2));
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
