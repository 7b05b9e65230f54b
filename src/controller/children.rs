//! Writes to the children of a space. Each write is safe if it is lost, repeated or concurrent with another write: a create compares an existing
//! object, and a repair and a removal have the UID of the decision as their precondition.
//!
//! The order is part of the contract: removals of access are written together with the guards and wait for nothing. New access is written last.

use futures::{StreamExt, stream};

pub use super::child_api::{delete_params, patch_params, post_params};
use super::{
    child_api::{self, get, patch, post},
    context::Context,
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

/// The number of concurrent writes of one reconcile. A subject with the role `admin` in the namespace decides how many bindings have to be removed.
const SIDE_BY_SIDE: usize = 8;

/// Turns the children in `namespace` into those `wanted`, as far as `grant` allows. All changes of a step are attempted; the first error is returned.
/// A namespace that is `known` from the store only is read again before a child is created in it.
pub async fn children(
    ctx: &Context,
    namespace: &str,
    wanted: &Children,
    grant: Grant,
    known: Option<(&DeveloperSpace, &SeenNamespace)>,
) -> Result<Progress, Error> {
    let decide = || diff(wanted, &ctx.store.children(namespace), grant);
    let mut changes = decide();
    if let Some((space, seen)) = known.filter(|_| changes.guards.iter().chain(&changes.grants).any(creates))
        && let Err(error) = namespace::confirm(ctx, space, seen).await
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

/// Removes from the bindings in `namespace` the subjects that `space` names in neither owner nor members. Nothing else is changed: the class
/// is missing, so the other wanted children are unknown.
pub async fn withdraw_subjects(ctx: &Context, namespace: &str, space: &DeveloperSpaceSpec) -> Result<(), Error> {
    let changes = binding_changes::changes(&named(space), &ctx.store.children(namespace), AccessGate::Closed);
    write_all(ctx, namespace, changes.withdrawals).await
}

async fn write_all(ctx: &Context, namespace: &str, changes: impl IntoIterator<Item = Change>) -> Result<(), Error> {
    let changes: Vec<Change> = changes.into_iter().collect();
    let writes = stream::iter(changes).enumerate().map(|(place, change)| async move { (place, write(ctx, namespace, change).await) });
    let mut results: Vec<_> = writes.buffer_unordered(SIDE_BY_SIDE).collect().await;
    // The same error is reported by each attempt, regardless of the order of the responses.
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().try_for_each(|(_, result)| result)
}

async fn write(ctx: &Context, namespace: &str, change: Change) -> Result<(), Error> {
    match change {
        Change::Cut(child) => cut_live(ctx, namespace, child).await,
        // Watched objects are selected by label, so they have labels.
        other => carry_out(ctx, namespace, other, true).await,
    }
}

async fn carry_out(ctx: &Context, namespace: &str, change: Change, labelled: bool) -> Result<(), Error> {
    match change {
        Change::Create(child) => create(ctx, namespace, child).await,
        Change::Repair { uid, child } => repair(ctx, namespace, &child, (&uid, labelled)).await,
        Change::Replace { uid, child } => {
            if remove(ctx, namespace, (child.kind(), child.name()), &uid).await? {
                create(ctx, namespace, child).await
            } else {
                Err(held(namespace, child.kind(), child.name()))
            }
        }
        Change::Remove { kind, name, uid } => remove(ctx, namespace, (kind, &name), &uid).await.map(|_| ()),
        Change::Held { kind, name } => Err(held(namespace, kind, &name)),
        // The object was just read: the next reconcile decides again.
        Change::Cut(_) => Ok(()),
    }
}

/// Reads the object that has the name of `child` and removes the fields that exceed `child`. An object and a `child` that were compared before are
/// not read again; see [`Store::is_settled`].
///
/// [`Store::is_settled`]: crate::cache::store::Store::is_settled
async fn cut_live(ctx: &Context, namespace: &str, child: Child) -> Result<(), Error> {
    let (kind, name) = (child.kind(), child.name());
    let what = format!("{} {name} in {namespace}", kind.as_str());
    if ctx.store.is_settled(namespace, &child) {
        return Ok(());
    }
    let found = get(&ctx.client, namespace, (kind, name)).await.map_err(Error::api(format!("read {what}")))?;
    match found {
        None if kind == ChildKind::Binding => {}
        None => return create(ctx, namespace, child).await,
        Some(existing) => {
            ctx.store.put_child(namespace, existing.seen());
            if let Some(change) = cut(&child, &existing) {
                carry_out(ctx, namespace, change, existing.metadata().labels.is_some()).await?;
            }
        }
    }
    ctx.store.settle(namespace, &child);
    Ok(())
}

/// Sends a POST. An existing object of that name is repaired: the namespace belongs to the space, and so does the name in it.
async fn create(ctx: &Context, namespace: &str, child: Child) -> Result<(), Error> {
    let what = format!("{} {} in {namespace}", child.kind().as_str(), child.name());
    if make(ctx, namespace, &child).await? {
        return Ok(());
    }
    let found = get(&ctx.client, namespace, (child.kind(), child.name())).await.map_err(Error::api(format!("create {what}")))?;
    // The object was deleted in between: its name is free again.
    let Some(existing) = found else { return make(ctx, namespace, &child).await.map(|_| ()) };
    let labelled = existing.metadata().labels.is_some();
    match compare(&child, &existing.seen()) {
        Some(Change::Repair { uid, child }) => repair(ctx, namespace, &child, (&uid, labelled)).await,
        Some(Change::Replace { uid, child }) => {
            if remove(ctx, namespace, (child.kind(), child.name()), &uid).await? && make(ctx, namespace, &child).await? {
                return Ok(());
            }
            // An event reports its deletion.
            Err(Error::Held(what))
        }
        Some(Change::Held { .. }) => {
            ctx.store.put_child(namespace, existing.seen());
            empty(ctx, namespace, &existing).await?;
            Err(Error::Held(what))
        }
        Some(Change::Create(_) | Change::Remove { .. } | Change::Cut(_)) | None => {
            ctx.store.put_child(namespace, existing.seen());
            Ok(())
        }
    }
}

/// Sends a POST. Returns true if the object was created, and false if its name was taken.
async fn make(ctx: &Context, namespace: &str, child: &Child) -> Result<bool, Error> {
    ctx.ends.go_first(&*ctx.clock).await;
    match post(&ctx.client, namespace, child).await {
        Ok(made) => {
            ctx.store.put_child(namespace, made.seen());
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(Error::api(format!("create {} {} in {namespace}", child.kind().as_str(), child.name()))(error)),
    }
}

async fn repair(ctx: &Context, namespace: &str, child: &Child, (uid, labelled): (&Uid, bool)) -> Result<(), Error> {
    let action = format!("repair {} {} in {namespace}", child.kind().as_str(), child.name());
    let answer = patch(&ctx.client, namespace, (child.kind(), child.name()), child.repair(uid, labelled)).await;
    if let Err(kube::Error::Api(status)) = &answer
        && (status.is_not_found() || status.code == 422)
    {
        // Deleted or replaced by another object: the cached state is obsolete.
        ctx.store.remove_child(namespace, child.kind(), child.name(), uid);
    }
    ctx.store.put_child(namespace, answer.map_err(Error::api(action))?.seen());
    Ok(())
}

/// Sends a DELETE with that UID. An object that no longer exists is a success. Returns true if the object no longer exists, and false if a
/// finalizer holds it. If the held object is a binding, its subjects are removed.
pub async fn remove(ctx: &Context, namespace: &str, (kind, name): (ChildKind, &str), uid: &Uid) -> Result<bool, Error> {
    let held = match child_api::delete(&ctx.client, namespace, (kind, name), uid).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        other => other.map_err(Error::api(format!("delete {} {name} in {namespace}", kind.as_str())))?,
    };
    let Some(held) = held else {
        ctx.store.remove_child(namespace, kind, name, uid);
        return Ok(true);
    };
    ctx.store.put_child(namespace, held.seen());
    empty(ctx, namespace, &held).await?;
    Ok(false)
}

/// Removes the subjects of a terminating binding: they would have access for as long as a finalizer holds it.
async fn empty(ctx: &Context, namespace: &str, held: &Child) -> Result<(), Error> {
    let seen = held.seen();
    if seen.subjects.is_empty() { Ok(()) } else { repair(ctx, namespace, &emptied(held.name()), (&seen.uid, true)).await }
}

fn held(namespace: &str, kind: ChildKind, name: &str) -> Error {
    Error::Held(format!("{} {name} in {namespace}", kind.as_str()))
}
