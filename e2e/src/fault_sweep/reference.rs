//! Owns reference runs: the writes and the end state of a path without faults.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use serde_json::Value;

use super::{
    case::{TargetWrite, space_name},
    cluster_view::Objects,
    dump::dump,
    path::{EndState, LifecyclePath},
    report::{CaseOutcome, Oracle},
    rig::Rig,
};
use crate::{
    fixtures::{SOON, condition, ensure_equal, holds, is_observed},
    proxy::Entry,
    wait::eventually,
};

/// A run is over when nothing was written for this time.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// The result of the reference runs of a path.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The end state.
    pub end: Value,
    /// The writes, ordered by signature.
    pub targets: Vec<TargetWrite>,
    /// The number of writes of one run, without Events.
    pub writes: usize,
}

/// The results of the reference runs, by path.
pub type References = HashMap<&'static str, Reference>;

/// Prepares and runs each path twice, all concurrently. Two undisturbed runs must end in the same state, because
/// disturbed runs are compared with it. A path whose undisturbed runs fail is an outcome too. `prefix` separates
/// the spaces of several such calls.
pub async fn run_references(rig: &Rig, prefix: &str, paths: &[LifecyclePath]) -> (References, Vec<CaseOutcome>) {
    let (mut references, mut failed) = (References::new(), vec![]);
    let running = paths.iter().map(|path| async move {
        let reference = match prepare(rig, prefix, path).await {
            Ok(()) => run_prepared(rig, prefix, path).await,
            Err(error) => Err(error),
        };
        (path.name, reference)
    });
    for (path, outcome) in join_all(running).await {
        match outcome {
            Ok(reference) => {
                references.insert(path, reference);
            }
            Err(error) => failed.push(failed_reference(rig, prefix, path, &error)),
        }
    }
    (references, failed)
}

/// The outcome of a path whose undisturbed runs failed.
fn failed_reference(rig: &Rig, prefix: &str, path: &str, error: &anyhow::Error) -> CaseOutcome {
    let names = names(prefix, path);
    let of_path = |entry: &Entry| entry.request_info.space.as_ref().is_some_and(|space| names.contains(space));
    let lines = rig.proxy.journal().since(0, of_path).iter().map(Entry::line).collect();
    CaseOutcome {
        trace: lines,
        ..CaseOutcome::violated(format!("{path}/reference"), Oracle::End, format!("{error:#}"))
    }
}

const RUNS: [&str; 2] = ["reference-1", "reference-2"];

/// The spaces of the undisturbed runs of a path.
pub fn names(prefix: &str, path: &str) -> [String; 2] {
    RUNS.map(|run| space_name(&format!("{prefix}{path}-{run}")))
}

/// Creates the initial state of the undisturbed runs of a path.
pub async fn prepare(rig: &Rig, prefix: &str, path: &LifecyclePath) -> Result<()> {
    let [first, second] = names(prefix, path.name);
    tokio::try_join!(rig.prepare(&first, path), rig.prepare(&second, path))
        .with_context(|| format!("path {}", path.name))?;
    Ok(())
}

/// Runs a prepared path twice.
pub async fn run_prepared(rig: &Rig, prefix: &str, path: &LifecyclePath) -> Result<Reference> {
    let [first, second] = names(prefix, path.name);
    let (one, other) = tokio::try_join!(run(rig, path, &first), run(rig, path, &second))?;
    ensure_equal(&format!("the second undisturbed run of {}", path.name), &other.0, &one.0)?;
    let targets: BTreeSet<TargetWrite> = targets(&one.1).into_iter().chain(targets(&other.1)).collect();
    let writes = one.1.iter().filter(|entry| entry.request_info.is_numbered()).count();
    Ok(Reference { end: one.0, targets: targets.into_iter().collect(), writes })
}

/// Performs the actions of a path, waits until the operator is idle in the end state, and returns the state and the
/// writes.
async fn run(rig: &Rig, path: &LifecyclePath, name: &str) -> Result<(Value, Vec<Entry>)> {
    rig.proxy.restart_count(name);
    let (from, begun) = (rig.proxy.journal().len(), Instant::now());
    for action in &path.actions {
        rig.perform(name, action).await?;
    }
    let written = || {
        rig.proxy
            .journal()
            .since(from, |entry| entry.request_info.mutates() && entry.request_info.space.as_deref() == Some(name))
    };
    eventually(&format!("an undisturbed run of {} to end", path.name), SOON, || async {
        ensure_end_state(path.end_state, &rig.view.objects(name))?;
        let written = written();
        let last = written.last().context("nothing was written")?.instant;
        ensure!(last.elapsed() > IDLE_TIME && begun.elapsed() > IDLE_TIME, "it still writes");
        Ok(Some(()))
    })
    .await?;
    Ok((dump(name, &rig.view.objects(name)), written()))
}

fn targets(written: &[Entry]) -> BTreeSet<TargetWrite> {
    written
        .iter()
        .map(|entry| TargetWrite { signature: entry.request_info.signature(), nth: entry.position.nth })
        .collect()
}

/// Verifies that a space is in the given end state.
pub fn ensure_end_state(end_state: EndState, objects: &Objects) -> Result<()> {
    let (space, namespace) = (objects.get("DeveloperSpace"), objects.get("Namespace"));
    match end_state {
        EndState::Ready | EndState::Refused => {
            let space = space.context("the space is not there")?;
            let right = holds(space, "Ready") == (end_state == EndState::Ready)
                && is_observed(space)
                && !holds(space, "Reconciling");
            ensure!(right, "Ready is {}", condition(space, "Ready"));
            ensure!(namespace.is_some(), "the namespace is not there");
        }
        EndState::Collected => {
            let space = space.context("the space is not there")?;
            ensure!(
                holds(space, "Expired") && namespace.is_none(),
                "the space is not sealed, or its namespace is still there"
            );
        }
        EndState::Gone => ensure!(space.is_none() && namespace.is_none(), "space or namespace is still there"),
        EndState::Released => {
            ensure!(space.is_none() && namespace.is_some(), "the space is still there, or the namespace is not");
        }
    }
    Ok(())
}
