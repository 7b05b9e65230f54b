//! One space: observe → resolve → desire → diff → apply → report → next wake-up.

use std::{sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::controller::Action};

use super::{
    admissions::is_live,
    context::Context,
    error::Error,
    expire, finalize, ledger,
    observe::{ClassVerdict, Observed, class_verdict, observe},
    provision::{Provisioned, provision},
    report::{Report, report, undecodable},
    retry,
    watch::Kept,
};
use crate::{
    api::{DeveloperSpace, conditions::Reason},
    desired::{
        Grant, Refusal, Resolved, Uid,
        children::{hash, version},
        collect::Step,
        resolve::check_name,
        status::Verdict,
    },
};

/// No reconcile takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest sleep: the wall clock is asked again at least this often, since it may be stepped and timers may not follow.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// While something is going away. Events tell, and this is for one that got lost; seldom enough not to look at thousands that end at once
/// over and over.
const LOOK_AGAIN: Duration = Duration::from_secs(120);

/// When to look again at what gives way to spaces whose time is up: seldom enough that thousands that do hardly cost a thing.
const GIVE_WAY: Duration = Duration::from_secs(60);

/// How soon to look again when the store is behind our own write and no event came.
const CATCH_UP: Duration = Duration::from_secs(1);

/// After so many failures in a row a space shares a few places with others that fail.
const FAILING: u32 = 2;

/// When to look again at a space while as many that fail as may are looked at, or while its end is.
const ANOTHER_TIME: Duration = Duration::from_secs(5);

/// Reconciles one space as the store has it, when there is a place to work in.
pub async fn reconcile(kept: Arc<Kept>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.store.ready().await;
    let is_failing = ctx.memory.failures(&kept.name_any()) >= FAILING;
    let turn = is_failing.then(|| ctx.places.turn_of_the_failing());
    if matches!(turn, Some(None)) {
        return Ok(Action::requeue(ANOTHER_TIME));
    }
    // Unpacked, and given room, only once there is a place: hundreds may wait for one.
    let work = async { Box::pin(tokio::time::timeout(DEADLINE, async { look_alone(&kept, &ctx).await })).await };
    let action = ctx.places.take(work).await.unwrap_or(Err(Error::Deadline(DEADLINE)))?;
    ctx.metrics.count("success");
    Ok(action.unwrap_or(Action::requeue(ANOTHER_TIME)))
}

/// Looks at a space whose end is due, in a place of its own; says whether it could: somebody may look at it right now, or the store may be
/// behind our own write of it.
pub async fn at_the_end(kept: &Kept, ctx: &Context) -> Result<bool, Error> {
    if ctx.memory.is_stale(&kept.name_any(), version(kept.meta())) {
        return Ok(false);
    }
    let looked = tokio::time::timeout(DEADLINE, Box::pin(look_alone(kept, ctx))).await.unwrap_or(Err(Error::Deadline(DEADLINE)))?;
    ctx.metrics.count("success");
    Ok(looked.is_some())
}

async fn look_alone(kept: &Kept, ctx: &Context) -> Result<Option<Action>, Error> {
    let Some(_turn) = ctx.turns.take(kept.name_any()) else { return Ok(None) };
    look_at(&kept.unpack(), ctx).await.map(Some)
}

async fn look_at(guarded: &DeserializeGuard<DeveloperSpace>, ctx: &Context) -> Result<Action, Error> {
    let _running = (ctx.metrics.begin(), ctx.watchdog.begin());
    let space = match &guarded.0 {
        Ok(space) => space,
        Err(broken) => {
            // Nobody can tell when its time is up, so nothing of it is overdue.
            ctx.watchdog.expects(key(guarded), None);
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
    let action = match take_step(space, ctx).await {
        Err(error) => Err(retry::explain(ctx, space, error).await),
        done => done,
    };
    if has_left() {
        // Its watch, which runs beside this, forgot it before the step was noted.
        ctx.watchdog.expects(key(space), None);
        withdraw(space, ctx);
    }
    let action = action?;
    ctx.memory.clear(&name, seen);
    Ok(action)
}

async fn take_step(space: &DeveloperSpace, ctx: &Context) -> Result<Action, Error> {
    let observed = observe(space, ctx);
    let expiry = observed.outlook.expires_at.filter(|_| is_live(space));
    ctx.watchdog.expects(key(space), expiry);
    if let Some(expiry) = expiry {
        ctx.ends.expects(&space.name_any(), expiry, observed.now);
    }
    if !is_live(space) {
        withdraw(space, ctx);
    }
    if space.metadata.deletion_timestamp.is_some() {
        finalize::finalize(ctx, space, &observed).await?;
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    let step = expire::next(space, &observed);
    if expire::gives_way(ctx, space, &observed, &step) {
        return Ok(Action::requeue(GIVE_WAY));
    }
    if step != Step::Live {
        expire::carry_out(ctx, space, &observed, &step).await?;
        return Ok(after(&step, &observed, ctx));
    }
    let Some(judged) = judge(space, &observed, ctx) else {
        return Ok(after(&Step::Live, &observed, ctx));
    };
    match judged {
        Err(refusal) => {
            let said = Report::new(Verdict::new(refusal.reason, refusal.message), observed.known_namespace(space));
            report(ctx, space, &observed, said).await?;
        }
        Ok(resolved) => match provision(ctx, space, &observed, &resolved, Grant::Full).await? {
            Provisioned { hold: Some(hold), .. } => {
                let wake = observed.outlook.wake.map(|wake| (wake - ctx.clock.now()).to_std().unwrap_or_default());
                return Ok(Action::requeue(wake.map_or(hold, |wake| wake.min(hold))));
            }
            Provisioned { space, report: said, hold: None } => {
                report(ctx, &space, &observed, said).await?;
            }
        },
    }
    Ok(after(&Step::Live, &observed, ctx))
}

/// What the space may have, or why not; `None` while its class was not judged yet: the class's event comes.
fn judge(space: &DeveloperSpace, observed: &Observed, ctx: &Context) -> Option<Result<Resolved, Refusal>> {
    let judged = may_have(space, observed, ctx)?;
    if judged.is_err()
        && observed.own_namespace().is_none()
        && judged.as_ref().err().is_some_and(|refusal| refusal.reason != Reason::OwnerLimitExceeded)
    {
        withdraw(space, ctx);
    }
    Some(judged)
}

fn may_have(space: &DeveloperSpace, observed: &Observed, ctx: &Context) -> Option<Result<Resolved, Refusal>> {
    if let Err(refusal) = check_name(&space.name_any(), &ctx.protected) {
        return Some(Err(refusal));
    }
    let (Some(class_name), Some(class)) = (&observed.class_name, &observed.class) else {
        return Some(Err(class_not_found(observed, ctx)));
    };
    let resolved = match ledger::judge(space, ctx, (class_name, &class.spec), observed.now).accepted() {
        Ok(resolved) => resolved,
        Err(refusal) => return Some(Err(refusal)),
    };
    match class_verdict(class) {
        ClassVerdict::Pending => return None,
        ClassVerdict::Refused(_, message) => {
            return Some(Err(Refusal::new(
                Reason::RoleNotAllowed,
                format!("SpaceClass {class_name} is not accepted, and its administrator must mend it: {message}"),
            )));
        }
        ClassVerdict::Accepted => {}
    }
    let (admitted, freed) = ctx.admissions.admit(space, class_name, class.spec.max_spaces_per_owner);
    wake(ctx, freed);
    if admitted {
        return Some(Ok(resolved));
    }
    let limit = class.spec.max_spaces_per_owner.unwrap_or_default();
    let message = format!(
        "the limit of class {class_name} is {limit} for each owner, and {} has as many: delete one, or ask for another class",
        space.spec.owner
    );
    Some(Err(Refusal::new(Reason::OwnerLimitExceeded, message)))
}

fn class_not_found(observed: &Observed, ctx: &Context) -> Refusal {
    let mut known = ctx.store.class_names();
    known.sort();
    let known = if known.is_empty() { "there are none yet".to_owned() } else { format!("there are {}", known.join(", ")) };
    let message = match &observed.class_name {
        Some(name) => {
            format!("SpaceClass {name} does not exist: set spec.className to one that does ({known}); what exists stays as it is")
        }
        None => format!("there is no default SpaceClass: set spec.className ({known}), or ask the administrator to annotate one"),
    };
    Refusal::new(Reason::ClassNotFound, message)
}

/// What the watchdog knows a space by.
pub fn key(space: &impl Resource) -> u64 {
    hash(&Uid::of(space.meta()))
}

/// When time alone changes something.
fn after(step: &Step, observed: &Observed, ctx: &Context) -> Action {
    let wake = match step {
        Step::Live => observed.outlook.wake,
        Step::Keep(until) => Some(*until),
        Step::Seal | Step::DeleteNamespace(_) | Step::AwaitNamespace(_) | Step::Forget => return Action::requeue(LOOK_AGAIN),
    };
    match wake {
        None => Action::await_change(),
        Some(wake) => {
            let wait = (wake - ctx.clock.now()).to_std().unwrap_or_default();
            Action::requeue(wait.min(LONGEST_SLEEP))
        }
    }
}

/// Takes a space out of its owner's count and wakes those that wait for the place.
fn withdraw(space: &DeveloperSpace, ctx: &Context) {
    wake(ctx, ctx.admissions.withdraw(&Uid::of(&space.metadata)));
}

fn wake(ctx: &Context, waiting: Vec<String>) {
    for name in waiting {
        ctx.nudges.nudge(name);
    }
}
