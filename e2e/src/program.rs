//! Owns the frame of a program: it stops on a signal, together with the processes that it started, and its result
//! becomes an exit code.

use std::{future::Future, process::ExitCode};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work` of the program `name` until it ends or a signal stops it. Returns the exit code, see [`exit_code`].
pub async fn run(name: &str, work: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    exit_code(name, unless_stopped(work).await)
}

/// Returns the exit code of `outcome`. An error is printed, and its exit code is 2.
#[allow(clippy::print_stderr, reason = "a program prints the error that ended it")]
pub fn exit_code(name: &str, outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("{name}: {error:#}");
        ExitCode::from(2)
    })
}

/// Runs `work` to completion. On SIGINT or SIGTERM, `work` is dropped together with the processes that it owns, and the
/// result is an error.
async fn unless_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => bail!("told to stop"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
}
