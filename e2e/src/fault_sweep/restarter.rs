//! Owns restarting the operator whenever it has ended, as a Deployment would, and checking its exit status.

use std::{
    os::unix::process::ExitStatusExt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::rig::Rig;
use crate::{fixtures::at, operator::NAMESPACE};

/// The interval of the checks that the operator is running.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// SIGKILL and SIGTERM, which the sweep itself sends. SIGTERM may arrive before the operator handles it.
const EXPECTED_SIGNALS: [i32; 2] = [9, 15];

/// The reasons for which ends of the operator were unexpected.
#[derive(Debug, Default)]
pub(super) struct UnexpectedExits(Mutex<Vec<String>>);

impl UnexpectedExits {
    /// Removes and returns the reasons so far.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the operator running. Returns when it cannot be restarted.
pub(super) async fn keep_running(rig: &Rig, unexpected_exits: &UnexpectedExits) -> anyhow::Error {
    loop {
        match restart_if_ended(rig).await {
            Ok(None) => {}
            Ok(Some(reason)) => unexpected_exits.lock().push(reason),
            Err(error) => return error,
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Restarts the operator if it has ended. Returns the reason if that end was unexpected.
async fn restart_if_ended(rig: &Rig) -> Result<Option<String>> {
    let Some(status) = rig.ended().await? else { return Ok(None) };
    let reason = match (status.code(), status.signal()) {
        (None, Some(signal)) if EXPECTED_SIGNALS.contains(&signal) => None,
        (Some(0), _) => ensure_lease_released(rig).await.err().map(|error| format!("{error:#}")),
        _ => Some(format!("the operator ended by itself ({status}); the end of its log:\n{}", rig.log_tail())),
    };
    rig.spawn().await.context("the operator could not be started again")?;
    Ok(reason)
}

/// Verifies that an operator that was terminated has released its lease.
async fn ensure_lease_released(rig: &Rig) -> Result<()> {
    let lease = rig.admin.get(at("Lease", NAMESPACE, "developerspace-operator")).await?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    ensure!(holder.is_empty(), "the operator ended after SIGTERM, but kept the lease: {holder}");
    Ok(())
}
