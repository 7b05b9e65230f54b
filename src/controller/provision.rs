//! Provisions a space: finalizer, namespace, children. While its spec is refused, removes the access and the resources
//! that it may no longer have.
//!
//! A namespace that does not belong to the space is never written to.

use std::time::Duration;

use kube::{ResourceExt, api::Patch};
use serde_json::json;

use super::{
    children::{self, Progress, Unconfirmed},
    context::Context,
    io::Io,
    namespace, quota_wait,
    report::StatusReport,
    space_write::write_space,
};
use crate::{
    api::{DeveloperSpace, NamespaceRef, conditions::Reason, names, without_managed_fields::WithoutManagedFields},
    desired::{
        Children, Desired, Grant, Resolved, SpecRefusal, Uid, desire,
        finalizers::distinct_finalizers,
        isolation::breach,
        missing_roles,
        namespace::{NamespaceMetadata, Ownership, SeenNamespace},
        ownership::{because, conflict, is_offered, recorded_uid},
        plan::Observed,
        resource_version::version,
        status::{Note, Readiness},
    },
    runtime::{
        error::{Class, Error},
        write_params::patch_params,
    },
};

/// The result, and the space afterwards.
pub struct Provisioned {
    /// The space, with its finalizer.
    pub space: DeveloperSpace,
    /// The report.
    pub report: StatusReport,
    /// The time to wait before the report: the state is likely to be over by then, and the space is reconciled again.
    pub hold: Option<Duration>,
    /// True while new subjects wait for access.
    pub waits: bool,
}

impl Provisioned {
    fn reported(space: DeveloperSpace, report: StatusReport) -> Self {
        Self { space, report, hold: None, waits: false }
    }
}

/// Writes the differences. If there are none, nothing is written.
///
/// With [`Grant::Withheld`] no namespace is created or adopted, and the space's own namespace is cut to `resolved`.
pub async fn provision(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    resolved: &Resolved,
    grant: Grant,
) -> Result<Provisioned, Error> {
    if let Some(report) = obstacle(&ctx.io, space, observed) {
        return Ok(Provisioned::reported(space.clone(), report));
    }
    let Desired { namespace: metadata, mut children } = desire(space, resolved, observed.outlook.expires_at);
    let name = space.name_any();
    if grant == Grant::Withheld {
        if let Some(seen) = observed.own_namespace() {
            let wanted = metadata.at_least(seen.adopted_security).withheld();
            if let Err(error) = namespace::keep(&ctx.io, space, seen, &wanted).await {
                return Err(Box::pin(take_away(ctx, space, observed, Allowed { children, resolved }, error)).await);
            }
            cut(ctx, &name, Allowed { children, resolved }).await?;
        }
        return Ok(Provisioned::reported(
            space.clone(),
            StatusReport::new(ready(space, resolved), observed.namespace_ref(space)),
        ));
    }
    let (space, settled) = match Box::pin(hold(ctx, space, observed, metadata)).await {
        Ok(held) => held,
        Err(error) => {
            return Err(Box::pin(take_away(ctx, space, observed, Allowed { children, resolved }, error)).await);
        }
    };
    let Some((namespace, note)) = settled else {
        let seen = ctx.io.store.namespace(&name).unwrap_or_default();
        return Ok(Provisioned::reported(space.clone(), in_the_way(&space, &seen)));
    };
    let breach = resolved
        .network
        .enforced
        .then(|| breach(&resolved.class_name, &name, &ctx.io.store.foreign_policies(&name)))
        .flatten();
    let grant = if breach.is_some() { Grant::NoNewcomers } else { grant };
    let missing = ctx.io.store.missing_of(missing_roles::used(&resolved.roles));
    missing_roles::hold(&mut children, &ctx.io.store.children(&name), &missing);
    // In a namespace that had all children, a missing one may be a sign that another namespace has the name.
    let was_ready = space.status.as_ref().is_some_and(|status| status.ready_at.is_some());
    let unconfirmed = (was_ready && observed.namespace.as_ref() == Some(&namespace))
        .then_some(Unconfirmed { space: &space, namespace: &namespace });
    let progress = children::children(ctx, &name, &children, grant, unconfirmed).await?;
    // A change of the namespace is reported at once, so that its UID is recorded.
    let hold = quota_wait::hold(&ctx.io, &name, progress, observed.now).filter(|_| note.is_none());
    let readiness = match (breach.or_else(|| missing_roles::refusal(resolved, &missing)), progress) {
        (Some(SpecRefusal { reason, message }), _) => Readiness::new(reason, message),
        (None, Progress::Waits) => quota_wait::readiness(&space, observed.now),
        (None, Progress::Done) => ready(&space, resolved),
    };
    let mut report = StatusReport::new(readiness, Some(NamespaceRef { name, uid: namespace.uid.to_string() }));
    report.notes.extend(note);
    Ok(Provisioned { space, report, hold, waits: progress == Progress::Waits })
}

/// The access and the resources that a space may have.
struct Allowed<'a> {
    children: Children,
    resolved: &'a Resolved,
}

/// Removes the access and the resources that are not `allowed`. An existing binding keeps its ClusterRole while the one
/// of the class is missing.
async fn cut(ctx: &Context, name: &str, allowed: Allowed<'_>) -> Result<(), Error> {
    let Allowed { mut children, resolved } = allowed;
    let missing = ctx.io.store.missing_of(missing_roles::used(&resolved.roles));
    missing_roles::keep_roles(&mut children, &ctx.io.store.children(name), &missing);
    children::children(ctx, name, &children, Grant::Withheld, None).await.map(|_| ())
}

/// Removes the subjects and the quota that the space may no longer have, after a failed write of the space or of its
/// namespace. Returns the error. Nothing is removed after a conflict, or if the space or the namespace no longer
/// exists: the namespace of that name may be another one.
async fn take_away(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    allowed: Allowed<'_>,
    error: Error,
) -> Error {
    if !matches!(error.class(), Class::Conflict | Class::Vanishing)
        && observed.own_namespace().is_some()
        && let Err(second) = cut(ctx, &space.name_any(), allowed).await
    {
        tracing::debug!(
            space = space.name_any(),
            error = second.sentence(),
            "failed to remove the access and the resources that the space may no longer have"
        );
    }
    error
}

/// Keeps the expiry in the namespace's annotation, and the mark of a class with enforced isolation that the space
/// wants, while there is no class in force that defines the other metadata.
pub(crate) async fn follow_expiry(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    let Some(seen) = observed.own_namespace().filter(|seen| seen.terminating.is_none()) else { return Ok(()) };
    if observed.wants_isolation() {
        namespace::mark_enforced(io, &space.name_any(), seen).await?;
    }
    namespace::follow_expiry(io, &space.name_any(), seen, observed.outlook.expires_at).await
}

/// The namespace after [`settle`], and the Event about it.
type Settled = Option<(SeenNamespace, Option<Note>)>;

/// Returns the space with its finalizer, and its namespace.
async fn hold(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    metadata: NamespaceMetadata,
) -> Result<(DeveloperSpace, Settled), Error> {
    let space = ensure_finalizer(&ctx.io, space).await?;
    let settled = settle(ctx, &space, observed, metadata).await?;
    Ok((space, settled))
}

/// Creates, adopts or repairs the namespace of the space. Returns `None` if another client created one in the meantime.
async fn settle(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    metadata: NamespaceMetadata,
) -> Result<Settled, Error> {
    let Some(seen) = &observed.namespace else {
        let made = namespace::create(ctx, space, metadata.granted()).await?;
        return Ok(made.map(|namespace| {
            let note = lost_namespace(space, &namespace);
            (namespace, note)
        }));
    };
    if observed.ownership == Ownership::Offered {
        let (namespace, replaced) = namespace::adopt(&ctx.io, space, seen, metadata).await?;
        return Ok(Some((namespace, Some(adopted(space, &replaced)))));
    }
    let wanted = metadata.at_least(seen.adopted_security).granted();
    let accepted_offer = recorded_uid(space).is_some_and(|uid| seen.uid == *uid) && is_offered(space, seen);
    // The offer is removed last: if the marks are lost, only the offer permits the operator to write them.
    let kept = namespace::keep(&ctx.io, space, seen, &wanted).await?;
    let kept = if accepted_offer { namespace::end_offer(&ctx.io, space, &kept, &wanted).await? } else { kept };
    let note = lost_namespace(space, &kept);
    Ok(Some((kept, note)))
}

/// The report for a namespace that must not be written to.
fn obstacle(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Option<StatusReport> {
    let seen = observed.namespace.as_ref()?;
    match (observed.ownership, seen.terminating.as_deref()) {
        (Ownership::Foreign, _) => {
            // The namespace of that name is not the one that was created for the space.
            io.creations.end(&Uid::from_metadata(&space.metadata));
            Some(in_the_way(space, seen))
        }
        (Ownership::Ours | Ownership::Offered, Some(blocked)) => Some(terminating(space, observed, blocked)),
        (Ownership::Ours | Ownership::Offered, None) => None,
    }
}

/// The result for a space that is ready, with the changes that its spec needs nevertheless.
fn ready(space: &DeveloperSpace, resolved: &Resolved) -> Readiness {
    let ready = format!("namespace {} is ready for {}", space.name_any(), space.spec.owner);
    Readiness::new(
        Reason::Provisioned,
        resolved.notices.iter().fold(ready, |message, notice| format!("{message}; {notice}")),
    )
}

/// The report for a namespace that has the name and does not belong to the space. It is not changed.
fn in_the_way(space: &DeveloperSpace, seen: &SeenNamespace) -> StatusReport {
    StatusReport::new(Readiness::new(Reason::NamespaceConflict, conflict(space, seen)), None)
}

/// The report for a namespace that is being deleted although the space is alive: it is created again once it no longer
/// exists.
fn terminating(space: &DeveloperSpace, observed: &Observed, blocked: &str) -> StatusReport {
    let name = space.name_any();
    let message = format!(
        "namespace {name} is being deleted; it is recreated, empty, when its deletion is complete{}",
        because(blocked)
    );
    StatusReport::new(Readiness::new(Reason::NamespaceTerminating, message), observed.namespace_ref(space))
}

fn adopted(space: &DeveloperSpace, replaced: &str) -> Note {
    let name = space.name_any();
    let replaced = if replaced.is_empty() { String::new() } else { format!("; replaced: {replaced}") };
    Note {
        warning: false,
        reason: "Adopted".into(),
        message: format!("namespace {name}, which its annotation offers to this DeveloperSpace, was adopted{replaced}"),
        in_namespace: true,
    }
}

/// The Event about a namespace that was deleted and created again.
pub(crate) fn lost_namespace(space: &DeveloperSpace, made: &SeenNamespace) -> Option<Note> {
    let recorded = space.status.as_ref()?.namespace.as_ref()?;
    (made.uid != *recorded.uid).then(|| Note {
        warning: true,
        reason: "NamespaceRecreated".into(),
        message: format!("namespace {} was deleted by another client and was recreated, empty", recorded.name),
        in_namespace: true,
    })
}

/// Returns the space with its finalizer, which is added if it is missing.
pub(crate) async fn ensure_finalizer(io: &Io, space: &DeveloperSpace) -> Result<DeveloperSpace, Error> {
    if space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
        return Ok(space.clone());
    }
    let name = space.name_any();
    let finalizers: Vec<&str> = distinct_finalizers(space.finalizers()).into_iter().chain([names::FINALIZER]).collect();
    let send = |resource_version: Option<String>| {
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": resource_version, "finalizers": finalizers}}));
        let (api, name) = (io.spaces(), name.clone());
        async move { api.patch(&name, &patch_params(), &patch).await }
    };
    let answer = write_space(io, &space.metadata, send).await;
    let WithoutManagedFields(written) =
        answer.map_err(Error::api(format!("add the finalizer to DeveloperSpace {name}")))?;
    io.attempts.record_write(&name, version(&written.metadata));
    Ok(written)
}
