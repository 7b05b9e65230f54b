//! The end of an expired space: seal it, delete its namespace, keep the space for its retention, delete it.
//!
//! Only the namespace with the UID that the sealed status records is deleted.

use std::borrow::Cow;

use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::Request,
};
use serde::de::IgnoredAny;

use super::{
    context::Context,
    failure::Failure,
    io::Io,
    namespace::{self, PROTECTED_STAYS},
    outcome::Outcome,
    owner_places::release_places,
    report::{StatusReport, report},
    schedule::Next,
    space_write::write_space,
};
use crate::{
    api::{DeveloperSpace, conditions::Reason, time::rfc3339},
    desired::{
        expiry::Step,
        lifetime::inputs::is_sealed,
        namespace::SeenNamespace,
        ownership::{Ownership, because, ownership, recorded_uid},
        plan::Observed,
        status::{Note, Readiness},
        uid::Uid,
    },
    runtime::error::Error,
};

/// Takes a step of the expiry. Once the namespace no longer exists, the space does not count for its owner.
pub async fn expire<'a>(
    ctx: &Context,
    space: &'a DeveloperSpace,
    observed: Observed,
    step: Step,
) -> Result<Outcome<'a>, Failure> {
    if matches!(step, Step::Retain(_) | Step::DeleteSpace) {
        release_places(space, ctx);
    }
    let Carried { space: written, report, .. } = carry_out(&ctx.io, space, &observed, &step).await?;
    if step == Step::Seal && observed.outlook.expires_at.is_some_and(|end| end > observed.now) {
        ctx.expiry_queue.keep_sealed(written);
    }
    Ok(Outcome { report, ..Outcome::unreported(Cow::Borrowed(space), observed, Next::After(step)) })
}

/// The result of a step that was carried out.
pub struct Carried {
    /// The space afterwards.
    pub space: DeveloperSpace,
    /// False if another client deleted the namespace or the space first.
    pub by_us: bool,
    /// The report on the progress, if the step is only reported.
    pub report: Option<StatusReport>,
}

impl Carried {
    fn new(space: DeveloperSpace, by_us: bool) -> Self {
        Self { space, by_us, report: None }
    }

    fn reported(space: &DeveloperSpace, report: StatusReport) -> Self {
        Self { space: space.clone(), by_us: true, report: Some(report) }
    }
}

/// Carries out the step. The seal writes the status, since it must precede the deletion; the progress afterwards is
/// left to the report.
pub async fn carry_out(io: &Io, space: &DeveloperSpace, observed: &Observed, step: &Step) -> Result<Carried, Error> {
    match step {
        Step::Live | Step::AwaitEnd(_) => Ok(Carried::new(space.clone(), true)),
        Step::Seal => seal(io, space, observed).await,
        Step::DeleteNamespace(uid) => {
            let by_us = match observed.own_namespace().filter(|namespace| namespace.uid == *uid) {
                Some(namespace) => delete_expired(io, space, observed, namespace).await?,
                None => false,
            };
            Ok(Carried::new(space.clone(), by_us))
        }
        Step::AwaitNamespace(blocked) => {
            let message = format!(
                "this DeveloperSpace has expired; namespace {} is being deleted{}",
                space.name_any(),
                because(blocked)
            );
            Ok(Carried::reported(space, expired(space, observed, message, true)))
        }
        Step::Retain(until) => {
            confirm_absence(io, space, observed).await?;
            let fate = fate(io, space, observed);
            let message =
                format!("this DeveloperSpace has expired, and {fate}; this object is kept until {}", rfc3339(*until));
            Ok(Carried::reported(space, expired(space, observed, message, false)))
        }
        Step::DeleteSpace => {
            let by_us = delete_space(io, space).await?;
            Ok(Carried::new(space.clone(), by_us))
        }
    }
}

/// Writes `Expired=True` with the resourceVersion of the decision: the write fails if a renewal came first. Once the
/// space is sealed, admission refuses changes of its spec, so that the deletion of the namespace loses no renewal.
async fn seal(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Result<Carried, Error> {
    let name = space.name_any();
    let has_namespace = observed.own_namespace().is_some();
    confirm_absence(io, space, observed).await?;
    let fate = match recorded_uid(space) {
        _ if has_namespace => format!("namespace {name} is being deleted"),
        Some(_) => fate(io, space, observed),
        None => "it had no namespace".to_owned(),
    };
    let message = format!("this DeveloperSpace has expired; {fate}");
    let sealed = report(io, space, observed, expired(space, observed, message, has_namespace)).await?;
    let uid = observed.own_namespace().map(|namespace| namespace.uid.to_string());
    tracing::info!(namespace = name, uid, reason = "the DeveloperSpace has expired", "sealed a DeveloperSpace");
    let has_ended = observed.outlook.expires_at.is_none_or(|end| io.clock.now() >= end);
    let by_us = match observed.own_namespace().filter(|namespace| has_ended && namespace.terminating.is_none()) {
        Some(namespace) => delete_expired(io, &sealed, observed, namespace).await?,
        None => true,
    };
    Ok(Carried::new(sealed, by_us))
}

/// The state of a namespace that is not deleted: it was deleted earlier, or it stays.
fn fate(io: &Io, space: &DeveloperSpace, observed: &Observed) -> String {
    let name = space.name_any();
    match &observed.namespace {
        None => format!("namespace {name} no longer exists"),
        Some(_) if io.protected.contains(&name) => format!("namespace {name} {PROTECTED_STAYS}"),
        Some(_) => format!(
            "another namespace {name} exists, which does not belong to this DeveloperSpace and is left unchanged"
        ),
    }
}

/// Reads the namespace from the API server before the status drops its record: the store may be behind, and a namespace
/// that a sealed space does not record is never deleted.
async fn confirm_absence(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    let recorded = recorded_uid(space).map(Uid::from);
    let is_known = is_sealed(space) && recorded.is_none_or(|uid| io.store.is_namespace_deleted(&uid));
    if is_known || observed.standing_namespace(space).is_some() {
        return Ok(());
    }
    let name = space.name_any();
    match namespace::read(io, &name).await? {
        Some(live) if ownership(space, &SeenNamespace::from_namespace(&live)) == Ownership::Ours => {
            Err(Error::Moved(format!("confirm that namespace {name} no longer exists")))
        }
        _ => Ok(()),
    }
}

fn expired(space: &DeveloperSpace, observed: &Observed, message: String, working: bool) -> StatusReport {
    let readiness = Readiness { reason: Reason::Expired, message, working };
    StatusReport { readiness, namespace: observed.standing_namespace(space), sealed: true, notes: Vec::new() }
}

/// Returns true if this call deleted the namespace.
async fn delete_expired(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    seen: &SeenNamespace,
) -> Result<bool, Error> {
    let name = space.name_any();
    if !namespace::delete(io, space, seen, "its DeveloperSpace has expired").await? {
        return Ok(false);
    }
    let expires_at = space.status.as_ref().and_then(|status| status.expires_at);
    io.metrics.collected(expires_at.map_or_else(chrono::TimeDelta::zero, |at| io.clock.now() - at));
    let note = Note {
        warning: true,
        reason: "NamespaceDeleted".into(),
        message: format!("namespace {name} was deleted because its DeveloperSpace has expired"),
        in_namespace: false,
    };
    io.recorder.publish(space, None, vec![note], observed.now);
    Ok(true)
}

/// Sends a DELETE for the space with the UID and the resourceVersion that were seen. Returns true if this call deleted
/// it.
pub async fn delete_space(io: &Io, space: &DeveloperSpace) -> Result<bool, Error> {
    let failed = Error::api(format!("delete DeveloperSpace {}", space.name_any()));
    match write_space(io, &space.metadata, |resource_version| send_delete(io, space, resource_version)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        other => other.map(|()| true).map_err(failed),
    }
}

/// The response is not read: it contains the managed fields, which the owner can write. `Api::delete` would read all of
/// it.
async fn send_delete(io: &Io, space: &DeveloperSpace, resource_version: Option<String>) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: space.uid(), resource_version };
    let params = DeleteParams::default().preconditions(preconditions);
    let request = Request::new(DeveloperSpace::url_path(&(), None)).delete(&space.name_any(), &params);
    io.client.request::<IgnoredAny>(request.map_err(kube::Error::BuildRequest)?).await.map(|_| ())
}
