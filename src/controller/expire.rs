//! The end of an expired space: seal it, delete its namespace, keep the space for its retention, delete it.
//!
//! Only the namespace with the UID that the sealed status records is deleted.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::{
    children::delete_params,
    context::{Context, PATIENT},
    finalize::read_namespace,
    observe::Observed,
    report::{Report, report},
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{Reason, true_since, types},
        time::rfc3339,
    },
    desired::{
        expiry::{Step, step},
        lifetime::inputs::{is_sealed, retention},
        namespace::SeenNamespace,
        ownership::{Ownership, because, is_claimed_by_another, ownership, recorded_uid},
        status::{Note, Readiness},
        uid::Uid,
    },
    runtime::error::Error,
};

/// The phrase about a namespace whose name is protected.
pub const STAYS: &str = "is not deleted, since its name is protected on this cluster";

/// The next step of `space`, by time.
pub fn next(space: &DeveloperSpace, observed: &Observed) -> Step {
    step(space, observed.own_namespace(), &observed.outlook, retention(observed.rules.as_ref()), observed.now)
}

/// Returns true if the reports about `space` yield to other work: more spaces have expired than can be reconciled at once, and their seals and
/// deletions come first. Its status reports the expiry already; only the progress of its namespace is missing.
pub fn gives_way(ctx: &Context, space: &DeveloperSpace, observed: &Observed, step: &Step) -> bool {
    let is_told_only = matches!(step, Step::AwaitNamespace(_) | Step::Retain(_));
    let sealed = space.status.as_ref().and_then(|status| true_since(&status.conditions, types::EXPIRED));
    let is_patient = sealed.and_then(|since| (observed.now - since).to_std().ok()).is_some_and(|age| age < PATIENT);
    is_told_only && is_patient && ctx.is_behind(observed.now)
}

/// The result of a step that was carried out.
pub struct Carried {
    /// The space afterwards.
    pub space: DeveloperSpace,
    /// False if another client deleted the namespace or the space first.
    pub by_us: bool,
}

impl Carried {
    fn by_us(space: DeveloperSpace) -> Self {
        Self { space, by_us: true }
    }
}

/// Carries out the step.
pub async fn carry_out(ctx: &Context, space: &DeveloperSpace, observed: &Observed, step: &Step) -> Result<Carried, Error> {
    match step {
        Step::Live | Step::AwaitEnd(_) => Ok(Carried::by_us(space.clone())),
        Step::Seal => seal(ctx, space, observed).await,
        Step::DeleteNamespace(uid) => {
            let by_us = match observed.own_namespace().filter(|namespace| namespace.uid == *uid) {
                Some(namespace) => delete_expired(ctx, space, observed, namespace).await?,
                None => false,
            };
            Ok(Carried { space: space.clone(), by_us })
        }
        Step::AwaitNamespace(blocked) => {
            let message = format!("this DeveloperSpace has expired; namespace {} is being deleted{}", space.name_any(), because(blocked));
            tell(ctx, space, observed, message, true).await.map(Carried::by_us)
        }
        Step::Retain(until) => {
            read_before_giving_up(ctx, space, observed).await?;
            let name = space.name_any();
            let fate = match &observed.namespace {
                None => format!("namespace {name} no longer exists"),
                Some(_) if ctx.protected.contains(&name) => format!("namespace {name} {STAYS}"),
                Some(_) => format!("another namespace {name} exists, which does not belong to this DeveloperSpace and is left unchanged"),
            };
            let message = format!("this DeveloperSpace has expired, and {fate}; this object is kept until {}", rfc3339(*until));
            tell(ctx, space, observed, message, false).await.map(Carried::by_us)
        }
        Step::DeleteSpace => {
            let by_us = delete_space(ctx, space).await?;
            Ok(Carried { space: space.clone(), by_us })
        }
    }
}

/// Writes `Expired=True` with the resourceVersion of the decision: the write fails if a renewal came first.
/// Once the space is sealed, admission refuses changes of its spec, so that the deletion of the namespace loses no renewal.
async fn seal(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Carried, Error> {
    let name = space.name_any();
    let has_namespace = observed.own_namespace().is_some();
    read_before_giving_up(ctx, space, observed).await?;
    let message = match &observed.namespace {
        _ if has_namespace => format!("this DeveloperSpace has expired; namespace {name} is being deleted"),
        Some(_) if ctx.protected.contains(&name) => format!("this DeveloperSpace has expired; namespace {name} {STAYS}"),
        _ => "this DeveloperSpace has expired; it had no namespace".to_owned(),
    };
    let sealed = report(ctx, space, observed, said(space, observed, message, has_namespace)).await?;
    let has_ended = observed.outlook.expires_at.is_none_or(|end| ctx.clock.now() >= end);
    let by_us = match observed.own_namespace().filter(|namespace| has_ended && namespace.terminating.is_none()) {
        Some(namespace) => delete_expired(ctx, &sealed, observed, namespace).await?,
        None => true,
    };
    Ok(Carried { space: sealed, by_us })
}

/// Reads the namespace from the API server before the status drops its record: the store may be behind, and a namespace that a sealed space does
/// not record is never deleted.
async fn read_before_giving_up(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    let recorded = recorded_uid(space).map(Uid::from);
    let is_known = is_sealed(space) && recorded.is_none_or(|uid| ctx.store.is_buried(&uid));
    if is_known || observed.standing_namespace(space).is_some() {
        return Ok(());
    }
    let name = space.name_any();
    match read_namespace(ctx, &name).await? {
        Some(live) if ownership(space, &SeenNamespace::from_namespace(&live)) == Ownership::Ours => {
            Err(Error::Moved(format!("confirm that namespace {name} no longer exists")))
        }
        _ => Ok(()),
    }
}

fn said(space: &DeveloperSpace, observed: &Observed, message: String, working: bool) -> Report {
    let verdict = Readiness { reason: Reason::Expired, message, working };
    Report { verdict, namespace: observed.standing_namespace(space), sealed: true, notes: Vec::new() }
}

async fn tell(ctx: &Context, space: &DeveloperSpace, observed: &Observed, message: String, working: bool) -> Result<DeveloperSpace, Error> {
    report(ctx, space, observed, said(space, observed, message, working)).await
}

/// Returns true if this call deleted the namespace.
async fn delete_expired(ctx: &Context, space: &DeveloperSpace, observed: &Observed, namespace: &SeenNamespace) -> Result<bool, Error> {
    let name = space.name_any();
    if !delete_namespace(ctx, space, namespace).await? {
        return Ok(false);
    }
    let expires_at = space.status.as_ref().and_then(|status| status.expires_at);
    ctx.metrics.collected(expires_at.map_or_else(chrono::TimeDelta::zero, |at| ctx.clock.now() - at));
    let note = Note {
        warning: true,
        reason: "NamespaceDeleted".into(),
        message: format!("namespace {name} was deleted because its DeveloperSpace has expired"),
        in_namespace: false,
    };
    ctx.recorder.publish(space, None, vec![note], observed.now);
    Ok(true)
}

/// The number of attempts to delete a namespace that keeps changing, each with its latest version.
const TRIES: usize = 3;

/// Sends a DELETE for the namespace with the UID and the resourceVersion that were seen, and after a change with the latest resourceVersion. Returns
/// true if this call deleted it. A namespace with a protected name is never deleted.
///
/// The API server answers a DELETE of a terminating object with 200, so that `gc` and the controller would both report the deletion: the
/// resourceVersion as a precondition lets only the first one succeed.
pub async fn delete_namespace(ctx: &Context, space: &DeveloperSpace, namespace: &SeenNamespace) -> Result<bool, Error> {
    let name = &space.name_any();
    if ctx.protected.contains(name) {
        tracing::warn!(namespace = name, "a protected namespace is not deleted");
        return Ok(false);
    }
    let SeenNamespace { uid, version, .. } = namespace;
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let failed = Error::api(format!("delete namespace {name}"));
    let mut version = *version;
    for number in 1..=TRIES {
        match api.delete(name, &delete_params(uid, Some(version))).await {
            Ok(answer) => {
                if let Some(namespace) = answer.left() {
                    ctx.store.put_namespace(&namespace);
                }
                return Ok(true);
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                ctx.store.mark_namespace_deleted(name, uid);
                return Ok(false);
            }
            // The namespace has changed, is already terminating, or was replaced by another one.
            Err(kube::Error::Api(status)) if status.is_conflict() && number < TRIES => {
                let live = api.get_opt(name).await.map_err(Error::api(format!("read namespace {name}")))?;
                let Some(live) = live else { continue };
                ctx.store.put_namespace(&live);
                let seen = SeenNamespace::from_namespace(&live);
                if seen.uid != *uid || seen.terminating.is_some() {
                    return Ok(false);
                }
                // An administrator handed it over in between, or another space of the name has adopted it.
                if seen.adopt.is_some() || is_claimed_by_another(space, &seen) || ownership(space, &seen) != Ownership::Ours {
                    return Err(Error::Moved(format!("delete namespace {name}")));
                }
                version = seen.version;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(false)
}

/// Sends a DELETE for the space with the UID and the resourceVersion that were seen. Returns true if this call deleted it.
pub async fn delete_space(ctx: &Context, space: &DeveloperSpace) -> Result<bool, Error> {
    let name = space.name_any();
    let preconditions = Preconditions { uid: space.uid(), resource_version: space.resource_version() };
    match ctx.spaces().delete(&name, &DeleteParams::default().preconditions(preconditions)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        other => other.map(|_| true).map_err(Error::api(format!("delete DeveloperSpace {name}"))),
    }
}
