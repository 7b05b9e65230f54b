//! The reconcile of one space: observe → resolve → desire → diff → apply → report → next wake-up.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};

use super::{
    admit::{Decision, Fits, admit, give_up_the_place_before, leave_line, take_place, withdraw},
    children::withdraw_subjects,
    context::Context,
    expire, finalize,
    foreign_bindings::transferred,
    isolation::{admits, is_marked},
    ledger::broken_rules,
    observe::{Observed, observe, observe_admitted},
    provision::{Provisioned, ensure_finalizer, follow_expiry, provision},
    quota_wait,
    race::take_step_at_last,
    report::{Report, report, undecodable},
    retry::{self, Failure},
    running_pods, usage, waiting_limit,
    whole_space::whole,
};
use crate::{
    api::{DeveloperSpace, names, quantity::Quantity},
    cache::{owner_limit::is_live, watches::CachedSpace},
    desired::{
        Grant, SpecRefusal, Uid,
        expiry::Step,
        hash::hash,
        namespace::{Ownership, SeenNamespace, ownership},
        resource_version::version,
        status::Readiness,
        usage::COUNT_ONLY,
        waiting_limit::was_never_admitted,
    },
    installed::UNTIL_COMPLETE,
    runtime::error::Error,
};

/// The longest duration of a reconcile.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest sleep: the wall clock is read again at least this often, since it may be stepped and timers may not follow.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// The requeue interval while an object is being deleted, for an event that is lost. It is long enough that thousands of spaces that expire at
/// once are not reconciled over and over.
const LOOK_AGAIN: Duration = Duration::from_secs(120);

/// The requeue interval of a space that yields to expired spaces. It is long enough that thousands of such spaces cost little.
const GIVE_WAY: Duration = Duration::from_secs(60);

/// The requeue interval while the store is behind a write of the operator and no event arrives.
const CATCH_UP: Duration = Duration::from_secs(1);

/// After this number of consecutive failures, a space shares a few worker slots with other failing spaces.
const FAILING: u32 = 2;

/// The requeue interval of a failing space while other failing spaces hold all slots for such spaces, and of a space whose end is being reconciled.
const ANOTHER_TIME: Duration = Duration::from_secs(5);

/// The interval at which a space that uses more than the class it wants allows is reconciled again: no event reports that it uses less.
const USES_LESS: TimeDelta = TimeDelta::seconds(30);

/// Reconciles one space from the store, once a worker slot is free.
pub async fn reconcile(kept: Arc<CachedSpace>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.store.ready().await;
    let is_failing = ctx.memory.failures(&kept.name_any()) >= FAILING;
    let turn = is_failing.then(|| ctx.places.turn_of_the_failing());
    if matches!(turn, Some(None)) {
        return Ok(Action::requeue(ANOTHER_TIME));
    }
    // The space is unpacked, and the future allocated, only once a worker slot is free: hundreds of spaces may wait for one.
    let work = async { tokio::time::timeout(DEADLINE, Box::pin(look_alone(&kept, &ctx))).await };
    let action = ctx.places.take(work).await.unwrap_or(Err(Error::Deadline(DEADLINE)))?;
    ctx.metrics.count("success");
    Ok(action.unwrap_or(Action::requeue(ANOTHER_TIME)))
}

/// Reconciles a space whose end is due, in a worker slot of its own. Returns false if it could not: another reconcile of the space may be under
/// way, or the store may be behind a write of the operator.
pub async fn at_the_end(kept: &CachedSpace, ctx: &Context) -> Result<bool, Error> {
    // Ends are known while places under the owner limit are still being registered, and nothing is decided before that is done.
    ctx.store.ready().await;
    let name = kept.name_any();
    // The state is read after the turn is taken: the previous reconcile may have written the seal at the last moment, and this copy lacks it.
    let Some(_turn) = ctx.turns.take(name.clone()) else { return Ok(false) };
    // The copy in the map by name has no resourceVersion: only the packed object has.
    let sealed = ctx.ends.take_sealed(&name);
    let Some(mut space) = whole(kept, ctx).await? else { return Ok(true) };
    if ctx.memory.is_stale(&name, version(space.meta())) {
        // The operator's own seal may not have come back by the watch yet.
        match sealed.filter(|sealed| !ctx.memory.is_stale(&name, version(&sealed.metadata))) {
            Some(sealed) => space = DeserializeGuard(Ok(sealed)),
            None => return Ok(false),
        }
    }
    tokio::time::timeout(DEADLINE, Box::pin(look_at(&space, ctx))).await.unwrap_or(Err(Error::Deadline(DEADLINE)))?;
    ctx.metrics.count("success");
    Ok(true)
}

async fn look_alone(kept: &CachedSpace, ctx: &Context) -> Result<Option<Action>, Error> {
    let Some(_turn) = ctx.turns.take(kept.name_any()) else { return Ok(None) };
    let Some(space) = whole(kept, ctx).await? else { return Ok(Some(Action::requeue(LOOK_AGAIN))) };
    look_at(&space, ctx).await.map(Some)
}

async fn look_at(guarded: &DeserializeGuard<DeveloperSpace>, ctx: &Context) -> Result<Action, Error> {
    if ctx.installed.has_problem() {
        return Ok(Action::requeue(UNTIL_COMPLETE));
    }
    let _running = (ctx.metrics.begin(), ctx.watchdog.begin());
    let space = match &guarded.0 {
        Ok(space) => space,
        Err(broken) => {
            // The expiry of a space that cannot be read is unknown, so it is not overdue.
            ctx.watchdog.expects(key(guarded), None);
            ctx.metrics.noncompliant.note(key(guarded), Vec::new());
            return undecodable(ctx, broken).await.map(|()| Action::await_change());
        }
    };
    let (name, seen) = (space.name_any(), version(&space.metadata));
    let uid = space.uid().unwrap_or_default();
    let has_left = || ctx.memory.has_left(&name, &uid);
    if has_left() {
        return Ok(Action::await_change());
    }
    if ctx.memory.is_stale(&name, seen) {
        return Ok(Action::requeue(CATCH_UP));
    }
    if let Some(wait) = retry::rest(ctx, space) {
        return Ok(Action::requeue(wait));
    }
    let action = take_step_at_last(space, ctx).await;
    if has_left() {
        // The watch, which runs concurrently, removed the space before the step was recorded.
        ctx.watchdog.expects(key(space), None);
        ctx.metrics.noncompliant.note(key(space), Vec::new());
        withdraw(space, ctx);
    }
    let action = action?;
    ctx.memory.clear(&name, seen);
    Ok(action)
}

/// Takes the next step of `space`, decided by this version of it.
pub async fn take_step(space: &DeveloperSpace, ctx: &Context) -> Result<Action, Failure> {
    let mut observed = observe(space, ctx);
    let expiry = observed.outlook.expires_at.filter(|_| is_live(space));
    ctx.watchdog.expects(key(space), expiry);
    if let Some(expiry) = expiry {
        ctx.ends.expects(&space.name_any(), expiry, observed.now);
    }
    let broken = broken_rules(space, ctx, observed.class_name.as_deref().unwrap_or_default(), observed.class_spec());
    ctx.metrics.noncompliant.note(key(space), broken);
    let step = expire::next(space, &observed);
    if space.metadata.deletion_timestamp.is_some() {
        return finalize_or_expire(space, &observed, &step, ctx).await;
    }
    if expire::gives_way(ctx, space, &observed, &step) {
        return Ok(Action::requeue(GIVE_WAY));
    }
    if step != Step::Live {
        if matches!(step, Step::Retain(_) | Step::DeleteSpace) {
            withdraw(space, ctx);
        }
        let written = expire::carry_out(ctx, space, &observed, &step).await?.space;
        if step == Step::Seal && observed.outlook.expires_at.is_some_and(|end| end > observed.now) {
            ctx.ends.sealed(written);
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
async fn settle(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context, fits: &Fits) -> Result<Option<SpecRefusal>, Error> {
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
            if !is_marked(ctx, &space.name_any()) {
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
fn look_again(observed: &mut Observed, refusal: SpecRefusal) -> SpecRefusal {
    observed.wakes_by(observed.now + USES_LESS);
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
            give_up_the_place_before(&space, ctx);
            Ok(if waits { wait(quota_wait::INTERVAL) } else { after(&Step::Live, &observed, ctx) })
        }
    }
}

/// Reconciles a space that is being deleted. If its deletion waits, it still expires: it is sealed and its namespace is deleted.
async fn finalize_or_expire(space: &DeveloperSpace, observed: &Observed, step: &Step, ctx: &Context) -> Result<Action, Failure> {
    let is_held_by_others = !space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    if (was_never_admitted(space) || is_held_by_others) && observed.own_namespace().is_none() {
        // Other spaces do not wait for its place.
        withdraw(space, ctx);
    }
    let is_alive = observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none());
    let ends = *step == Step::Seal && is_alive && !finalize::crd_is_going(ctx).await?;
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
    Ok(Action::requeue(soon.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)))
}

/// Returns true if the deletion of `space` waits, and its namespace is not being deleted: the class and the spec still apply to that namespace.
fn waits_with_its_namespace(space: &DeveloperSpace, ctx: &Context) -> bool {
    let is_own = |seen: &SeenNamespace| ownership(space, seen) == Ownership::Ours && seen.terminating.is_none();
    !ctx.memory.has_left(&space.name_any(), &space.uid().unwrap_or_default())
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
async fn refuse(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context, refusal: SpecRefusal) -> Result<(), Failure> {
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
    let SpecRefusal { reason, message } = observed.beside_a_missing_class(refusal);
    let error = held.as_ref().err().or_else(|| taken.as_ref().err());
    let verdict = retry::with_error(ctx, latest, Readiness::new(reason, message), error);
    report(ctx, latest, observed, Report::new(verdict, observed.known_namespace(space))).await?;
    Failure::after_report(held.err().or_else(|| taken.err()))
}

/// The key of a space in the watchdog.
pub fn key(space: &impl Resource) -> u64 {
    hash(&Uid::from_metadata(space.meta()))
}

/// The action after a step: a requeue at the next time at which the state changes without an event.
fn after(step: &Step, observed: &Observed, ctx: &Context) -> Action {
    let wake = match step {
        Step::Live => observed.outlook.wake,
        Step::Retain(until) | Step::AwaitEnd(until) => Some(*until),
        Step::Seal => observed.outlook.expires_at.filter(|end| *end > observed.now).or(Some(observed.now + LOOK_AGAIN)),
        Step::DeleteNamespace(_) | Step::AwaitNamespace(_) | Step::DeleteSpace => return Action::requeue(LOOK_AGAIN),
    };
    match wake {
        None => Action::await_change(),
        Some(wake) => {
            let wait = (wake - ctx.clock.now()).to_std().unwrap_or_default();
            Action::requeue(wait.min(LONGEST_SLEEP))
        }
    }
}
