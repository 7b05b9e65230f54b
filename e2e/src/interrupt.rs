//! Owns the shutdown of a program on a signal: the processes that it started end with it.

use std::future::Future;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work` to completion. On SIGINT or SIGTERM, `work` is dropped together with the processes that it owns, and the
/// result is an error.
pub async fn unless_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => bail!("told to stop"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
}
