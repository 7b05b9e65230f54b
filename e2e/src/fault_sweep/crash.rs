//! Owns the cases that end the operator's process. They are prepared concurrently and run one after another, and the
//! operator is restarted each time.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, stream};

use super::{
    batch::judge,
    case::Case,
    progress::Progress,
    reference::References,
    report::{Oracle, Outcome},
    restarter::{Complaints, keep},
    rig::Rig,
    run,
};

const SIDE_BY_SIDE: usize = 16;

/// Runs `cases` and checks the final state.
pub async fn run_all(rig: &Rig, cases: &[Case], references: &References, quiet: Duration, progress: &Progress) -> Result<Vec<Outcome>> {
    let from = rig.proxy.journal().len();
    let complaints = Complaints::default();
    let mut prepared: Vec<(&Case, Result<(), Outcome>)> =
        stream::iter(cases).map(|case| async move { (case, run::prepare(rig, case).await) }).buffer_unordered(SIDE_BY_SIDE).collect().await;
    prepared.sort_by_key(|(case, _)| case.id());
    let running = async {
        let mut outcomes = vec![];
        for (case, prepared) in prepared {
            let mut outcome = match (prepared, references.get(case.path.name)) {
                (Ok(()), Some(reference)) => run::run(rig, case, reference).await,
                (Ok(()), None) => Outcome::violated(case.id(), Oracle::End, "there is no reference run of this path".to_owned()),
                (Err(outcome), _) => outcome,
            };
            if let Some(complaint) = complaints.take().pop() {
                outcome = Outcome::violated(case.id(), Oracle::Live, complaint);
            }
            progress.note(&outcome);
            outcomes.push(outcome);
        }
        outcomes
    };
    let outcomes = tokio::select! {
        outcomes = running => outcomes,
        error = keep(rig, &complaints) => return Err(error),
    };
    // The last case may have ended the operator after all work was done. QUIET has no meaning for an operator that does
    // not run.
    rig.revive().await?;
    judge(rig, cases, references, (outcomes, from), quiet).await
}
