//! Owns one case from its preparation to its outcome.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{
    case::Case,
    dump::dump,
    reference::Reference,
    report::{CaseOutcome, CaseResult, Oracle},
    rig::Rig,
};
use crate::{
    fixtures::{SOON, ensure_equal},
    proxy::{Entry, FaultRule, RuleId, RuleProgress, WriteSelector},
    wait::eventually,
};

/// The additional time for which a late case is watched, to distinguish late from stuck.
const LATE_CASE_TIMEOUT: Duration = Duration::from_secs(180);
/// A run that is back in its end state and has written nothing for this time will not reach the write.
const UNREACHED_AFTER: Duration = Duration::from_secs(6);
/// The time within which a run reaches the write.
const REACHED_WITHIN: Duration = Duration::from_secs(120);

/// Prepares the case, without a fault. The error is the outcome of the case.
pub(super) async fn prepare(rig: &Rig, case: &Case) -> Result<(), CaseOutcome> {
    rig.prepare(&case.space(), &case.path)
        .await
        .map_err(|error| CaseOutcome::violated(case.id(), Oracle::Live, format!("before the fault: {error:#}")))
}

/// Performs the actions of the path under the fault, and checks the result.
pub(super) async fn run(rig: &Rig, case: &Case, reference: &Reference) -> CaseOutcome {
    let name = case.space();
    rig.proxy.restart_count(&name);
    let target = WriteSelector { space: &name, signature: &case.target.signature, nth: case.target.nth };
    let rule =
        rig.proxy.add_rule(FaultRule::write(case.kind.name, case.kind.fault.clone(), target).limit(case.kind.limit));
    let from = rig.proxy.journal().len();
    let mut outcome = match act_and_check(rig, case, reference, rule).await {
        Ok(outcome) => outcome,
        Err(error) => CaseOutcome::violated(case.id(), Oracle::Live, format!("{error:#}")),
    };
    rig.proxy.remove_rule(rule);
    if matches!(outcome.result, CaseResult::Violated(_)) {
        let lines: Vec<String> = rig
            .proxy
            .journal()
            .since(from, |entry| entry.request_info.space.as_deref() == Some(&name))
            .iter()
            .map(Entry::line)
            .collect();
        let shown = lines.len().saturating_sub(40);
        outcome.trace = lines[shown..].to_vec();
    }
    outcome
}

/// Performs the actions, and waits until the space is in the end state of the reference run.
async fn act_and_check(rig: &Rig, case: &Case, reference: &Reference, rule: RuleId) -> Result<CaseOutcome> {
    let name = case.space();
    for action in &case.path.actions {
        rig.perform(&name, action).await?;
    }
    let is_at_end = |objects: &_| ensure_equal(&name, &dump(&name, objects), &reference.end);
    let was_hit = eventually("the fault to strike", REACHED_WITHIN, || async {
        let progress = rig.proxy.progress(rule);
        if progress.is_some_and(|progress| progress.hits > 0) {
            return Ok(Some(true));
        }
        Ok(is_unreached(rig, &name, reference).then_some(false))
    })
    .await?;
    if !was_hit {
        return Ok(CaseOutcome::not_reached(case.id()));
    }
    let end = fault_end(rig, rule).await;
    rig.view
        .until("to be as in the reference run", &name, SOON + LATE_CASE_TIMEOUT, is_at_end)
        .await
        .context("never converged")?;
    let (elapsed, terminating) =
        (end.elapsed(), rig.view.last_termination(&name).map(|(from, to)| (from.into_std(), to.into_std())));
    let operator_time = elapsed.saturating_sub(termination_time(end, terminating));
    Ok(if operator_time < SOON {
        CaseOutcome::passed(case.id(), elapsed)
    } else {
        let late =
            format!("converged only {elapsed:?} after the fault's end, of which {operator_time:?} were the operator's");
        CaseOutcome::violated(case.id(), Oracle::Live, late)
    })
}

/// Returns the time after `end` in which the namespace was terminating. kube-controller-manager deletes its contents,
/// so that time is not the operator's. All other time is, including the time before the DELETE.
fn termination_time(end: Instant, terminating: Option<(Instant, Instant)>) -> Duration {
    terminating.map_or(Duration::ZERO, |(from, to)| to.saturating_duration_since(from.max(end)))
}

/// Returns true if the space is in its end state and nothing more is written: another order of events made the write
/// unnecessary.
fn is_unreached(rig: &Rig, name: &str, reference: &Reference) -> bool {
    let written = rig.proxy.journal().writes_of(name, 0);
    let quiet = written.last().is_some_and(|entry| entry.instant.elapsed() > UNREACHED_AFTER);
    quiet && dump(name, &rig.view.objects(name)) == reference.end
}

/// Returns the time at which the fault ended: its last hit, or the end of its duration.
async fn fault_end(rig: &Rig, rule: RuleId) -> Instant {
    let ended = eventually("the fault to be over", LATE_CASE_TIMEOUT, || async {
        Ok(rig.proxy.progress(rule).and_then(|RuleProgress { end, .. }| end).filter(|end| *end <= Instant::now()))
    });
    match ended.await {
        Ok(end) => end,
        // The fault has hits left that no request triggers. The end of this wait counts as its end.
        Err(_) => Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_which_the_namespace_terminates_does_not_count() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        for (terminating, expected) in [(None, 0), (Some((5, 8)), 0), (Some((5, 30)), 20), (Some((70, 75)), 5)] {
            let terminating = terminating.map(|(from, to)| (after(from), after(to)));
            assert_eq!(
                termination_time(after(10), terminating),
                Duration::from_secs(expected),
                "a DELETE that comes late is late: {terminating:?}"
            );
        }
    }
}
