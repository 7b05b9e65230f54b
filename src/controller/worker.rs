//! One run of the reconciler for one space: its worker slot, its turn, its deadline, and the states in which nothing is
//! to be done.
//!
//! Decides nothing about the space; see [`super::reconcile`].

use std::{pin::Pin, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};

use super::{
    context::Context, owner_places::release_places, race::reconcile_until_written, report::undecodable, retry,
    schedule::TERMINATING_REQUEUE_INTERVAL, whole_space::whole,
};
use crate::{
    api::DeveloperSpace,
    cache::watches::CachedSpace,
    desired::{hash::hash, resource_version::version},
    installed::INCOMPLETE_REQUEUE_INTERVAL,
    runtime::{error::Error, watchdog::space_key},
};

/// The longest duration of a reconcile.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);

/// The requeue interval while the store is behind a write of the operator and no event arrives.
const STALE_STORE_REQUEUE_INTERVAL: Duration = Duration::from_secs(1);

/// After this number of consecutive failures, a space shares a few worker slots with other failing spaces.
const FAILURES_BEFORE_SHARED_SLOTS: u32 = 2;

/// The requeue interval of a failing space while other failing spaces hold all slots for such spaces, and of a space
/// whose end is being reconciled.
const BUSY_REQUEUE_INTERVAL: Duration = Duration::from_secs(5);

/// The largest fraction that is added to a wait.
const MAX_JITTER: f64 = 0.2;

/// Reconciles one space from the store, once a worker slot is free.
pub async fn reconcile_queued(kept: Arc<CachedSpace>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.io.store.ready().await;
    let is_failing = ctx.io.attempts.failures(&kept.name_any()) >= FAILURES_BEFORE_SHARED_SLOTS;
    let permit = is_failing.then(|| ctx.slots.try_failing_slot());
    if matches!(permit, Some(None)) {
        return Ok(Action::requeue(BUSY_REQUEUE_INTERVAL));
    }
    // The space is unpacked, and the future allocated, only once a worker slot is free: hundreds of spaces may wait for
    // one.
    let work = async { until_deadline(&kept, &ctx, Box::pin(run_in_turn(&kept, &ctx))).await };
    let action = ctx.slots.run(work).await?;
    ctx.io.metrics.count("success");
    Ok(action.unwrap_or(Action::requeue(BUSY_REQUEUE_INTERVAL)))
}

/// Reconciles a space whose end is due, in a worker slot of its own. Returns false if it could not: another reconcile
/// of the space may be under way, or the store may be behind a write of the operator.
pub async fn reconcile_expiring(kept: &CachedSpace, ctx: &Context) -> Result<bool, Error> {
    // Ends are known while places under the owner limit are still being registered, and nothing is decided before that
    // is done.
    ctx.io.store.ready().await;
    let name = kept.name_any();
    // The state is read after the turn is taken: the previous reconcile may have written the seal at the last moment,
    // and this copy lacks it.
    let Some(_turn) = ctx.turns.take(name.clone()) else { return Ok(false) };
    // The copy in the map by name has no resourceVersion: only the packed object has.
    let sealed = ctx.expiry_queue.take_sealed(&name);
    let Some(mut space) = whole(kept, ctx).await? else { return Ok(true) };
    if ctx.io.attempts.is_stale(&name, version(space.meta())) {
        // The operator's own seal may not have come back by the watch yet.
        match sealed.filter(|sealed| !ctx.io.attempts.is_stale(&name, version(&sealed.metadata))) {
            Some(sealed) => space = DeserializeGuard(Ok(sealed)),
            None => return Ok(false),
        }
    }
    until_deadline(kept, ctx, Box::pin(run(&space, ctx))).await?;
    ctx.io.metrics.count("success");
    Ok(true)
}

/// Ends `work`, a reconcile of `kept`, at its deadline. In that case, the API server has not refused the last step, so
/// the expiry of the space counts as unprocessed.
async fn until_deadline<T>(
    kept: &CachedSpace,
    ctx: &Context,
    work: Pin<Box<impl Future<Output = Result<T, Error>>>>,
) -> Result<T, Error> {
    tokio::time::timeout(RECONCILE_TIMEOUT, work).await.unwrap_or_else(|_| {
        // The copy in the map by name has no UID in its metadata.
        ctx.watchdog.clear_blocked_expiry(hash(&kept.kept.uid));
        Err(Error::Deadline(RECONCILE_TIMEOUT))
    })
}

async fn run_in_turn(kept: &CachedSpace, ctx: &Context) -> Result<Option<Action>, Error> {
    let Some(_turn) = ctx.turns.take(kept.name_any()) else { return Ok(None) };
    let Some(space) = whole(kept, ctx).await? else { return Ok(Some(Action::requeue(TERMINATING_REQUEUE_INTERVAL))) };
    run(&space, ctx).await.map(Some)
}

/// Reconciles this version of a space, unless nothing is to be done. Each log line of the reconcile has the name and
/// the UID of the space.
#[tracing::instrument(name = "reconcile", skip_all, fields(space = guarded.meta().name.as_deref(), uid = guarded.meta().uid.as_deref()))]
async fn run(guarded: &DeserializeGuard<DeveloperSpace>, ctx: &Context) -> Result<Action, Error> {
    if ctx.io.installed.has_problem() {
        return Ok(Action::requeue(INCOMPLETE_REQUEUE_INTERVAL));
    }
    let _running = (ctx.io.metrics.begin(), ctx.watchdog.begin());
    let space = match &guarded.0 {
        Ok(space) => space,
        Err(broken) => {
            // The expiry of a space that cannot be read is unknown, so it is not overdue.
            ctx.watchdog.set_expiry(space_key(guarded), None);
            ctx.io.metrics.noncompliant.record(space_key(guarded), Vec::new());
            return undecodable(&ctx.io, broken).await.map(|()| Action::await_change());
        }
    };
    let (name, seen) = (space.name_any(), version(&space.metadata));
    let uid = space.uid().unwrap_or_default();
    let is_deleted = || ctx.io.attempts.is_deleted(&name, &uid);
    if is_deleted() {
        return Ok(Action::await_change());
    }
    if ctx.io.attempts.is_stale(&name, seen) {
        return Ok(Action::requeue(STALE_STORE_REQUEUE_INTERVAL));
    }
    if let Some(wait) = retry::remaining_wait(ctx, space) {
        return Ok(Action::requeue(wait));
    }
    let action = reconcile_until_written(space, ctx).await;
    if is_deleted() {
        // The watch, which runs concurrently, removed the space before the step was recorded.
        ctx.watchdog.set_expiry(space_key(space), None);
        ctx.io.metrics.noncompliant.record(space_key(space), Vec::new());
        release_places(space, ctx);
    }
    let action = action?;
    ctx.io.attempts.clear(&name, seen);
    Ok(action)
}

/// Returns true if `error` is to be logged. The end of a space can lose all races in each second, which is logged once
/// a minute.
pub fn is_logged(ctx: &Context, name: &str, error: &Error) -> bool {
    !matches!(error, Error::Overtaken { .. }) || ctx.io.attempts.log_lost_races(name)
}

/// Begins the back-off of a space after `error`. Returns the time of its next reconcile, with a jitter, so that
/// reconciles that failed together are not retried together.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub(crate) fn back_off(space: Arc<CachedSpace>, error: &Error, ctx: Arc<Context>) -> Action {
    let name = space.name_any();
    let failures = ctx.io.attempts.count_failure(&name);
    ctx.io.metrics.count("error");
    let seed =
        u64::from(failures) ^ name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let spread = 1.0 + MAX_JITTER * f64::from(u32::try_from(seed % 1_000).unwrap_or_default()) / 1_000.0;
    Action::requeue(ctx.io.attempts.begin_back_off(&name, error.retry_after(failures).mul_f64(spread)))
}
