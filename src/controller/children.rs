//! Writes to the children of a space. Each write is safe if it is lost, repeated or concurrent with another write: a
//! create compares an existing object, and a repair and a removal have the UID of the decision as their precondition.
//!
//! The order is part of the contract: removals of access are written together with the guards and wait for nothing. New
//! access is written last.

use futures::{StreamExt, stream};

use super::{
    child_api::{self, ChildRef, get, patch, post},
    context::Context,
    io::Io,
    namespace,
};
use crate::{
    api::{DeveloperSpace, DeveloperSpaceSpec},
    desired::{
        Child, ChildKind, Children, Grant, Uid,
        binding_changes::{self, AccessGate, emptied},
        change::Change,
        diff::{Changes, compare, cut, diff},
        namespace::SeenNamespace,
        quota::Hard,
        role_bindings::named,
    },
    runtime::error::Error,
};

/// The progress of the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The namespace has all children.
    Done,
    /// New bindings and new subjects wait until the quota is in force, which an event reports.
    Waits,
}

/// The number of concurrent writes of one reconcile. A subject with the role `admin` in the namespace decides how many
/// bindings have to be removed.
const MAX_CONCURRENT_WRITES: usize = 8;

/// A namespace that is known from the store only, and that had all of its children.
#[derive(Clone, Copy)]
pub struct Unconfirmed<'a> {
    /// The space that it belongs to.
    pub space: &'a DeveloperSpace,
    /// The namespace.
    pub namespace: &'a SeenNamespace,
}

/// Turns the children in `namespace` into those `wanted`, as far as `grant` allows. All changes of a step are
/// attempted; the first error is returned. An `unconfirmed` namespace is read again before a child is created in it.
pub async fn children(
    ctx: &Context,
    namespace: &str,
    wanted: &Children,
    grant: Grant,
    unconfirmed: Option<Unconfirmed<'_>>,
) -> Result<Progress, Error> {
    let decide = || diff(wanted, &ctx.io.store.children(namespace), grant);
    let mut changes = decide();
    if let Some(Unconfirmed { space, namespace: seen }) =
        unconfirmed.filter(|_| changes.guards.iter().chain(&changes.grants).any(creates))
        && let Err(error) = namespace::confirm(&ctx.io, space, seen).await
    {
        // The other changes have the UID of an object as their precondition, and removals wait for nothing.
        let Changes { guards, withdrawals, .. } = changes;
        write_all(ctx, namespace, guards.into_iter().chain(withdrawals).filter(|change| !creates(change))).await?;
        return Err(error);
    }
    if !changes.guards.is_empty() || !changes.withdrawals.is_empty() {
        let Changes { guards, withdrawals, .. } = changes;
        write_all(ctx, namespace, guards.into_iter().chain(withdrawals)).await?;
        changes = decide();
    }
    match (changes.grants.is_empty(), changes.gate) {
        (true, _) => Ok(Progress::Done),
        (false, AccessGate::Open) => write_all(ctx, namespace, changes.grants).await.map(|()| Progress::Done),
        (false, AccessGate::Waiting | AccessGate::Closed) => Ok(Progress::Waits),
    }
}

fn creates(change: &Change) -> bool {
    matches!(change, Change::Create(_))
}

/// Removes from the bindings in `namespace` the subjects that `space` names in neither owner nor members. Nothing else
/// is changed: the class is missing, so the other wanted children are unknown.
pub async fn withdraw_subjects(ctx: &Context, namespace: &str, space: &DeveloperSpaceSpec) -> Result<(), Error> {
    let changes = binding_changes::changes(&named(space), &ctx.io.store.children(namespace), AccessGate::Closed);
    write_all(ctx, namespace, changes.withdrawals).await
}

async fn write_all(ctx: &Context, namespace: &str, changes: impl IntoIterator<Item = Change>) -> Result<(), Error> {
    let changes: Vec<Change> = changes.into_iter().collect();
    let writes = stream::iter(changes)
        .enumerate()
        .map(|(place, change)| async move { (place, write(ctx, namespace, change).await) });
    let mut results: Vec<_> = writes.buffer_unordered(MAX_CONCURRENT_WRITES).collect().await;
    // The same error is reported by each attempt, regardless of the order of the responses.
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().try_for_each(|(_, result)| result)
}

async fn write(ctx: &Context, namespace: &str, change: Change) -> Result<(), Error> {
    match change {
        Change::Cut(child, hard) => cut_live(ctx, namespace, child, &hard).await,
        // Watched objects are selected by label, so they have labels.
        other => carry_out(ctx, namespace, other, true).await,
    }
}

async fn carry_out(ctx: &Context, namespace: &str, change: Change, labelled: bool) -> Result<(), Error> {
    match change {
        Change::Create(child) => create(ctx, namespace, child).await,
        Change::Repair { uid, child } => repair_or_replace(ctx, namespace, &child, &uid, labelled).await,
        Change::Replace { uid, child } => {
            if remove(&ctx.io, namespace, ChildRef::of(&child), &uid).await? {
                create(ctx, namespace, child).await
            } else {
                Err(held(namespace, ChildRef::of(&child)))
            }
        }
        Change::Remove { kind, name, uid } => {
            remove(&ctx.io, namespace, ChildRef { kind, name: &name }, &uid).await.map(|_| ())
        }
        Change::Held { kind, name } => Err(held(namespace, ChildRef { kind, name: &name })),
        // The object was just read: the next reconcile decides again.
        Change::Cut(..) => Ok(()),
    }
}

/// Reads the object that has the name of `child` and removes the fields that exceed `child`. An object and a `child`
/// that were compared before are not read again; see [`Store::is_settled`].
///
/// [`Store::is_settled`]: crate::cache::store::Store::is_settled
async fn cut_live(ctx: &Context, namespace: &str, child: Child, hard: &Hard) -> Result<(), Error> {
    let wanted = ChildRef::of(&child);
    if ctx.io.store.is_settled(namespace, &child, hard) {
        return Ok(());
    }
    let found = get(&ctx.io.client, namespace, wanted)
        .await
        .map_err(Error::api(format!("read {}", wanted.in_namespace(namespace))))?;
    match found {
        None if wanted.kind == ChildKind::Binding => {}
        None => return create(ctx, namespace, child).await,
        Some(existing) => {
            ctx.io.store.put_child(namespace, existing.seen());
            if let Some(change) = cut(&child, &existing, hard) {
                carry_out(ctx, namespace, change, existing.metadata().labels.is_some()).await?;
            }
        }
    }
    ctx.io.store.settle(namespace, &child, hard);
    Ok(())
}

/// Sends a POST. An existing object of that name is repaired: the namespace belongs to the space, and so does the name
/// in it.
async fn create(ctx: &Context, namespace: &str, child: Child) -> Result<(), Error> {
    let what = ChildRef::of(&child).in_namespace(namespace);
    if make(ctx, namespace, &child).await? {
        return Ok(());
    }
    let found =
        get(&ctx.io.client, namespace, ChildRef::of(&child)).await.map_err(Error::api(format!("create {what}")))?;
    // The object was deleted in between: its name is free again.
    let Some(existing) = found else { return make(ctx, namespace, &child).await.map(|_| ()) };
    let labelled = existing.metadata().labels.is_some();
    match compare(&child, &existing.seen()) {
        Some(Change::Repair { uid, child }) => repair_or_replace(ctx, namespace, &child, &uid, labelled).await,
        Some(Change::Replace { uid, child }) => replace(ctx, namespace, &child, &uid).await,
        Some(Change::Held { .. }) => {
            ctx.io.store.put_child(namespace, existing.seen());
            empty(&ctx.io, namespace, &existing).await?;
            Err(Error::Held(what))
        }
        Some(Change::Create(_) | Change::Remove { .. } | Change::Cut(..)) | None => {
            ctx.io.store.put_child(namespace, existing.seen());
            Ok(())
        }
    }
}

/// Sends a POST. Returns true if the object was created, and false if its name was taken.
async fn make(ctx: &Context, namespace: &str, child: &Child) -> Result<bool, Error> {
    ctx.expiry_queue.yield_to_expiries(&*ctx.io.clock).await;
    match post(&ctx.io.client, namespace, child).await {
        Ok(made) => {
            ctx.io.store.put_child(namespace, made.seen());
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(Error::api(format!("create {}", ChildRef::of(child).in_namespace(namespace)))(error)),
    }
}

/// Deletes the object of that UID and creates `child` in its place.
async fn replace(ctx: &Context, namespace: &str, child: &Child, uid: &Uid) -> Result<(), Error> {
    if remove(&ctx.io, namespace, ChildRef::of(child), uid).await? && make(ctx, namespace, child).await? {
        return Ok(());
    }
    // An event reports its deletion.
    Err(held(namespace, ChildRef::of(child)))
}

/// Repairs the object of that UID, or replaces it if it is as large as an object may be: other clients can add labels
/// to it until no repair fits.
async fn repair_or_replace(
    ctx: &Context,
    namespace: &str,
    child: &Child,
    uid: &Uid,
    labelled: bool,
) -> Result<(), Error> {
    match repair(&ctx.io, namespace, child, uid, labelled).await {
        // A binding without labels is not complete, see `withdraw_subjects`.
        Err(error) if error.is_too_large() && child.metadata().labels.is_some() => {
            Box::pin(replace(ctx, namespace, child, uid)).await
        }
        other => other,
    }
}

/// Turns `existing`, which has the name of a guard, into `wanted`. Without a `wanted` guard it is removed.
pub async fn restore(ctx: &Context, namespace: &str, existing: &Child, wanted: Option<&Child>) -> Result<(), Error> {
    let (child, seen) = (ChildRef::of(existing), existing.seen());
    let Some(wanted) = wanted else {
        return if remove(&ctx.io, namespace, child, &seen.uid).await? { Ok(()) } else { Err(held(namespace, child)) };
    };
    match compare(wanted, &seen) {
        Some(change) => carry_out(ctx, namespace, change, existing.metadata().labels.is_some()).await,
        None => Ok(()),
    }
}

async fn repair(io: &Io, namespace: &str, child: &Child, uid: &Uid, labelled: bool) -> Result<(), Error> {
    let action = format!("repair {}", ChildRef::of(child).in_namespace(namespace));
    let answer = patch(&io.client, namespace, ChildRef::of(child), child.repair(uid, labelled)).await;
    if let Err(kube::Error::Api(status)) = &answer
        && (status.is_not_found() || status.code == 422)
    {
        // Deleted or replaced by another object: the cached state is obsolete.
        io.store.remove_child(namespace, child.kind(), child.name(), uid);
    }
    io.store.put_child(namespace, answer.map_err(Error::api(action))?.seen());
    Ok(())
}

/// Sends a DELETE with that UID. An object that no longer exists is a success. Returns true if the object no longer
/// exists, and false if a finalizer holds it. If the held object is a binding, its subjects are removed.
pub async fn remove(io: &Io, namespace: &str, child: ChildRef<'_>, uid: &Uid) -> Result<bool, Error> {
    let held = match child_api::delete(&io.client, namespace, child, uid).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        other => other.map_err(Error::api(format!("delete {}", child.in_namespace(namespace))))?,
    };
    let Some(held) = held else {
        io.store.remove_child(namespace, child.kind, child.name, uid);
        return Ok(true);
    };
    io.store.put_child(namespace, held.seen());
    empty(io, namespace, &held).await?;
    Ok(false)
}

/// Removes the subjects of a terminating binding: they would have access for as long as a finalizer holds it.
async fn empty(io: &Io, namespace: &str, held: &Child) -> Result<(), Error> {
    let seen = held.seen();
    if seen.subjects.is_empty() { Ok(()) } else { repair(io, namespace, &emptied(held.name()), &seen.uid, true).await }
}

fn held(namespace: &str, child: ChildRef<'_>) -> Error {
    Error::Held(child.in_namespace(namespace))
}
