//! Provisions a space: finalizer, namespace, children. While its spec is refused, removes the access and the resources that it may no longer have.
//!
//! A namespace that does not belong to the space is never written to.

use std::time::Duration;

use kube::{ResourceExt, api::Patch};
use serde_json::json;

use super::{
    children::{self, Progress, patch_params},
    context::Context,
    namespace,
    observe::Observed,
    quota_wait,
    report::Report,
};
use crate::{
    api::{DeveloperSpace, NamespaceRef, conditions::Reason, names, without_managed_fields::WithoutManagedFields},
    desired::{
        Children, Desired, Grant, Resolved, SpecRefusal, desire,
        isolation::breach,
        missing_roles,
        namespace::{NamespaceMetadata, Ownership, SeenNamespace},
        ownership::{because, conflict, is_offered, recorded_uid},
        resource_version::version,
        status::{Note, Readiness},
    },
    runtime::error::{Class, Error},
};

/// The result, and the space afterwards.
pub struct Provisioned {
    /// The space, with its finalizer.
    pub space: DeveloperSpace,
    /// The report.
    pub report: Report,
    /// The time to wait before the report: the state is likely to be over by then, and the space is reconciled again.
    pub hold: Option<Duration>,
    /// True while new subjects wait for access.
    pub waits: bool,
}

impl Provisioned {
    fn said(space: DeveloperSpace, report: Report) -> Self {
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
    if let Some(report) = obstacle(space, observed) {
        return Ok(Provisioned::said(space.clone(), report));
    }
    let Desired { namespace: metadata, mut children } = desire(space, resolved, observed.outlook.expires_at);
    let name = space.name_any();
    if grant == Grant::Withheld {
        if let Some(seen) = observed.own_namespace() {
            let wanted = metadata.at_least(seen.adopted_security).withheld();
            if let Err(error) = namespace::keep(ctx, space, seen, &wanted).await {
                return Err(Box::pin(take_away(ctx, space, observed, (children, resolved), error)).await);
            }
            cut(ctx, &name, children, resolved).await?;
        }
        return Ok(Provisioned::said(space.clone(), Report::new(ready(space, resolved), observed.namespace_ref(&name))));
    }
    let (space, settled) = match Box::pin(hold(ctx, space, observed, metadata)).await {
        Ok(held) => held,
        Err(error) => return Err(Box::pin(take_away(ctx, space, observed, (children, resolved), error)).await),
    };
    let Some((namespace, note)) = settled else {
        let seen = ctx.store.namespace(&name).unwrap_or_default();
        return Ok(Provisioned::said(space.clone(), in_the_way(&space, &seen)));
    };
    let breach = resolved.network.enforced.then(|| breach(&resolved.class_name, &name, &ctx.store.foreign_policies(&name))).flatten();
    let grant = if breach.is_some() { Grant::NoNewcomers } else { grant };
    let missing = ctx.store.missing_of(missing_roles::used(&resolved.roles));
    missing_roles::hold(&mut children, &ctx.store.children(&name), &missing);
    // In a namespace that had all children, a missing one may be a sign that another namespace has the name.
    let was_ready = space.status.as_ref().is_some_and(|status| status.ready_at.is_some());
    let known = (was_ready && observed.namespace.as_ref() == Some(&namespace)).then_some((&space, &namespace));
    let progress = children::children(ctx, &name, &children, grant, known).await?;
    // A change of the namespace is reported at once, so that its UID is recorded.
    let hold = quota_wait::hold(ctx, &name, progress, observed.now).filter(|_| note.is_none());
    let verdict = match (breach.or_else(|| missing_roles::refusal(resolved, &missing)), progress) {
        (Some(SpecRefusal { reason, message }), _) => Readiness::new(reason, message),
        (None, Progress::Waits) => quota_wait::verdict(&space, observed.now),
        (None, Progress::Done) => ready(&space, resolved),
    };
    let mut report = Report::new(verdict, Some(NamespaceRef { name, uid: namespace.uid.to_string() }));
    report.notes.extend(note);
    Ok(Provisioned { space, report, hold, waits: progress == Progress::Waits })
}

/// Removes the access and the resources that are not in `children`. An existing binding keeps its ClusterRole while the one of the class is missing.
async fn cut(ctx: &Context, name: &str, mut children: Children, resolved: &Resolved) -> Result<(), Error> {
    let missing = ctx.store.missing_of(missing_roles::used(&resolved.roles));
    missing_roles::keep_roles(&mut children, &ctx.store.children(name), &missing);
    children::children(ctx, name, &children, Grant::Withheld, None).await.map(|_| ())
}

/// Removes the subjects and the quota that the space may no longer have, after a failed write of the space or of its namespace. Returns the error.
/// Nothing is removed after a conflict, or if the space or the namespace no longer exists: the namespace of that name may be another one.
async fn take_away(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    (children, resolved): (Children, &Resolved),
    error: Error,
) -> Error {
    if !matches!(error.class(), Class::Conflict | Class::Vanishing)
        && observed.own_namespace().is_some()
        && let Err(second) = cut(ctx, &space.name_any(), children, resolved).await
    {
        tracing::debug!(
            space = space.name_any(),
            error = second.sentence(),
            "failed to remove the access and the resources that the space may no longer have"
        );
    }
    error
}

/// Keeps the expiry in the namespace's annotation, and the mark of a class with enforced isolation that the space wants, while there is no class in force
/// that defines the other metadata.
pub async fn follow_expiry(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    let Some(seen) = observed.own_namespace().filter(|seen| seen.terminating.is_none()) else { return Ok(()) };
    if observed.wants_isolation(ctx) {
        namespace::mark_enforced(ctx, &space.name_any(), seen).await?;
    }
    namespace::follow_expiry(ctx, &space.name_any(), seen, observed.outlook.expires_at).await
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
    let space = ensure_finalizer(ctx, space).await?;
    let settled = settle(ctx, &space, observed, metadata).await?;
    Ok((space, settled))
}

/// Creates, adopts or repairs the namespace of the space. Returns `None` if another client created one in the meantime.
async fn settle(ctx: &Context, space: &DeveloperSpace, observed: &Observed, metadata: NamespaceMetadata) -> Result<Settled, Error> {
    let Some(seen) = &observed.namespace else {
        let made = namespace::create(ctx, space, metadata.granted()).await?;
        return Ok(made.map(|namespace| {
            let note = lost_namespace(space, &namespace);
            (namespace, note)
        }));
    };
    if observed.ownership == Ownership::Offered {
        let (namespace, replaced) = namespace::adopt(ctx, space, seen, metadata).await?;
        return Ok(Some((namespace, Some(adopted(space, &replaced)))));
    }
    let wanted = metadata.at_least(seen.adopted_security).granted();
    let accepted_offer = recorded_uid(space).is_some_and(|uid| seen.uid == *uid) && is_offered(space, seen);
    // The offer is removed last: if the marks are lost, only the offer permits the operator to write them.
    let kept = namespace::keep(ctx, space, seen, &wanted).await?;
    let kept = if accepted_offer { namespace::end_offer(ctx, space, &kept).await? } else { kept };
    let note = lost_namespace(space, &kept);
    Ok(Some((kept, note)))
}

/// The report for a namespace that must not be written to.
fn obstacle(space: &DeveloperSpace, observed: &Observed) -> Option<Report> {
    let seen = observed.namespace.as_ref()?;
    match (observed.ownership, seen.terminating.as_deref()) {
        (Ownership::Foreign, _) => Some(in_the_way(space, seen)),
        (Ownership::Ours | Ownership::Offered, Some(blocked)) => Some(terminating(space, observed, blocked)),
        (Ownership::Ours | Ownership::Offered, None) => None,
    }
}

/// The result for a space that is ready, with the changes that its spec needs nevertheless.
fn ready(space: &DeveloperSpace, resolved: &Resolved) -> Readiness {
    let ready = format!("namespace {} is ready for {}", space.name_any(), space.spec.owner);
    Readiness::new(Reason::Provisioned, resolved.notices.iter().fold(ready, |message, notice| format!("{message}; {notice}")))
}

/// The report for a namespace that has the name and does not belong to the space. It is not changed. The UID that the space recorded stays recorded,
/// see [`crate::desired::ownership`].
fn in_the_way(space: &DeveloperSpace, seen: &SeenNamespace) -> Report {
    let recorded = space.status.as_ref().and_then(|status| status.namespace.clone());
    Report::new(Readiness::new(Reason::NamespaceConflict, conflict(space, seen)), recorded)
}

/// The report for a namespace that is being deleted although the space is alive: it is created again once it no longer exists.
fn terminating(space: &DeveloperSpace, observed: &Observed, blocked: &str) -> Report {
    let name = space.name_any();
    let message = format!("namespace {name} is being deleted; it is recreated, empty, when its deletion is complete{}", because(blocked));
    Report::new(Readiness::new(Reason::NamespaceTerminating, message), observed.known_namespace(space))
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
pub fn lost_namespace(space: &DeveloperSpace, made: &SeenNamespace) -> Option<Note> {
    let recorded = space.status.as_ref()?.namespace.as_ref()?;
    (made.uid != *recorded.uid).then(|| Note {
        warning: true,
        reason: "NamespaceRecreated".into(),
        message: format!("namespace {} was deleted by another client and was recreated, empty", recorded.name),
        in_namespace: true,
    })
}

/// Returns the space with its finalizer, which is added if it is missing.
pub async fn ensure_finalizer(ctx: &Context, space: &DeveloperSpace) -> Result<DeveloperSpace, Error> {
    if space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
        return Ok(space.clone());
    }
    let name = space.name_any();
    let finalizers: Vec<&str> = space.finalizers().iter().map(String::as_str).chain([names::FINALIZER]).collect();
    let patch = json!({"metadata": {"resourceVersion": space.resource_version(), "finalizers": finalizers}});
    let answer = ctx.spaces().patch(&name, &patch_params(), &Patch::Merge(patch)).await;
    let WithoutManagedFields(written) = answer.map_err(Error::api(format!("add the finalizer to DeveloperSpace {name}")))?;
    ctx.memory.wrote(&name, version(&written.metadata));
    Ok(written)
}
