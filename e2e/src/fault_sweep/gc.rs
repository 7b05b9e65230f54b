//! Owns the cases of `gc` alone: the controller creates the spaces and ends. Then `gc` runs repeatedly, while each of
//! its writes meets its fault.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use futures::future::join_all;

use super::{
    batch::judge,
    case::{self, Case},
    faults::{self, Kind},
    path,
    progress::Progress,
    reference::{self, References},
    report::{Oracle, Outcome},
    restarter::{Complaints, keep},
    rig::Rig,
    run,
};

/// The pause between two runs of `gc`.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs every case that `wanted` accepts and checks the final state. The controller of `rig` runs during the
/// preparation, and not afterwards.
pub async fn run_all(rig: &Rig, wanted: impl Fn(&Case) -> bool, quiet: Duration, progress: &Progress) -> Result<Vec<Outcome>> {
    let path = path::gc();
    rig.revive().await?;
    reference::prepare(rig, "", &path).await?;
    rig.terminate().await?;
    let reference = tokio::select! {
        reference = reference::learn_prepared(rig, "", &path) => reference?,
        error = sweeping(rig) => return Err(error),
    };
    let kinds = faults::all();
    let every = reference.targets.iter().flat_map(|target| kinds.iter().map(move |kind| (target, kind)));
    let make = |(target, kind): (&case::Target, &Kind)| Case { path: path.clone(), target: target.clone(), kind: kind.clone() };
    let cases: Vec<Case> = every.map(make).filter(|case| wanted(case)).collect();
    progress.expect(cases.len());
    let prepared = prepare(rig, &cases).await?;
    let from = rig.proxy.journal().len();
    let running = join_all(cases.iter().zip(prepared).map(|(case, prepared)| async {
        let outcome = match prepared {
            Ok(()) => run::run(rig, case, &reference).await,
            Err(outcome) => outcome,
        };
        progress.note(&outcome);
        outcome
    }));
    let judged = async {
        let outcomes = running.await;
        let references = References::from([(path.name, reference.clone())]);
        judge(rig, &cases, &references, (outcomes, from), quiet).await
    };
    let mut outcomes = tokio::select! {
        outcomes = judged => outcomes?,
        error = sweeping(rig) => return Err(error),
    };
    outcomes.extend(twice_deleted(rig, from));
    Ok(outcomes)
}

/// Prepares all cases by a controller, which has ended afterwards. The spaces are created all at once, and a controller that cannot renew its lease in
/// time on a loaded machine is restarted.
async fn prepare(rig: &Rig, cases: &[Case]) -> Result<Vec<Result<(), Outcome>>> {
    rig.start().await?;
    let complaints = Complaints::default();
    let preparing = async {
        // These spaces are retained for an hour, and the controller reports conditions of them that `gc` does not report.
        for name in reference::names("", path::gc().name) {
            rig.perform(&name, &path::Act::Delete("DeveloperSpace", "$NAME")).await?;
        }
        Ok::<_, anyhow::Error>(join_all(cases.iter().map(|case| run::prepare(rig, case))).await)
    };
    let mut prepared = tokio::select! {
        prepared = preparing => prepared?,
        error = keep(rig, &complaints) => return Err(error),
    };
    let log = rig.log_tail();
    for outcome in prepared.iter_mut().filter_map(|prepared| prepared.as_mut().err()) {
        outcome.trace = complaints.take();
        outcome.trace.push(format!("the end of the controller's log:\n{log}"));
    }
    rig.revive().await?;
    rig.terminate().await?;
    Ok(prepared)
}

/// Runs `gc` repeatedly. Returns when a run cannot be started.
async fn sweeping(rig: &Rig) -> anyhow::Error {
    loop {
        // Most runs are disturbed, so their exit status has no meaning. Their writes are checked.
        if let Err(error) = rig.gc().await {
            return error;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn twice_deleted(rig: &Rig, from: usize) -> Vec<Outcome> {
    let mut times: HashMap<String, u32> = HashMap::new();
    let deleted = rig.proxy.journal().since(from, |entry| entry.request_info.signature() == "delete-namespaces" && entry.was_done());
    for entry in deleted {
        *times.entry(entry.request_info.name).or_default() += 1;
    }
    let wrong = times.into_iter().filter(|(_, times)| *times > 1);
    wrong
        .map(|(name, times)| Outcome::violated(format!("gc/{name}"), Oracle::Safe, format!("its namespace was deleted {times} times")))
        .collect()
}
