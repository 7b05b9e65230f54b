//! Owns the environment and the helpers that scenarios share: creating spaces, waiting for them, and verifying that
//! nothing is written.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    Cluster,
    fault_sweep::{
        cluster_view::Objects,
        dump::dump,
        path::{EndState, UserAction, space, spec},
        reference::ensure_end_state,
        rig::Rig,
    },
    fixtures::{SOON, a_space, ensure_equal, stays, uid_of},
    proxy::Entry,
    wait::eventually,
};

/// The environment of a scenario.
#[derive(Clone)]
pub struct Setting {
    /// The cluster, which other scenarios used before.
    pub cluster: Arc<Cluster>,
    /// True if the scenario has to be short.
    pub bounded: bool,
    /// A prefix for the names of its spaces.
    pub name: String,
    /// The seed of random choices, in scenarios that make any.
    pub seed: u64,
    /// The duration of the soak.
    pub soak: Duration,
    /// The notes that the scenario adds to its outcome.
    pub notes: Arc<Mutex<Vec<String>>>,
}

impl Setting {
    /// Creates a rig with an operator that is not running yet.
    pub async fn rig(&self, tag: &str, args: &[&str]) -> Result<Rig> {
        Rig::new(self.cluster.clone(), &format!("{}-{tag}", self.name), args).await
    }

    /// Creates a rig with an operator that is ready and idle.
    pub async fn running_rig(&self) -> Result<Rig> {
        let rig = self.rig("operator", &[]).await?;
        rig.start().await?;
        until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(2)).await?;
        Ok(rig)
    }

    /// Returns one duration for a short scenario, another for the whole sweep.
    pub fn duration(&self, bounded: u64, whole: u64) -> Duration {
        Duration::from_secs(if self.bounded { bounded } else { whole })
    }

    /// Adds a note to the outcome.
    pub fn add_note(&self, what: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// All notes.
    pub fn collected_notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names of `count` spaces.
    pub fn names(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{}-{number}", self.name)).collect()
    }
}

/// Creates a space with `changes` to the default spec, without waiting until it is ready. An API server that has just
/// started rejects all spaces until it has discovered the kind of the parameters of its admission policies.
pub(super) async fn create(rig: &Rig, name: &str, changes: Value) -> Result<()> {
    let action = UserAction::Create(space(&spec(&changes)));
    let created = eventually("the admission policies to be in force", SOON, || async {
        match rig.perform(name, &action).await {
            Err(error) if format!("{error:#}").contains("failed to configure policy") => Err(error),
            other => Ok(Some(other)),
        }
    });
    created.await?
}

/// Creates all spaces and waits until they are ready.
pub(super) async fn create_ready(rig: &Rig, names: &[String], changes: Value) -> Result<()> {
    try_join_all(names.iter().map(|name| async {
        create(rig, name, changes.clone()).await?;
        rig.ready(name).await
    }))
    .await
    .map(drop)
}

/// Changes a space's spec.
pub(super) async fn change_spec(rig: &Rig, name: &str, spec: Value) -> Result<()> {
    let mut patch = json!({});
    patch["spec"] = spec;
    rig.perform(name, &UserAction::Patch("DeveloperSpace", "$NAME", patch)).await
}

/// Waits until the space is in the given end state.
pub(super) async fn until_end_state(rig: &Rig, name: &str, end_state: EndState) -> Result<()> {
    rig.view.until("to end well", name, SOON, |objects| ensure_end_state(end_state, objects)).await.map(drop)
}

/// Waits until the state of the space equals `expected`.
pub(super) async fn until_state(rig: &Rig, name: &str, expected: &Value) -> Result<()> {
    rig.view
        .until("to be as it should", name, SOON, |objects| ensure_equal(name, &dump(name, objects), expected))
        .await
        .map(drop)
}

/// The space's state.
pub(super) fn state(rig: &Rig, name: &str) -> Value {
    dump(name, &rig.view.objects(name))
}

/// Returns the state without the status fields that record past renewals, warnings and notices.
pub(super) fn without_history(mut state: Value) -> Value {
    if let Some(status) = state["DeveloperSpace"]["status"].as_object_mut() {
        for counter in ["renewals", "lastRenewedAt", "lastWarning", "postponed", "lastNotice"] {
            status.remove(counter);
        }
    }
    state
}

/// The UID of the space's current namespace.
pub(super) fn namespace_uid(rig: &Rig, name: &str) -> Result<String> {
    let objects = rig.view.objects(name);
    objects
        .get("Namespace")
        .map(|namespace| uid_of(namespace).to_owned())
        .with_context(|| format!("{name} has no namespace"))
}

/// Deletes spaces and waits until they no longer exist, so that the next scenario starts without them.
pub(super) async fn delete_spaces(rig: &Rig, names: &[String]) -> Result<()> {
    for name in names {
        if rig.admin.find(a_space(name)).await?.is_some() {
            rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
        }
    }
    for name in names {
        let gone = |objects: &Objects| {
            ensure!(!objects.contains_key("DeveloperSpace"), "it is still there");
            Ok(())
        };
        rig.view.until("to be gone", name, SOON * 2, gone).await?;
    }
    Ok(())
}

/// Waits until nothing has been written for `during`.
pub(super) async fn until_silent(rig: &Rig, from: usize, during: Duration) -> Result<()> {
    let begun = std::time::Instant::now();
    eventually("the operator to be silent", SOON + during, || async {
        let last = rig.proxy.journal().writes(from).last().map(|entry| entry.instant);
        let quiet = last.map_or_else(|| begun.elapsed(), |last| last.elapsed());
        ensure!(quiet >= during, "it wrote {quiet:?} ago");
        Ok(Some(()))
    })
    .await
}

/// Verifies that nothing is written for `during`, counted from request number `from`. Events do not count: those with
/// the same reason are held for a minute, so that one may come after the work that it reports.
pub(super) async fn ensure_no_writes(rig: &Rig, from: usize, during: Duration) -> Result<()> {
    stays("no writes", during, || async {
        let counts = |entry: &&Entry| entry.request_info.resource != "events";
        let written: Vec<String> = rig.proxy.journal().writes(from).iter().filter(counts).map(Entry::line).collect();
        ensure!(written.is_empty(), "{} writes: {}", written.len(), written.join("; "));
        Ok(())
    })
    .await
}
