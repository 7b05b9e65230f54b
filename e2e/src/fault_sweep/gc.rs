//! Owns the cases of `gc` alone: the controller creates the spaces and ends. Then `gc` runs repeatedly, and each of
//! its writes meets its fault.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use futures::future::join_all;

use super::{
    batch::CompletedCases,
    case::{self, Case},
    faults::{self, FaultKind},
    path,
    progress::SweepProgress,
    reference::{self, References},
    report::{CaseOutcome, Oracle},
    restarter::{UnexpectedExits, keep_running},
    rig::Rig,
    run,
};

/// The pause between two runs of `gc`.
const GC_PAUSE: Duration = Duration::from_millis(300);

/// Runs every case that `wanted` accepts and checks the final state. The controller of `rig` runs during the
/// preparation, and not afterwards.
pub(super) async fn run_all(
    rig: &Rig,
    wanted: impl Fn(&Case) -> bool,
    quiet: Duration,
    progress: &SweepProgress,
) -> Result<Vec<CaseOutcome>> {
    let path = path::gc();
    rig.ensure_running().await?;
    reference::prepare(rig, "", &path).await?;
    rig.terminate().await?;
    let reference = tokio::select! {
        reference = reference::run_prepared(rig, "", &path) => reference?,
        error = run_gc_repeatedly(rig) => return Err(error),
    };
    let kinds = faults::all();
    let combinations = reference.targets.iter().flat_map(|target| kinds.iter().map(move |kind| (target, kind)));
    let make = |(target, kind): (&case::TargetWrite, &FaultKind)| Case {
        path: path.clone(),
        target: target.clone(),
        kind: kind.clone(),
    };
    let cases: Vec<Case> = combinations.map(make).filter(|case| wanted(case)).collect();
    progress.expect(cases.len());
    let prepared = prepare(rig, &cases).await?;
    let from = rig.proxy.journal().len();
    let running = join_all(cases.iter().zip(prepared).map(|(case, prepared)| async {
        let outcome = match prepared {
            Ok(()) => run::run(rig, case, &reference).await,
            Err(outcome) => outcome,
        };
        progress.record(&outcome);
        outcome
    }));
    let checked = async {
        let outcomes = running.await;
        let references = References::from([(path.name, reference.clone())]);
        CompletedCases { cases: &cases, references: &references, outcomes, from }.check(rig, quiet).await
    };
    let mut outcomes = tokio::select! {
        outcomes = checked => outcomes?,
        error = run_gc_repeatedly(rig) => return Err(error),
    };
    outcomes.extend(repeated_deletions(rig, from));
    Ok(outcomes)
}

/// Prepares all cases by a controller, which has ended afterwards. The spaces are created all at once, and a controller
/// that cannot renew its lease in time on a loaded machine is restarted.
async fn prepare(rig: &Rig, cases: &[Case]) -> Result<Vec<Result<(), CaseOutcome>>> {
    rig.start().await?;
    let unexpected_exits = UnexpectedExits::default();
    let preparing = async {
        // These spaces are retained for an hour, and the controller reports conditions of them that `gc` does not
        // report.
        for name in reference::names("", path::gc().name) {
            rig.perform(&name, &path::UserAction::Delete("DeveloperSpace", "$NAME")).await?;
        }
        Ok::<_, anyhow::Error>(join_all(cases.iter().map(|case| run::prepare(rig, case))).await)
    };
    let mut prepared = tokio::select! {
        prepared = preparing => prepared?,
        error = keep_running(rig, &unexpected_exits) => return Err(error),
    };
    let log = rig.log_tail();
    for outcome in prepared.iter_mut().filter_map(|prepared| prepared.as_mut().err()) {
        outcome.trace = unexpected_exits.take();
        outcome.trace.push(format!("the end of the controller's log:\n{log}"));
    }
    rig.ensure_running().await?;
    rig.terminate().await?;
    Ok(prepared)
}

/// Runs `gc` repeatedly. Returns when a run cannot be started.
async fn run_gc_repeatedly(rig: &Rig) -> anyhow::Error {
    loop {
        // Most runs are disturbed, so their exit status has no meaning. Their writes are checked.
        if let Err(error) = rig.gc().await {
            return error;
        }
        tokio::time::sleep(GC_PAUSE).await;
    }
}

/// The violations by namespaces that were deleted more than once.
fn repeated_deletions(rig: &Rig, from: usize) -> Vec<CaseOutcome> {
    let mut times: HashMap<String, u32> = HashMap::new();
    let deleted = rig
        .proxy
        .journal()
        .since(from, |entry| entry.request_info.signature() == "delete-namespaces" && entry.was_done());
    for entry in deleted {
        *times.entry(entry.request_info.name).or_default() += 1;
    }
    let repeated = times.into_iter().filter(|(_, times)| *times > 1);
    repeated
        .map(|(name, times)| {
            CaseOutcome::violated(
                format!("gc/{name}"),
                Oracle::Safe,
                format!("its namespace was deleted {times} times"),
            )
        })
        .collect()
}
