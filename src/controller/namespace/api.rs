//! The API of namespaces, the reads, and the PATCH of the metadata. The responses are kept in the store.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::Patch};
use serde_json::Value;

use crate::{
    api::DeveloperSpace,
    controller::context::Context,
    desired::namespace::{Ownership, SeenNamespace, ownership},
    runtime::{error::Error, write_params::patch_params},
};

/// The API of namespaces.
pub(super) fn namespaces(ctx: &Context) -> Api<Namespace> {
    Api::all(ctx.client.clone())
}

/// Reads the namespace from the API server. Returns `None` for a protected name: a namespace of that name is never deleted.
pub async fn read(ctx: &Context, name: &str) -> Result<Option<Namespace>, Error> {
    let live = namespaces(ctx).get_opt(name).await.map_err(Error::api(format!("read namespace {name}")))?;
    if let Some(live) = &live {
        ctx.store.put_namespace(live);
    }
    Ok(live.filter(|_| !ctx.protected.contains(name)))
}

/// Reads the namespace again before the first child is created in a namespace that had all of its children: a POST cannot name the UID of its
/// namespace, and the one in the store may have been replaced.
pub async fn confirm(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<(), Error> {
    read_again(ctx, space, seen, Ownership::Ours).await.map(|_| ())
}

/// Reads the namespace again and returns it if it is still the one that was `seen`, its ownership is still `to` and it is not terminating.
/// Otherwise returns a conflict, after which the operator decides again.
pub(super) async fn read_again(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace, to: Ownership) -> Result<Namespace, Error> {
    let name = space.name_any();
    let live = namespaces(ctx).get(&name).await.map_err(Error::api(format!("read namespace {name}")))?;
    let current = keep_seen(ctx, &live);
    if current.uid != seen.uid || ownership(space, &current) != to || current.terminating.is_some() {
        return Err(Error::Moved(format!("write the labels and annotations of namespace {name}")));
    }
    Ok(live)
}

/// Sends a PATCH of the labels and annotations.
pub(super) async fn patch(ctx: &Context, name: &str, patch: Value) -> Result<SeenNamespace, Error> {
    let answer = namespaces(ctx).patch(name, &patch_params(), &Patch::Merge(patch)).await;
    let live = answer.map_err(Error::api(format!("write the labels and annotations of namespace {name}")))?;
    Ok(keep_seen(ctx, &live))
}

/// Keeps a namespace that the API server returned, and returns the part that decisions read.
pub(super) fn keep_seen(ctx: &Context, live: &Namespace) -> SeenNamespace {
    ctx.store.put_namespace(live);
    SeenNamespace::of(live)
}
