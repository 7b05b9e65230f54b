//! Owns running many cases concurrently against one operator: faults are keyed by the name of the space, so that no
//! case is affected by the fault of another.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    case::Case,
    faults::CaseCost,
    path,
    progress::SweepProgress,
    reference::{self, References},
    report::{CaseOutcome, Oracle},
    restarter::{UnexpectedExits, keep_running},
    rig::Rig,
    run,
    safety::{PathsBySpace, final_state, unsafe_writes},
};
use crate::proxy::RuleLimit;

/// The maximum number of concurrent cases.
const MAX_CONCURRENT_CASES: usize = 200;
/// The maximum number of concurrent short cases: more of them would only wait for each other.
const MAX_CONCURRENT_SHORT_CASES: usize = 48;
/// The maximum number of concurrent cases that hang. The operator has sixteen worker slots, and a reconcile that hangs
/// soon releases its slot.
const MAX_CONCURRENT_HANGING_CASES: usize = 40;
/// The maximum number of concurrent cases that fail for a minute.
const MAX_CONCURRENT_FAILING_CASES: usize = 80;
/// The time for requests that are still under way when the last case has converged, such as an Event.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Runs all `cases` and checks the final state: END, SAFE, ORPH and, for the time `quiet` after that, QUIET.
pub(super) async fn run_all(
    rig: &Rig,
    cases: &[Case],
    references: &References,
    quiet: Duration,
    progress: &SweepProgress,
) -> Result<Vec<CaseOutcome>> {
    let from = rig.proxy.journal().len();
    let (short, hanging, failing) = (
        Semaphore::new(MAX_CONCURRENT_SHORT_CASES),
        Semaphore::new(MAX_CONCURRENT_HANGING_CASES),
        Semaphore::new(MAX_CONCURRENT_FAILING_CASES),
    );
    let unexpected_exits = UnexpectedExits::default();
    let running = stream::iter(cases)
        .map(|case| async {
            let permit = match (case.kind.cost, case.kind.limit) {
                (CaseCost::Worker, _) => hanging.acquire().await.ok(),
                (_, RuleLimit::Count(_)) => short.acquire().await.ok(),
                (_, RuleLimit::For(_)) => failing.acquire().await.ok(),
            };
            let outcome = run_case(rig, case, references).await;
            drop(permit);
            progress.record(&outcome);
            outcome
        })
        .buffer_unordered(MAX_CONCURRENT_CASES)
        .collect::<Vec<CaseOutcome>>();
    let mut outcomes = tokio::select! {
        outcomes = running => outcomes,
        error = keep_running(rig, &unexpected_exits) => return Err(error),
    };
    // No case ends the operator here, so each end of the operator is a violation of its own.
    let ends = unexpected_exits.take().into_iter().enumerate();
    outcomes.extend(
        ends.map(|(number, reason)| CaseOutcome::violated(format!("operator/ended-{number}"), Oracle::Live, reason)),
    );
    CompletedCases { cases, references, outcomes, from }.check(rig, quiet).await
}

/// Prepares and runs one case.
async fn run_case(rig: &Rig, case: &Case, references: &References) -> CaseOutcome {
    let Some(reference) = references.get(case.path.name) else {
        return CaseOutcome::violated(case.id(), Oracle::End, "there is no reference run of this path".to_owned());
    };
    match run::prepare(rig, case).await {
        Ok(()) => run::run(rig, case, reference).await,
        Err(outcome) => outcome,
    }
}

/// Cases that have run, before the checks of all cases together.
pub(super) struct CompletedCases<'a> {
    /// The cases.
    pub cases: &'a [Case],
    /// The reference runs of their paths.
    pub references: &'a References,
    /// The outcomes of the cases.
    pub outcomes: Vec<CaseOutcome>,
    /// The number of the first request of the cases.
    pub from: usize,
}

impl CompletedCases<'_> {
    /// Applies the oracles that check all cases together, and adds the violations to the outcomes. QUIET is checked for
    /// the time `quiet`.
    pub(super) async fn check(self, rig: &Rig, quiet: Duration) -> Result<Vec<CaseOutcome>> {
        let Self { cases, references, mut outcomes, from } = self;
        let paths = path::all();
        let mut ids: HashMap<String, String> = cases.iter().map(|case| (case.space(), case.id())).collect();
        let mut spaces: PathsBySpace<'_> = cases.iter().map(|case| (case.space(), &case.path)).collect();
        for (path, name) in paths.iter().flat_map(|path| reference::names("", path.name).map(|name| (path, name))) {
            ids.insert(name.clone(), format!("{}/reference", path.name));
            spaces.insert(name, path);
        }
        let id = |space: String| ids.get(&space).cloned().unwrap_or(space);
        // This waits for time to pass and not for a condition: nothing else shows that no further write will come.
        tokio::time::sleep(SETTLE_TIME).await;
        let quiet_from = rig.proxy.journal().len();
        tokio::time::sleep(quiet).await;
        let late_writes = rig.proxy.journal().writes(quiet_from);
        // Events with the same reason are held for a minute, so that the last of them comes after the work. The silence
        // of an idle control plane has its own test.
        let mut found: Vec<(String, Oracle, String)> = late_writes
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
        found.extend(
            unsafe_writes(rig, &spaces, from).into_iter().map(|(space, violation)| (space, Oracle::Safe, violation)),
        );
        spaces.retain(|name, _| rig.proxy.journal().has_requests_of(name));
        let state = final_state(rig, &spaces, references).await?;
        found.extend(state.end_violations.into_iter().map(|(space, violation)| (space, Oracle::End, violation)));
        found.extend(state.orphans.into_iter().map(|(space, violation)| (space, Oracle::Orph, violation)));
        for (space, oracle, violation) in found {
            add_violation(&mut outcomes, id(space), oracle, violation);
        }
        Ok(outcomes)
    }
}

/// Adds a violation. A case has one outcome, its first violation; the trace of that outcome contains the others.
fn add_violation(outcomes: &mut Vec<CaseOutcome>, id: String, oracle: Oracle, violation: String) {
    match outcomes.iter_mut().find(|outcome| outcome.id == id) {
        Some(outcome) if outcome.is_violation() => {
            if outcome.trace.len() < 80 {
                outcome.trace.push(format!("{oracle:?}: {violation}"));
            }
        }
        Some(outcome) => *outcome = CaseOutcome::violated(id, oracle, violation),
        None => outcomes.push(CaseOutcome::violated(id, oracle, violation)),
    }
}
