//! Owns running many cases concurrently against one operator: faults are keyed by the name of the space, so that no
//! case is affected by the fault of another.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    case::Case,
    faults::Cost,
    path,
    progress::Progress,
    reference::{self, References},
    report::{Oracle, Outcome},
    restarter::{Complaints, keep},
    rig::Rig,
    run,
    safety::{Spaces, final_state, unsafe_writes},
};
use crate::proxy::RuleLimit;

/// The maximum number of concurrent cases.
const SIDE_BY_SIDE: usize = 200;
/// The maximum number of concurrent short cases: more of them would only wait for each other.
const BRIEF: usize = 48;
/// The maximum number of concurrent cases that hang. The operator has sixteen worker slots, and a reconcile that hangs
/// soon releases its slot.
const HANGING: usize = 40;
/// The maximum number of concurrent cases that fail for a minute.
const FAILING: usize = 80;
/// The time for requests that are still under way when the last case has converged, such as an Event.
const SETTLE: Duration = Duration::from_secs(3);

/// Runs all `cases` and checks the final state: END, SAFE, ORPH and, for the time `quiet` after that, QUIET.
pub async fn run_all(rig: &Rig, cases: &[Case], references: &References, quiet: Duration, progress: &Progress) -> Result<Vec<Outcome>> {
    let from = rig.proxy.journal().len();
    let (brief, hanging, failing) = (Semaphore::new(BRIEF), Semaphore::new(HANGING), Semaphore::new(FAILING));
    let complaints = Complaints::default();
    let running = stream::iter(cases)
        .map(|case| async {
            let permit = match (case.kind.cost, case.kind.limit) {
                (Cost::Worker, _) => hanging.acquire().await.ok(),
                (_, RuleLimit::Count(_)) => brief.acquire().await.ok(),
                (_, RuleLimit::For(_)) => failing.acquire().await.ok(),
            };
            let outcome = one(rig, case, references).await;
            drop(permit);
            progress.note(&outcome);
            outcome
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<Outcome>>();
    let mut outcomes = tokio::select! {
        outcomes = running => outcomes,
        error = keep(rig, &complaints) => return Err(error),
    };
    // No case ends the operator here, so each end of the operator is a violation of its own.
    let ends = complaints.take().into_iter().enumerate();
    outcomes.extend(ends.map(|(number, complaint)| Outcome::violated(format!("operator/ended-{number}"), Oracle::Live, complaint)));
    judge(rig, cases, references, (outcomes, from), quiet).await
}

async fn one(rig: &Rig, case: &Case, references: &References) -> Outcome {
    let Some(reference) = references.get(case.path.name) else {
        return Outcome::violated(case.id(), Oracle::End, "there is no reference run of this path".to_owned());
    };
    match run::prepare(rig, case).await {
        Ok(()) => run::run(rig, case, reference).await,
        Err(outcome) => outcome,
    }
}

/// Applies the oracles that check all cases together.
pub async fn judge(
    rig: &Rig,
    cases: &[Case],
    references: &References,
    (mut outcomes, from): (Vec<Outcome>, usize),
    quiet: Duration,
) -> Result<Vec<Outcome>> {
    let paths = path::all();
    let mut ids: HashMap<String, String> = cases.iter().map(|case| (case.space(), case.id())).collect();
    let mut spaces: Spaces<'_> = cases.iter().map(|case| (case.space(), &case.path)).collect();
    for (path, name) in paths.iter().flat_map(|path| reference::names("", path.name).map(|name| (path, name))) {
        ids.insert(name.clone(), format!("{}/reference", path.name));
        spaces.insert(name, path);
    }
    let id = |space: String| ids.get(&space).cloned().unwrap_or(space);
    // This waits for time to pass and not for a condition: nothing else shows that no further write will come.
    tokio::time::sleep(SETTLE).await;
    let quiet_from = rig.proxy.journal().len();
    tokio::time::sleep(quiet).await;
    let loud = rig.proxy.journal().writes(quiet_from);
    // Events with the same reason are held for a minute, so that the last of them comes after the work. The silence of
    // an idle control plane has its own test.
    let mut found: Vec<(String, Oracle, String)> = loud
        .into_iter()
        .filter(|entry| entry.request_info.resource != "events")
        .map(|entry| {
            (
                entry.request_info.space.clone().unwrap_or_default(),
                Oracle::Quiet,
                format!("written though all had converged: {}", entry.line()),
            )
        })
        .collect();
    found.extend(unsafe_writes(rig, &spaces, from).into_iter().map(|(space, wrong)| (space, Oracle::Safe, wrong)));
    spaces.retain(|name, _| rig.proxy.journal().has_requests_of(name));
    let state = final_state(rig, &spaces, references).await?;
    found.extend(state.different.into_iter().map(|(space, wrong)| (space, Oracle::End, wrong)));
    found.extend(state.orphans.into_iter().map(|(space, wrong)| (space, Oracle::Orph, wrong)));
    for (space, oracle, wrong) in found {
        blame(&mut outcomes, id(space), oracle, wrong);
    }
    Ok(outcomes)
}

/// Adds a violation. A case has one outcome, its first violation; the trace of that outcome contains the others.
fn blame(outcomes: &mut Vec<Outcome>, id: String, oracle: Oracle, wrong: String) {
    match outcomes.iter_mut().find(|outcome| outcome.id == id) {
        Some(outcome) if outcome.is_violation() => {
            if outcome.trace.len() < 80 {
                outcome.trace.push(format!("{oracle:?}: {wrong}"));
            }
        }
        Some(outcome) => *outcome = Outcome::violated(id, oracle, wrong),
        None => outcomes.push(Outcome::violated(id, oracle, wrong)),
    }
}
