//! The reconcile of one space: observe → resolve → desire → diff → apply → report → next wake-up.

use std::time::Duration;

use chrono::TimeDelta;
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    admit::{Decision, Fits, admit, take_place},
    children::withdraw_subjects,
    context::Context,
    expire,
    failure::{Failure, with_error},
    finalize,
    foreign_bindings::transferred,
    isolation::admits,
    ledger::broken_rules,
    namespace,
    observe::{Observed, observe, observe_admitted},
    owner_places::{leave_line, release_places, release_previous_place},
    provision::{Provisioned, ensure_finalizer, follow_expiry, provision},
    quota_wait,
    report::{Report, report},
    running_pods,
    schedule::{TERMINATING_REQUEUE_INTERVAL, after},
    usage, waiting_limit,
};
use crate::{
    api::{DeveloperSpace, names, quantity::Quantity},
    cache::owner_limit::is_live,
    desired::{
        Grant, Refusal,
        expiry::Step,
        namespace::{Ownership, SeenNamespace, ownership},
        status::Verdict,
        usage::COUNT_ONLY,
        waiting_limit::was_never_admitted,
    },
    installed::crd_is_going,
    runtime::{error::Error, watchdog::space_key},
};

/// The requeue interval of a space that yields to expired spaces. It is long enough that thousands of such spaces cost little.
const DEFERRED_REQUEUE_INTERVAL: Duration = Duration::from_secs(60);

/// The interval at which a space that uses more than the class it wants allows is reconciled again: no event reports that it uses less.
const USAGE_RECHECK_INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// Takes the next step of `space`, decided by this version of it.
pub async fn take_step(space: &DeveloperSpace, ctx: &Context) -> Result<Action, Failure> {
    let mut observed = observe(space, ctx);
    let expiry = observed.outlook.expires_at.filter(|_| is_live(space));
    ctx.watchdog.expects(space_key(space), expiry);
    if let Some(expiry) = expiry {
        ctx.expiry_queue.register(&space.name_any(), expiry, observed.now);
    }
    let broken = broken_rules(space, ctx, observed.class_name.as_deref().unwrap_or_default(), observed.class_spec());
    ctx.metrics.noncompliant.record(space_key(space), broken);
    let step = expire::next(space, &observed);
    if space.metadata.deletion_timestamp.is_some() {
        return finalize_or_expire(space, &observed, &step, ctx).await;
    }
    if expire::gives_way(ctx, space, &observed, &step) {
        return Ok(Action::requeue(DEFERRED_REQUEUE_INTERVAL));
    }
    if step != Step::Live {
        if matches!(step, Step::Keep(_) | Step::Forget) {
            release_places(space, ctx);
        }
        let written = expire::carry_out(ctx, space, &observed, &step).await?.space;
        if step == Step::Seal && observed.outlook.expires_at.is_some_and(|end| end > observed.now) {
            ctx.expiry_queue.keep_sealed(written);
        }
        return Ok(after(&step, &observed, ctx));
    }
    let refusal = match admit(space, &mut observed, ctx) {
        Decision::AwaitClass => return Ok(after(&Step::Live, &observed, ctx)),
        Decision::Refused(refusal) => refusal,
        Decision::Fits(fits) => match settle(space, &mut observed, ctx, &fits).await? {
            Some(refusal) => refusal,
            None => return Box::pin(grant(space, observed, ctx, *fits)).await,
        },
    };
    Box::pin(refuse(space, &mut observed, ctx, refusal)).await?;
    Ok(after(&Step::Live, &observed, ctx))
}

/// Admits a space whose spec fits, if there is a place under the owner limit; otherwise returns the refusal. For a move, the namespace must not
/// exceed the other class, its pods must comply with the Pod Security level, and an enforced isolation must not be breached.
async fn settle(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context, fits: &Fits) -> Result<Option<Refusal>, Error> {
    let is_moved = observed.standing.as_ref().is_some_and(|standing| standing.class_name != fits.class_name);
    let is_alive = observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none());
    if is_moved && is_alive {
        if let Some(refusal) = usage::fits(ctx, space, observed, fits).await? {
            return Ok(Some(look_again(observed, refusal)));
        }
        if let Some(seen) = observed.own_namespace()
            && let Some(refusal) = running_pods::comply(ctx, space, seen, fits).await?
        {
            return Ok(Some(look_again(observed, refusal)));
        }
        if fits.resolved.network.enforced {
            if !namespace::is_marked_enforced(ctx, &space.name_any()) {
                withhold(space, observed, ctx).await?;
            }
            let refusal = admits(ctx, &space.name_any(), &fits.class_name).await?;
            if refusal.is_some() {
                return Ok(refusal);
            }
        }
    }
    Ok(take_place(space, observed, ctx, fits).err())
}

/// Schedules another reconcile for the refusal of a move that the contents of the namespace prevent: no event reports that they are deleted.
fn look_again(observed: &mut Observed, refusal: Refusal) -> Refusal {
    observed.wakes_by(observed.now + USAGE_RECHECK_INTERVAL);
    refusal
}

/// Provisions an admitted space according to its spec.
async fn grant(space: &DeveloperSpace, observed: Observed, ctx: &Context, fits: Fits) -> Result<Action, Failure> {
    let class_name = fits.class_name.clone();
    Box::pin(grant_under(space, observed, ctx, fits)).await.map_err(|error| Failure { admitted: Some(class_name), ..error.into() })
}

async fn grant_under(space: &DeveloperSpace, observed: Observed, ctx: &Context, fits: Fits) -> Result<Action, Error> {
    let Fits { class_name, resolved, .. } = fits;
    let is_there = observed.standing.as_ref().is_some_and(|had| had.class_name == class_name && had.owner == space.spec.owner);
    let before = observed.standing.as_ref().filter(|had| had.owner != space.spec.owner).map(|had| had.owner.clone());
    let observed = if is_there { observed } else { observe_admitted(space, ctx, &class_name) };
    let wait = |hold: Duration| {
        let wake = observed.outlook.wake.map(|wake| (wake - ctx.clock.now()).to_std().unwrap_or_default());
        Action::requeue(wake.map_or(hold, |wake| wake.min(hold)))
    };
    match provision(ctx, space, &observed, &resolved, Grant::Full).await? {
        Provisioned { hold: Some(hold), .. } => Ok(wait(hold)),
        Provisioned { space, report: mut said, hold: None, waits } => {
            if let Some(before) = before.filter(|_| observed.own_namespace().is_some()) {
                said.notes.push(Box::pin(transferred(ctx, &space, &before)).await?);
            }
            report(ctx, &space, &observed, said).await?;
            release_previous_place(&space, ctx);
            Ok(if waits { wait(quota_wait::INTERVAL) } else { after(&Step::Live, &observed, ctx) })
        }
    }
}

/// Reconciles a space that is being deleted. If its deletion waits, it still expires: it is sealed and its namespace is deleted.
async fn finalize_or_expire(space: &DeveloperSpace, observed: &Observed, step: &Step, ctx: &Context) -> Result<Action, Failure> {
    let is_held_by_others = !space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    if (was_never_admitted(space) || is_held_by_others) && observed.own_namespace().is_none() {
        // Other spaces do not wait for its place.
        release_places(space, ctx);
    }
    let is_alive = observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none());
    let ends = *step == Step::Seal && is_alive && !crd_is_going(&ctx.client).await?;
    match step {
        Step::Seal if ends => {
            expire::carry_out(ctx, space, observed, step).await?;
        }
        Step::AwaitEnd(_) => return Ok(after(step, observed, ctx)),
        _ => {
            let waits = finalize::finalize(ctx, space, observed).await;
            let taken = if waits_with_its_namespace(space, ctx) { Box::pin(withhold(space, observed, ctx)).await } else { Ok(()) };
            match waits? {
                Some(message) => finalize::tell(ctx, space, observed, message, taken).await?,
                None => taken?,
            }
        }
    }
    let soon = observed.outlook.wake.and_then(|wake| (wake - ctx.clock.now()).to_std().ok());
    Ok(Action::requeue(soon.unwrap_or(TERMINATING_REQUEUE_INTERVAL).min(TERMINATING_REQUEUE_INTERVAL)))
}

/// Returns true if the deletion of `space` waits, and its namespace is not being deleted: the class and the spec still apply to that namespace.
fn waits_with_its_namespace(space: &DeveloperSpace, ctx: &Context) -> bool {
    let is_own = |seen: &SeenNamespace| ownership(space, seen) == Ownership::Ours && seen.terminating.is_none();
    !ctx.attempts.is_deleted(&space.name_any(), &space.uid().unwrap_or_default())
        && ctx.store.namespace(&space.name_any()).is_some_and(|seen| is_own(&seen))
}

/// Removes the access that a refused spec no longer names, and the resources that the class in force no longer allows. Nothing new is granted.
async fn withhold(space: &DeveloperSpace, observed: &Observed, ctx: &Context) -> Result<(), Error> {
    if observed.own_namespace().is_none_or(|namespace| namespace.terminating.is_some()) {
        return Ok(());
    }
    match &observed.ruling {
        Some(ruling) if observed.standing.is_some() => {
            let mut resolved = ruling.resolved.clone();
            resolved.network_enforced |= observed.wants_isolation(ctx);
            let counted = observed.to_count.iter().map(|key| (key.clone(), Quantity::from(COUNT_ONLY)));
            resolved.quota.extend(counted);
            provision(ctx, space, observed, &resolved, Grant::Withheld).await.map(|_| ())
        }
        _ => {
            withdraw_subjects(ctx, &space.name_any(), &space.spec).await?;
            follow_expiry(ctx, space, observed).await?;
            Box::pin(usage::count(ctx, space, observed)).await
        }
    }
}

/// Reports the refusal of a spec and carries out its removals. Deletes a space that waits beyond the number of spaces that may wait for a place.
async fn refuse(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context, refusal: Refusal) -> Result<(), Failure> {
    leave_line(space, &refusal, ctx);
    if let Some(deletion) = waiting_limit::deletion(space, observed, ctx, &refusal) {
        if deletion <= observed.now {
            return Ok(waiting_limit::delete(ctx, space, observed).await?);
        }
        observed.wakes_by(deletion);
    }
    // A client that replaces the whole object drops the finalizer. Without the finalizer, a deletion would leave the namespace behind.
    let held = match observed.own_namespace() {
        Some(_) => ensure_finalizer(ctx, space).await,
        None => Ok(space.clone()),
    };
    let latest = held.as_ref().unwrap_or(space);
    let taken = withhold(latest, observed, ctx).await;
    let refusal = match &observed.standing {
        Some(standing) => standing.beside_a_transfer(&space.spec.owner, refusal),
        None => refusal,
    };
    let Refusal { reason, message } = observed.beside_a_missing_class(refusal);
    let error = held.as_ref().err().or_else(|| taken.as_ref().err());
    let verdict = with_error(ctx, latest, Verdict::new(reason, message), error);
    report(ctx, latest, observed, Report::new(verdict, observed.known_namespace(space))).await?;
    Failure::after_report(held.err().or_else(|| taken.err()))
}
