//! Owns the cases of `gc` alone: the controller creates the spaces and ends. Then `gc` runs repeatedly, while each of
//! its writes meets its fault.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;

use super::batch::judge;
use super::bench::Bench;
use super::case::{self, Case};
use super::faults::{self, Kind};
use super::path;
use super::progress::Progress;
use super::reference::{self, References};
use super::report::{Oracle, Outcome};
use super::run;

/// The pause between two runs of `gc`.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs every case that `wanted` accepts and checks the final state. The controller of `bench` runs during the
/// preparation, and not afterwards.
pub async fn run_all(bench: &Bench, wanted: impl Fn(&Case) -> bool, quiet: Duration, progress: &Progress) -> Result<Vec<Outcome>> {
    let path = path::gc();
    bench.revive().await?;
    reference::prepare(bench, "", &path).await?;
    bench.terminate().await?;
    let reference = tokio::select! {
        reference = reference::learn_prepared(bench, "", &path) => reference?,
        error = sweeping(bench) => return Err(error),
    };
    let kinds = faults::all();
    let every = reference.targets.iter().flat_map(|target| kinds.iter().map(move |kind| (target, kind)));
    let make = |(target, kind): (&case::Target, &Kind)| Case { path: path.clone(), target: target.clone(), kind: kind.clone() };
    let cases: Vec<Case> = every.map(make).filter(|case| wanted(case)).collect();
    progress.expect(cases.len());
    bench.start().await?;
    // These spaces are retained for an hour, and the controller reports conditions of them that `gc` does not report.
    for name in reference::names("", path.name) {
        bench.perform(&name, &path::Act::Delete("DeveloperSpace", "$NAME")).await?;
    }
    let prepared: Vec<Result<(), Outcome>> = join_all(cases.iter().map(|case| run::prepare(bench, case))).await;
    bench.terminate().await?;
    let from = bench.proxy.journal().len();
    let running = join_all(cases.iter().zip(prepared).map(|(case, prepared)| async {
        let outcome = match prepared {
            Ok(()) => run::run(bench, case, &reference).await,
            Err(outcome) => outcome,
        };
        progress.note(&outcome);
        outcome
    }));
    let judged = async {
        let outcomes = running.await;
        let references = References::from([(path.name, reference.clone())]);
        judge(bench, &cases, &references, (outcomes, from), quiet).await
    };
    let mut outcomes = tokio::select! {
        outcomes = judged => outcomes?,
        error = sweeping(bench) => return Err(error),
    };
    outcomes.extend(twice_deleted(bench, from));
    Ok(outcomes)
}

/// Runs `gc` repeatedly. Returns when a run cannot be started.
async fn sweeping(bench: &Bench) -> anyhow::Error {
    loop {
        // Most runs are disturbed, so their exit status has no meaning. Their writes are checked.
        if let Err(error) = bench.gc().await {
            return error;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn twice_deleted(bench: &Bench, from: usize) -> Vec<Outcome> {
    let mut times: HashMap<String, u32> = HashMap::new();
    let deleted = bench.proxy.journal().since(from, |entry| entry.facts.signature() == "delete-namespaces" && entry.was_done());
    for entry in deleted {
        *times.entry(entry.facts.name).or_default() += 1;
    }
    let wrong = times.into_iter().filter(|(_, times)| *times > 1);
    wrong
        .map(|(name, times)| Outcome::violated(format!("gc/{name}"), Oracle::Safe, format!("its namespace was deleted {times} times")))
        .collect()
}
