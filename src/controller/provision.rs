//! Makes a space what its spec says: finalizer, namespace, children.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, ResourceExt, api::Patch};
use serde_json::json;

use super::{
    apply::{self, Progress, patch_params, post_params},
    context::Context,
    error::Error,
    observe::Observed,
    report::Report,
    store::see_namespace,
    waiting,
};
use crate::{
    api::{DeveloperSpace, NamespaceRef, conditions::Reason, names},
    desired::{
        Desired, Grant, Refusal, Resolved,
        children::version,
        desire,
        isolation::breach,
        metadata::Metadata,
        missing_roles,
        namespace::{Ownership, SeenNamespace, ownership},
        status::{Note, Verdict},
    },
};

/// How it ended, and the space as it is afterwards.
pub struct Provisioned {
    /// The space, with its finalizer.
    pub space: DeveloperSpace,
    /// What to say.
    pub report: Report,
    /// Not to be said yet: it is likely to be over within that time, and is looked at again then.
    pub hold: Option<Duration>,
}

impl Provisioned {
    fn said(space: DeveloperSpace, report: Report) -> Self {
        Self { space, report, hold: None }
    }
}

/// Writes what differs. Nothing is written when nothing does.
pub async fn provision(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    resolved: &Resolved,
    grant: Grant,
) -> Result<Provisioned, Error> {
    let name = space.name_any();
    let Desired { namespace: metadata, mut children } = desire(space, resolved, observed.outlook.expires_at);
    if observed.ownership == Ownership::Foreign && observed.namespace.is_some() {
        return Ok(Provisioned::said(space.clone(), conflict(space)));
    }
    if observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_some()) {
        return Ok(Provisioned::said(space.clone(), terminating(space, observed)));
    }
    let space = ensure_finalizer(ctx, space).await?;
    let (namespace, note) = match &observed.namespace {
        None => match create_namespace(ctx, &space, metadata).await? {
            Some(namespace) => {
                let note = lost_namespace(&space, &namespace);
                (namespace, note)
            }
            None => {
                return Ok(Provisioned::said(space.clone(), conflict(&space)));
            }
        },
        Some(seen) if observed.ownership == Ownership::Offered => {
            let note = Note {
                warning: false,
                reason: "Adopted".into(),
                message: format!("namespace {name} was handed over by its annotation and is this space's now"),
                in_namespace: true,
            };
            (adopt_namespace(ctx, &space, seen, metadata).await?, Some(note))
        }
        Some(seen) if is_accepted_offer(&space, seen) => {
            // So that it is not handed over a second time, to whoever makes a space of that name later.
            let patch = json!({"metadata": {"uid": seen.uid.to_string(), "annotations": {(names::ANNOTATION_ADOPT): null}}});
            let kept = patch_namespace(ctx, &name, patch).await?;
            let right = kept.metadata.matches(&metadata);
            (if right { kept } else { repair_namespace(ctx, &name, &kept, &metadata).await? }, None)
        }
        Some(seen) if !seen.metadata.matches(&metadata) => {
            (repair_namespace(ctx, &name, seen, &metadata).await?, lost_namespace(&space, seen))
        }
        Some(seen) => (seen.clone(), lost_namespace(&space, seen)),
    };
    let breach = resolved.network.enforced.then(|| breach(&resolved.class_name, &name, &ctx.store.foreign_policies(&name))).flatten();
    let grant = if breach.is_some() && grant == Grant::Full { Grant::NoNewcomers } else { grant };
    let missing = ctx.store.missing_of(missing_roles::used(&resolved.roles));
    missing_roles::hold(&mut children, &ctx.store.children(&name), &missing);
    let progress = apply::children(ctx, &name, &children, grant).await?;
    // What happened to the namespace is told at once, and its UID recorded.
    let hold = waiting::hold(ctx, &name, progress, observed.now).filter(|_| note.is_none());
    let verdict = match (breach.or_else(|| missing_roles::refusal(resolved, &missing)), progress) {
        (Some(Refusal { reason, message }), _) => Verdict::new(reason, message),
        (None, Progress::Waits) => waiting::verdict(&space, observed.now),
        (None, Progress::Done) => Verdict::new(Reason::Provisioned, ready_message(&space, resolved)),
    };
    let mut report = Report::new(verdict, Some(NamespaceRef { name, uid: namespace.uid.to_string() }));
    report.notes.extend(note);
    Ok(Provisioned { space, report, hold })
}

/// What is ready, and what is to be changed in the spec all the same.
fn ready_message(space: &DeveloperSpace, resolved: &Resolved) -> String {
    let ready = format!("namespace {} is ready for {}", space.name_any(), space.spec.owner);
    resolved.notices.iter().fold(ready, |message, notice| format!("{message}; {notice}"))
}

/// Somebody else's namespace has the name; it is not touched.
fn conflict(space: &DeveloperSpace) -> Report {
    let name = space.name_any();
    let message = format!(
        "namespace {name} exists and is not this space's, so it is left alone: choose another name, or have an administrator hand it over with: kubectl annotate namespace {name} {}={name}",
        names::ANNOTATION_ADOPT
    );
    Report::new(Verdict::new(Reason::NamespaceConflict, message), None)
}

/// The namespace is going away though the space lives: it is made again when it is gone.
fn terminating(space: &DeveloperSpace, observed: &Observed) -> Report {
    let name = space.name_any();
    let blocked = observed.own_namespace().and_then(|namespace| namespace.terminating.as_deref()).unwrap_or_default();
    let message = format!("namespace {name} is being deleted; it is made again, empty, when it is gone{}", because(blocked));
    Report::new(Verdict::new(Reason::NamespaceTerminating, message), observed.namespace_ref(&name))
}

/// `: what blocks it`, or nothing.
pub fn because(blocked: &str) -> String {
    if blocked.is_empty() { String::new() } else { format!(": {blocked}") }
}

/// A namespace of ours that vanished was made anew.
pub fn lost_namespace(space: &DeveloperSpace, made: &SeenNamespace) -> Option<Note> {
    let recorded = space.status.as_ref()?.namespace.as_ref()?;
    (made.uid != *recorded.uid).then(|| Note {
        warning: true,
        reason: "NamespaceRecreated".into(),
        message: format!("namespace {} was deleted by somebody and was made again, empty", recorded.name),
        in_namespace: true,
    })
}

/// Whether the namespace still carries the offer, though the status has its UID.
fn is_accepted_offer(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    seen.adopt.is_some() && seen.adopt == space.metadata.name && recorded.is_some_and(|recorded| seen.uid == *recorded.uid)
}

async fn ensure_finalizer(ctx: &Context, space: &DeveloperSpace) -> Result<DeveloperSpace, Error> {
    if space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
        return Ok(space.clone());
    }
    let name = space.name_any();
    let finalizers: Vec<&str> = space.finalizers().iter().map(String::as_str).chain([names::FINALIZER]).collect();
    let patch = json!({"metadata": {"resourceVersion": space.resource_version(), "finalizers": finalizers}});
    let answer = ctx.spaces().patch(&name, &patch_params(), &Patch::Merge(patch)).await;
    let written = answer.map_err(Error::api(format!("add the finalizer to DeveloperSpace {name}")))?;
    ctx.memory.wrote(&name, version(&written.metadata));
    Ok(written)
}

/// POST; `None` if the name was taken by somebody else in the meantime.
async fn create_namespace(ctx: &Context, space: &DeveloperSpace, metadata: Metadata) -> Result<Option<SeenNamespace>, Error> {
    let name = space.name_any();
    let Metadata { labels, annotations } = metadata;
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let live = match api.create(&post_params(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&name).await,
        other => other,
    };
    let live = live.map_err(Error::api(format!("create namespace {name}")))?;
    ctx.store.put_namespace(&live);
    let seen = see_namespace(&live);
    Ok((ownership(space, &seen) == Ownership::Ours && seen.terminating.is_none()).then_some(seen))
}

/// Takes over what an administrator hands over. The offer stays until the status has the UID: a crash in between finds it again.
async fn adopt_namespace(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace, metadata: Metadata) -> Result<SeenNamespace, Error> {
    let name = space.name_any();
    let Metadata { labels, annotations } = metadata;
    let patch = json!({"metadata": {"uid": seen.uid.to_string(), "resourceVersion": seen.version.to_string(), "labels": labels, "annotations": annotations}});
    patch_namespace(ctx, &name, patch).await
}

async fn repair_namespace(ctx: &Context, name: &str, seen: &SeenNamespace, metadata: &Metadata) -> Result<SeenNamespace, Error> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let live = api.get(name).await.map_err(Error::api(format!("read namespace {name}")))?;
    let current = see_namespace(&live);
    ctx.store.put_namespace(&live);
    if current.uid != seen.uid || current.metadata.matches(metadata) {
        return Ok(current);
    }
    patch_namespace(ctx, name, metadata.patch(&live.metadata)).await
}

async fn patch_namespace(ctx: &Context, name: &str, patch: serde_json::Value) -> Result<SeenNamespace, Error> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let answer = api.patch(name, &patch_params(), &Patch::Merge(patch)).await;
    let live = answer.map_err(Error::api(format!("write the labels and annotations of namespace {name}")))?;
    ctx.store.put_namespace(&live);
    Ok(see_namespace(&live))
}
