//! Owns the cases that end the operator's process. They are prepared concurrently and run one after another, and the
//! operator is restarted each time.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, stream};

use super::{
    batch::CompletedCases,
    case::Case,
    progress::SweepProgress,
    reference::References,
    report::{CaseOutcome, Oracle},
    restarter::{UnexpectedExits, keep_running},
    rig::Rig,
    run,
};

/// The maximum number of cases that are prepared concurrently.
const MAX_CONCURRENT_PREPARATIONS: usize = 16;

/// Runs `cases` and checks the final state.
pub(super) async fn run_all(
    rig: &Rig,
    cases: &[Case],
    references: &References,
    quiet: Duration,
    progress: &SweepProgress,
) -> Result<Vec<CaseOutcome>> {
    let from = rig.proxy.journal().len();
    let unexpected_exits = UnexpectedExits::default();
    let mut prepared: Vec<(&Case, Result<(), CaseOutcome>)> = stream::iter(cases)
        .map(|case| async move { (case, run::prepare(rig, case).await) })
        .buffer_unordered(MAX_CONCURRENT_PREPARATIONS)
        .collect()
        .await;
    prepared.sort_by_key(|(case, _)| case.id());
    let running = async {
        let mut outcomes = vec![];
        for (case, prepared) in prepared {
            let mut outcome = match (prepared, references.get(case.path.name)) {
                (Ok(()), Some(reference)) => run::run(rig, case, reference).await,
                (Ok(()), None) => {
                    CaseOutcome::violated(case.id(), Oracle::End, "there is no reference run of this path".to_owned())
                }
                (Err(outcome), _) => outcome,
            };
            if let Some(reason) = unexpected_exits.take().pop() {
                outcome = CaseOutcome::violated(case.id(), Oracle::Live, reason);
            }
            progress.record(&outcome);
            outcomes.push(outcome);
        }
        outcomes
    };
    let outcomes = tokio::select! {
        outcomes = running => outcomes,
        error = keep_running(rig, &unexpected_exits) => return Err(error),
    };
    // The last case may have ended the operator after all work was done. QUIET has no meaning for an operator that does
    // not run.
    rig.ensure_running().await?;
    CompletedCases { cases, references, outcomes, from }.check(rig, quiet).await
}
