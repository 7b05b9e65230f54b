//! After a failure: the condition reports the refusal, and the space waits until its back-off is over or something
//! relevant changes.
//!
//! The operator's own status write triggers a reconcile through the watch, and so does an error whose text differs each
//! time; neither shortens the wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::{
    context::Context,
    failure::Failure,
    io::Io,
    observe::{observe, observe_admitted},
    owner_places::release_previous_place,
    provision::lost_namespace,
    report::{StatusReport, report},
};
use crate::{
    api::{
        DeveloperSpace, NamespaceRef,
        conditions::{self, Reason, types},
        names,
        without_managed_fields::WithoutManagedFields,
    },
    cache::owner_limit::is_live,
    desired::{
        SeenChild, SpecRefusal, Uid,
        hash::hash,
        lifetime::{inputs::is_sealed, stage::Stage},
        namespace::{Ownership, SeenNamespace, ownership},
        plan::Observed,
        resource_version::version,
        status::{Readiness, end_counts_from_write},
        wording::{DELETION_WAITS, is_same_message},
    },
    runtime::{
        error::{Class, Error},
        watchdog::space_key,
    },
};

/// The number of attempts in one reconcile. A client wins all of them only by a write between each read and the write
/// that follows it.
pub const MAX_ATTEMPTS: u32 = 50;

/// The time that `space` still waits: after a failure, unless the inputs of the failed attempt have changed, or after a
/// flood of writes.
pub(crate) fn remaining_wait(ctx: &Context, space: &DeveloperSpace) -> Option<Duration> {
    let after_failure =
        ctx.io.attempts.remaining_back_off(&space.name_any(), || situation(space, &observe(space, &ctx.io)));
    after_failure.or_else(|| wait_after_flood(ctx, space))
}

/// The wait of `space` after a flood of writes. A space that has expired or is due does not wait, and neither does a
/// space whose end waits for its last warning. The further steps of work that has begun do not wait either: a space
/// that has to be created again after a flood would wait before each of them, and a space has to converge within a
/// minute.
fn wait_after_flood(ctx: &Context, space: &DeveloperSpace) -> Option<Duration> {
    let wait = ctx.recent_writes.wait(&space.name_any()).filter(|_| is_live(space) && !is_under_way(space))?;
    let observed = observe(space, &ctx.io);
    if overdue(space, &observed).is_some()
        || observed.outlook.stage == Stage::Due
        || end_counts_from_write(space, &observed.outlook)
    {
        return None;
    }
    let Observed { now, outlook, .. } = observed;
    ctx.io.metrics.braked();
    Some(until(outlook.wake, now).map_or(wait, |wake| wake.min(wait)))
}

/// Returns true if the operator has begun to create the objects of the space, and has not reported an outcome. A space
/// that fails is not under way: its owner could keep it failing.
fn is_under_way(space: &DeveloperSpace) -> bool {
    let ready = space.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::READY));
    let has_begun = space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    let no_outcome =
        |reason: &str| [Reason::Pending, Reason::Provisioning].iter().any(|pending| pending.as_str() == reason);
    has_begun && ready.is_none_or(|ready| no_outcome(&ready.reason))
}

/// Records the failed reconcile of `space`, writes the required correction to the status, and returns the error.
///
/// A space that was admitted before the error may already have received a part of the resources of its class. Its
/// status therefore records the class and the owner, because all limits depend on them.
pub(crate) async fn report_failure(
    ctx: &Context,
    space: &DeveloperSpace,
    Failure { error, admitted, is_reported }: Failure,
) -> Error {
    let (name, observed) = (space.name_any(), observe(space, &ctx.io));
    ctx.io.attempts.record_failed_inputs(
        &name,
        situation(space, &observed),
        until(observed.outlook.wake, observed.now),
    );
    record_overdue(ctx, space, &observed, &error);
    if error.lasts(ctx.io.attempts.failures(&name)) {
        ctx.watchdog.set_failing(space_key(space));
    }
    let readiness = readiness_on(space, &observed, &error, ctx.io.attempts.failures(&name));
    let Some(readiness) = readiness.filter(|_| !is_reported) else { return error };
    let Some(space) = as_last_written(&ctx.io, space) else { return error };
    let under =
        admitted.map(|class| observe_admitted(&space, &ctx.io, &class)).filter(|under| under.own_namespace().is_some());
    let is_admitted = under.is_some();
    let observed = under.unwrap_or(observed);
    let written = match report(&ctx.io, &space, &observed, failure_report(&space, &observed, readiness.clone())).await {
        Err(second) if second.is_lost_race() => {
            Box::pin(report_failure_again(&ctx.io, &space, &readiness, second)).await
        }
        other => other,
    };
    match written {
        Ok(written) if is_admitted => {
            release_previous_place(&space, ctx);
            // The write of the status must not end the wait.
            let observed = observe(&written, &ctx.io);
            ctx.io.attempts.record_failed_inputs(
                &name,
                situation(&written, &observed),
                until(observed.outlook.wake, observed.now),
            );
        }
        Ok(_) => {}
        Err(second) => {
            tracing::debug!(space = name, error = %second.sentence(), "failed to write the error to the status");
        }
    }
    error
}

/// Records the expiry of `space`, if it is overdue after `error`. A seal that waits for the validation of the class is
/// blocked, whichever other step fails.
fn record_overdue(ctx: &Context, space: &DeveloperSpace, observed: &Observed, error: &Error) {
    let key = space_key(space);
    let held = observed.outlook.expires_at.filter(|_| observed.is_seal_held && is_live(space));
    match held.or_else(|| overdue(space, observed)) {
        Some(expiry) if held.is_some() || error.is_answered() => ctx.watchdog.set_blocked_expiry(key, expiry),
        Some(expiry) => {
            ctx.watchdog.clear_blocked_expiry(key);
            ctx.watchdog.set_expiry(key, Some(expiry));
        }
        None if is_live(space) => ctx.watchdog.clear_blocked_expiry(key),
        None => ctx.watchdog.set_expiry(key, None),
    }
}

/// Reads a later version of `space`. A conflict about the latest version is a refusal and not a race, and a space of
/// another UID is not this space.
pub(crate) async fn read_later(io: &Io, space: &DeveloperSpace) -> Option<DeveloperSpace> {
    let Ok(Some(WithoutManagedFields(read))) = io.spaces().get_opt(&space.name_any()).await else { return None };
    let is_later = Uid::from_metadata(&read.metadata) == Uid::from_metadata(&space.metadata)
        && version(&read.metadata) != version(&space.metadata);
    is_later.then_some(read)
}

/// Writes the report of an error again after a lost race, which was the first attempt, if the end of the space depends
/// on the write. Otherwise returns the conflict.
async fn report_failure_again(
    io: &Io,
    space: &DeveloperSpace,
    readiness: &Readiness,
    mut lost: Error,
) -> Result<DeveloperSpace, Error> {
    let mut latest = space.clone();
    for _ in 1..MAX_ATTEMPTS {
        let outlook = observe(&latest, io).outlook;
        let is_for_the_end = outlook.stage != Stage::Due && end_counts_from_write(&latest, &outlook);
        let Some(read) = read_later(io, &latest).await.filter(|_| is_for_the_end) else { return Err(lost) };
        let observed = observe(&read, io);
        match report(io, &read, &observed, failure_report(&read, &observed, readiness.clone())).await {
            Err(again) if again.is_lost_race() => (latest, lost) = (read, again),
            other => return other,
        }
    }
    Err(lost)
}

/// Everything that a reconcile decides on, except the operator's own text in the status.
fn situation(space: &DeveloperSpace, observed: &Observed) -> u64 {
    let Observed { wanted, class_name, class, standing, namespace, ownership, children, outlook, .. } = observed;
    let namespace = namespace.as_ref().map(|seen| SeenNamespace { version: 0, ..seen.clone() });
    let children: Vec<SeenChild> = children.iter().map(|seen| SeenChild { version: 0, ..seen.clone() }).collect();
    let class = class.as_ref().map(|class| (&class.metadata.uid, class.metadata.generation, &class.status));
    let metadata =
        (&space.metadata.uid, space.metadata.generation, space.metadata.deletion_timestamp.is_some(), is_sealed(space));
    hash(&format!(
        "{metadata:?} {wanted:?} {class_name:?} {class:?} {standing:?} {namespace:?} {ownership:?} {children:?} {:?}",
        outlook.stage
    ))
}

fn until(wake: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Duration> {
    wake.and_then(|wake| (wake - now).to_std().ok())
}

/// The time since which the end of `space` waits for the failed step: it is due, or it is sealed and its namespace is
/// not terminating, or its last warning cannot be written.
fn overdue(space: &DeveloperSpace, observed: &Observed) -> Option<DateTime<Utc>> {
    if is_sealed(space) {
        let standing = observed.own_namespace().filter(|namespace| namespace.terminating.is_none());
        return standing.and_then(|_| space.status.as_ref()?.expires_at);
    }
    match observed.outlook.stage {
        Stage::Due => observed.outlook.expires_at,
        Stage::Warn(_) => observed.outlook.nominal.max(moved(space, observed)).filter(|end| *end <= observed.now),
        Stage::Calm | Stage::Warned(_) => None,
    }
}

/// The end to which a late warning moved the present one, as the status shows it.
fn moved(space: &DeveloperSpace, observed: &Observed) -> Option<DateTime<Utc>> {
    let status = space.status.as_ref()?;
    status
        .last_warning
        .as_ref()
        .filter(|warning| Some(warning.expires_at) == observed.outlook.nominal)
        .and(status.expires_at)
}

/// The space with the resourceVersion of the operator's own last write; `None` if that write was the seal, which this
/// copy lacks.
fn as_last_written(io: &Io, space: &DeveloperSpace) -> Option<DeveloperSpace> {
    let written = io.attempts.last_write(&space.name_any()).filter(|written| *written > version(&space.metadata));
    let Some(written) = written else { return Some(space.clone()) };
    let mut space = space.clone();
    space.metadata.resource_version = Some(written.to_string());
    let is_due = observe(&space, io).outlook.stage == Stage::Due && !is_sealed(&space);
    (!is_due).then_some(space)
}

fn failure_report(space: &DeveloperSpace, observed: &Observed, readiness: Readiness) -> StatusReport {
    let name = space.name_any();
    let recorded = || space.status.as_ref().and_then(|status| status.namespace.clone());
    let own = observed.namespace.as_ref().filter(|seen| ownership(space, seen) == Ownership::Ours);
    let reference = own.map(|seen| NamespaceRef { name: name.clone(), uid: seen.uid.to_string() });
    let namespace = reference.or_else(|| recorded().filter(|_| is_sealed(space)));
    let mut report = StatusReport { sealed: is_sealed(space), ..StatusReport::new(readiness, namespace) };
    report.notes.extend(own.and_then(|seen| lost_namespace(space, seen)));
    report
}

/// The reason and the message for an error that requires a correction, or that lasts; `None` while the next attempt may
/// succeed, and `None` if the status itself cannot be written.
fn readiness_on(space: &DeveloperSpace, observed: &Observed, error: &Error, failures: u32) -> Option<Readiness> {
    if matches!(error, Error::Status { .. } | Error::Overtaken { .. }) {
        return None;
    }
    let is_ending = is_sealed(space) || space.metadata.deletion_timestamp.is_some();
    if error.class() == Class::Vanishing && !is_ending && failures < 2 {
        let message = "the namespace is terminating; it is recreated when its deletion is complete";
        return Some(readiness_of_living(observed, Reason::NamespaceTerminating, message));
    }
    if !error.lasts(failures) {
        return None;
    }
    let sentence = error.sentence();
    let readiness = match (space.metadata.deletion_timestamp.is_some(), is_sealed(space)) {
        (true, _) => Readiness::new(Reason::Terminating, format!("{DELETION_WAITS}{sentence}")),
        (false, true) => Readiness::new(
            Reason::Expired,
            format!("this DeveloperSpace has expired, and its cleanup waits: {sentence}"),
        ),
        (false, false) => readiness_of_living(observed, Reason::ApplyFailed, sentence),
    };
    Some(with_recorded_message(space, Readiness { working: is_ending || readiness.working, ..readiness }))
}

/// The readiness on a space that has not ended. Admission depends on the reason of a missing class, regardless of other
/// errors.
fn readiness_of_living(observed: &Observed, reason: Reason, message: impl Into<String>) -> Readiness {
    let SpecRefusal { reason, message } = observed.with_missing_class(SpecRefusal::new(reason, message));
    Readiness::new(reason, message)
}

/// Returns the readiness with the message of the status, if that message reports the same for the current generation.
fn with_recorded_message(space: &DeveloperSpace, mut readiness: Readiness) -> Readiness {
    let ready = space.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::READY));
    let stands = ready.filter(|ready| {
        ready.observed_generation == space.metadata.generation
            && ready.reason == readiness.reason.as_str()
            && is_same_message(&ready.message, &readiness.message)
    });
    if let Some(ready) = stands {
        readiness.message.clone_from(&ready.message);
    }
    readiness
}
