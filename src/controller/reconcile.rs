//! The reconcile of one space, as a pipeline: observe → decide → act → report → requeue.
//!
//! `worker.rs` calls it in a worker slot, and `race.rs` calls it again after a lost race. The status is written in two
//! other places: the seal of an expired space is itself a write of the status and precedes the DELETE (`expire.rs`),
//! and a failure is reported after the pipeline (`retry.rs`).

use std::{borrow::Cow, time::Duration};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    admit::admit,
    context::Context,
    expire::expire,
    failure::Failure,
    finalize::finalize_or_expire,
    ledger::broken_rules,
    observe::observe,
    outcome::Outcome,
    refuse::{Refused, refuse},
    schedule::Next,
};
use crate::{
    api::DeveloperSpace,
    cache::owner_limit::is_live,
    desired::{
        expiry::Step,
        plan::{Observed, Plan, decide},
    },
    runtime::watchdog::space_key,
};

/// The requeue interval of a space that yields to expired spaces. It is long enough that thousands of such spaces cost
/// little.
const DEFERRED_REQUEUE_INTERVAL: Duration = Duration::from_secs(60);

/// Reconciles this version of `space`.
pub async fn reconcile(space: &DeveloperSpace, ctx: &Context) -> Result<Action, Failure> {
    // Observe: reads the cache. No request.
    let observed = observe(space, &ctx.io);
    track(space, &observed, ctx);
    // Decide: pure.
    let plan = decide(space, &observed, &ctx.io.protected, ctx.deferral(observed.now));
    // Act: the requests on the namespace and its objects, and the finalizer.
    let mut outcome = act(ctx, space, observed, plan).await?;
    // Report: the status, if it differs, and the Events.
    outcome.report(ctx).await?;
    if !is_live(space) {
        // The last step of the expiry has succeeded.
        ctx.watchdog.set_expiry(space_key(space), None);
    } else if !outcome.observed.is_seal_held {
        ctx.watchdog.clear_blocked_expiry(space_key(space));
    }
    // Requeue: the next time at which the state changes without an event.
    Ok(outcome.next.action(&outcome.observed, ctx.io.clock.now()))
}

/// Records the expiry of the space, and the rules that it does not comply with.
fn track(space: &DeveloperSpace, observed: &Observed, ctx: &Context) {
    match observed.outlook.expires_at {
        // The record of a space that is sealed or being deleted stays until the reconcile succeeds: its namespace may
        // still have to be deleted.
        _ if !is_live(space) => {}
        // The validation of the class triggers the next reconcile.
        Some(expiry) if observed.is_seal_held => ctx.watchdog.set_blocked_expiry(space_key(space), expiry),
        expiry => {
            ctx.watchdog.set_expiry(space_key(space), expiry);
            if let Some(expiry) = expiry {
                ctx.expiry_queue.register(&space.name_any(), expiry, observed.now);
            }
        }
    }
    let broken =
        broken_rules(space, &ctx.io, observed.class_name.as_deref().unwrap_or_default(), observed.class_spec());
    ctx.io.metrics.noncompliant.record(space_key(space), broken);
}

async fn act<'a>(
    ctx: &Context,
    space: &'a DeveloperSpace,
    observed: Observed,
    plan: Plan,
) -> Result<Outcome<'a>, Failure> {
    match plan {
        Plan::Finalize(step) => finalize_or_expire(ctx, space, observed, step).await,
        Plan::Expire(step) => expire(ctx, space, observed, step).await,
        Plan::Defer => Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::In(DEFERRED_REQUEUE_INTERVAL))),
        Plan::AwaitClass => Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::After(Step::Live))),
        Plan::Refuse(refusal) => Box::pin(refuse(ctx, space, observed, Refused::from(refusal))).await,
        Plan::Withhold { refusal, report_at } => {
            let refused = Refused { recheck_at: Some(report_at), ..Refused::from(refusal) };
            let outcome = Box::pin(refuse(ctx, space, observed, refused)).await?;
            Ok(Outcome { report: None, ..outcome })
        }
        Plan::Admit(accepted) => admit(ctx, space, observed, accepted).await,
    }
}
