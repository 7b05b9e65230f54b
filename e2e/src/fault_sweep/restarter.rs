//! Owns restarting the operator whenever it has ended, as a Deployment would, and checking its exit status.

use std::{
    os::unix::process::ExitStatusExt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::rig::Rig;
use crate::{fixtures::at, operator::NAMESPACE};

/// The interval at which the keeper checks that the operator is running.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// SIGKILL and SIGTERM, which the sweep itself sends. SIGTERM may arrive before the operator handles it.
const SENT: [i32; 2] = [9, 15];

/// The unexpected ends of the operator.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Vec<String>>);

impl Complaints {
    /// Removes and returns the complaints so far.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the operator running. Returns when it cannot be restarted.
pub async fn keep(rig: &Rig, complaints: &Complaints) -> anyhow::Error {
    loop {
        match again(rig).await {
            Ok(None) => {}
            Ok(Some(complaint)) => complaints.lock().push(complaint),
            Err(error) => return error,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn again(rig: &Rig) -> Result<Option<String>> {
    let Some(status) = rig.ended().await? else { return Ok(None) };
    let complaint = match (status.code(), status.signal()) {
        (None, Some(signal)) if SENT.contains(&signal) => None,
        (Some(0), _) => released(rig).await.err().map(|error| format!("{error:#}")),
        _ => Some(format!("the operator ended by itself ({status}); the end of its log:\n{}", rig.log_tail())),
    };
    rig.spawn().await.context("the operator could not be started again")?;
    Ok(complaint)
}

async fn released(rig: &Rig) -> Result<()> {
    let lease = rig.admin.get(at("Lease", NAMESPACE, "developerspace-operator")).await?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    ensure!(holder.is_empty(), "told to stop, it ended but kept the lease: {holder}");
    Ok(())
}
