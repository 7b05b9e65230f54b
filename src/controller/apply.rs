//! Writes to the children of a space. Each is safe to lose, to repeat and to race: a create meets what is there, a repair and
//! a removal name the UID that they were decided on.

use std::fmt::Debug;

use futures::future::join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{LimitRange, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{context::Context, error::Error};
use crate::{
    api::names,
    desired::{
        Child, ChildKind, Uid,
        diff::{Change, Changes, compare},
    },
};

/// Carries out `changes` in `namespace`: guards side by side, then bindings. All are tried; the first error is returned.
pub async fn children(ctx: &Context, namespace: &str, changes: Changes) -> Result<(), Error> {
    let Changes { guards, bindings } = changes;
    for batch in [guards, bindings] {
        let results = join_all(batch.into_iter().map(|change| write(ctx, namespace, change))).await;
        results.into_iter().collect::<Result<(), Error>>()?;
    }
    Ok(())
}

async fn write(ctx: &Context, namespace: &str, change: Change) -> Result<(), Error> {
    match change {
        Change::Create(child) => create(ctx, namespace, child).await,
        // What is watched is selected by label, so it has some.
        Change::Repair { uid, child } => repair(ctx, namespace, &child, (&uid, true)).await,
        Change::Replace { uid, child } => {
            remove(ctx, namespace, (child.kind(), child.name()), &uid).await?;
            create(ctx, namespace, child).await
        }
        Change::Remove { kind, name, uid } => remove(ctx, namespace, (kind, &name), &uid).await,
    }
}

/// POST; where the name is taken, what stands there is made to say the same: the namespace is ours, and so is the name in it.
async fn create(ctx: &Context, namespace: &str, child: Child) -> Result<(), Error> {
    let what = format!("{} {} in {namespace}", child.kind().as_str(), child.name());
    if make(ctx, namespace, &child).await? {
        return Ok(());
    }
    let existing = get(&ctx.client, namespace, (child.kind(), child.name())).await.map_err(Error::api(format!("create {what}")))?;
    let labelled = existing.metadata().labels.is_some();
    match compare(&child, &existing.seen()) {
        Some(Change::Repair { uid, child }) => repair(ctx, namespace, &child, (&uid, labelled)).await,
        Some(Change::Replace { uid, child }) => {
            if existing.metadata().deletion_timestamp.is_none() {
                remove(ctx, namespace, (child.kind(), child.name()), &uid).await?;
                if make(ctx, namespace, &child).await? {
                    return Ok(());
                }
            }
            // Deleted and still there: a finalizer holds it. Its event tells when it is gone.
            Err(Error::Held(what))
        }
        Some(Change::Create(_) | Change::Remove { .. }) | None => {
            ctx.store.put_child(namespace, existing.seen());
            Ok(())
        }
    }
}

/// POST; says whether it was made, or its name was taken.
async fn make(ctx: &Context, namespace: &str, child: &Child) -> Result<bool, Error> {
    let client = &ctx.client;
    let answer = match child {
        Child::Quota(object) => post(client, namespace, object).await,
        Child::Limits(object) => post(client, namespace, object).await,
        Child::Network(object) => post(client, namespace, object).await,
        Child::Binding(object) => post(client, namespace, object).await,
    };
    match answer {
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

/// DELETE of that UID; gone already is success. A conflict is looked at again: another object may have the name by now.
pub async fn remove(ctx: &Context, namespace: &str, (kind, name): (ChildKind, &str), uid: &Uid) -> Result<(), Error> {
    let client = &ctx.client;
    let answer = match kind {
        ChildKind::Quota => delete::<ResourceQuota>(client, namespace, name, uid).await,
        ChildKind::Limits => delete::<LimitRange>(client, namespace, name, uid).await,
        ChildKind::Network => delete::<NetworkPolicy>(client, namespace, name, uid).await,
        ChildKind::Binding => delete::<RoleBinding>(client, namespace, name, uid).await,
    };
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        other => other.map_err(Error::api(format!("delete {} {name} in {namespace}", kind.as_str())))?,
    }
    ctx.store.remove_child(namespace, kind, name, uid);
    Ok(())
}

async fn get(client: &Client, namespace: &str, (kind, name): (ChildKind, &str)) -> Result<Child, kube::Error> {
    match kind {
        ChildKind::Quota => api::<ResourceQuota>(client, namespace).get(name).await.map(Child::from),
        ChildKind::Limits => api::<LimitRange>(client, namespace).get(name).await.map(Child::from),
        ChildKind::Network => api::<NetworkPolicy>(client, namespace).get(name).await.map(Child::from),
        ChildKind::Binding => api::<RoleBinding>(client, namespace).get(name).await.map(Child::from),
    }
}

async fn patch(client: &Client, namespace: &str, (kind, name): (ChildKind, &str), operations: Value) -> Result<Child, kube::Error> {
    match kind {
        ChildKind::Quota => patch_as::<ResourceQuota>(client, namespace, name, operations).await,
        ChildKind::Limits => patch_as::<LimitRange>(client, namespace, name, operations).await,
        ChildKind::Network => patch_as::<NetworkPolicy>(client, namespace, name, operations).await,
        ChildKind::Binding => patch_as::<RoleBinding>(client, namespace, name, operations).await,
    }
}

/// What the four kinds have in common.
trait ChildObject:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned + Into<Child>
{
}

impl<K> ChildObject for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned + Into<Child>
{
}

fn api<K: ChildObject>(client: &Client, namespace: &str) -> Api<K> {
    Api::namespaced(client.clone(), namespace)
}

async fn post<K: ChildObject>(client: &Client, namespace: &str, object: &K) -> Result<Child, kube::Error> {
    api::<K>(client, namespace).create(&post_params(), object).await.map(Into::into)
}

async fn patch_as<K: ChildObject>(client: &Client, namespace: &str, name: &str, operations: Value) -> Result<Child, kube::Error> {
    let operations = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let made = api::<K>(client, namespace).patch(name, &patch_params(), &Patch::Json::<K>(operations)).await;
    made.map(Into::into)
}

async fn delete<K: ChildObject>(client: &Client, namespace: &str, name: &str, uid: &Uid) -> Result<(), kube::Error> {
    api::<K>(client, namespace).delete(name, &delete_params(uid, None)).await.map(|_| ())
}

/// POST under our field manager.
pub fn post_params() -> PostParams {
    PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// PATCH under our field manager.
pub fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// DELETE of that very object: another of the same name is refused with 409; so is, with `version`, one that has changed since.
pub fn delete_params(uid: &Uid, version: Option<u64>) -> DeleteParams {
    let resource_version = version.map(|version| version.to_string());
    DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_string()), resource_version })
}
