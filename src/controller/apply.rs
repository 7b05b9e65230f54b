//! Writes to the children of a space. Each is safe to lose, to repeat and to race: a create meets what is there, a repair and
//! a removal name the UID that they were decided on.
//!
//! The order is the contract's: what takes access away goes beside the guards and waits for nothing; what gives access comes last.

use futures::future::join_all;

pub use super::child_api::{delete_params, patch_params, post_params};
use super::{
    child_api::{self, get, patch, post},
    context::Context,
    error::Error,
};
use crate::{
    api::DeveloperSpaceSpec,
    desired::{
        Child, ChildKind, Children, Grant, Uid,
        access::{self, Door, emptied},
        diff::{Change, Changes, compare, cut, diff},
        role_bindings::named,
    },
};

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The namespace has what it is to have.
    Done,
    /// New bindings and new subjects wait until the quota is in force. Its event comes.
    Waits,
}

/// Makes what is in `namespace` what is `wanted`, as far as `grant` goes. All changes of a step are tried; the first error is returned.
pub async fn children(ctx: &Context, namespace: &str, wanted: &Children, grant: Grant) -> Result<Progress, Error> {
    let decide = || diff(wanted, &ctx.store.children(namespace), grant);
    let mut changes = decide();
    if !changes.guards.is_empty() || !changes.withdrawals.is_empty() {
        let Changes { guards, withdrawals, .. } = changes;
        write_all(ctx, namespace, guards.into_iter().chain(withdrawals)).await?;
        changes = decide();
    }
    match (changes.grants.is_empty(), changes.door) {
        (true, _) => Ok(Progress::Done),
        (false, Door::Open) => write_all(ctx, namespace, changes.grants).await.map(|()| Progress::Done),
        (false, Door::Waiting | Door::Shut) => Ok(Progress::Waits),
    }
}

/// Takes from the bindings in `namespace` the subjects that `space` names in neither owner nor members. Nothing else is changed: the class
/// is missing, so what else is wanted is unknown.
pub async fn withdraw_subjects(ctx: &Context, namespace: &str, space: &DeveloperSpaceSpec) -> Result<(), Error> {
    let changes = access::changes(&named(space), &ctx.store.children(namespace), Door::Shut);
    write_all(ctx, namespace, changes.withdrawals).await
}

async fn write_all(ctx: &Context, namespace: &str, changes: impl IntoIterator<Item = Change>) -> Result<(), Error> {
    let results = join_all(changes.into_iter().map(|change| write(ctx, namespace, change))).await;
    results.into_iter().collect()
}

async fn write(ctx: &Context, namespace: &str, change: Change) -> Result<(), Error> {
    match change {
        Change::Cut(child) => cut_live(ctx, namespace, child).await,
        // What is watched is selected by label, so it has some.
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
        // It was read a moment ago: the next look decides again.
        Change::Cut(_) => Ok(()),
    }
}

/// Reads the object that stands where `child` is wanted and takes from it what is too much. Once a reading; see [`Store::is_settled`].
///
/// [`Store::is_settled`]: super::store::Store::is_settled
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

/// POST; where the name is taken, what stands there is made to say the same: the namespace is ours, and so is the name in it.
async fn create(ctx: &Context, namespace: &str, child: Child) -> Result<(), Error> {
    let what = format!("{} {} in {namespace}", child.kind().as_str(), child.name());
    if make(ctx, namespace, &child).await? {
        return Ok(());
    }
    let found = get(&ctx.client, namespace, (child.kind(), child.name())).await.map_err(Error::api(format!("create {what}")))?;
    // Gone in between: its name is free again.
    let Some(existing) = found else { return make(ctx, namespace, &child).await.map(|_| ()) };
    let labelled = existing.metadata().labels.is_some();
    match compare(&child, &existing.seen()) {
        Some(Change::Repair { uid, child }) => repair(ctx, namespace, &child, (&uid, labelled)).await,
        Some(Change::Replace { uid, child }) => {
            if remove(ctx, namespace, (child.kind(), child.name()), &uid).await? && make(ctx, namespace, &child).await? {
                return Ok(());
            }
            // Its event tells when it is gone.
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

/// POST; says whether it was made, or its name was taken.
async fn make(ctx: &Context, namespace: &str, child: &Child) -> Result<bool, Error> {
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
        // Gone, or another object by now: what was kept of it is of no use.
        ctx.store.remove_child(namespace, child.kind(), child.name(), uid);
    }
    ctx.store.put_child(namespace, answer.map_err(Error::api(action))?.seen());
    Ok(())
}

/// DELETE of that UID; gone already is success. A conflict is looked at again: another object may have the name by now. Says whether it is
/// gone: what a finalizer holds is there, and if it is a binding, its subjects are taken out.
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

/// Takes the subjects out of a binding that is terminating: they have their access as long as a finalizer holds it.
async fn empty(ctx: &Context, namespace: &str, held: &Child) -> Result<(), Error> {
    let seen = held.seen();
    if seen.subjects.is_empty() { Ok(()) } else { repair(ctx, namespace, &emptied(held.name()), (&seen.uid, true)).await }
}

fn held(namespace: &str, kind: ChildKind, name: &str) -> Error {
    Error::Held(format!("{} {name} in {namespace}", kind.as_str()))
}
