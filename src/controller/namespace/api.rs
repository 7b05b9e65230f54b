//! The API of namespaces, the reads, and the PATCH of the metadata. A response is kept in the store if the reconcile
//! decides on it. Any other response may contain a change of another client, whose event has to trigger a reconcile.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::Patch};
use serde_json::Value;

use crate::{
    api::DeveloperSpace,
    controller::io::Io,
    desired::{
        metadata::WantedMetadata,
        namespace::{Ownership, SeenNamespace, ownership},
    },
    runtime::{error::Error, write_params::patch_params},
};

pub(super) fn namespaces(io: &Io) -> Api<Namespace> {
    Api::all(io.client.clone())
}

/// Reads the namespace from the API server. Returns `None` for a protected name: a namespace of that name is never
/// deleted.
pub(crate) async fn read(io: &Io, name: &str) -> Result<Option<Namespace>, Error> {
    let live = namespaces(io).get_opt(name).await.map_err(Error::api(format!("read namespace {name}")))?;
    if let Some(live) = &live {
        io.store.put_namespace(live);
    }
    Ok(live.filter(|_| !io.protected.contains(name)))
}

/// Reads the namespace again before the first child is created in a namespace that had all of its children: a POST
/// cannot name the UID of its namespace, and the one in the store may have been replaced.
pub(crate) async fn confirm(io: &Io, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<(), Error> {
    let live = get(io, &space.name_any()).await?;
    let verdict = ensure_unmoved(space, seen, &live, Ownership::Ours);
    if verdict.is_err() {
        io.store.put_namespace(&live);
    }
    verdict
}

async fn get(io: &Io, name: &str) -> Result<Namespace, Error> {
    namespaces(io).get(name).await.map_err(Error::api(format!("read namespace {name}")))
}

/// Returns a conflict, after which the operator decides again, unless `live` is still the namespace that was `seen`,
/// its ownership is still `to` and it is not terminating.
fn ensure_unmoved(space: &DeveloperSpace, seen: &SeenNamespace, live: &Namespace, to: Ownership) -> Result<(), Error> {
    let current = SeenNamespace::from_namespace(live);
    if current.uid != seen.uid || ownership(space, &current) != to || current.terminating.is_some() {
        let name = space.name_any();
        return Err(Error::Moved(format!("write the labels and annotations of namespace {name}")));
    }
    Ok(())
}

/// Reads the namespace again and returns it if it is still the one that was `seen`, see [`ensure_unmoved`].
pub(super) async fn read_again(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    to: Ownership,
) -> Result<Namespace, Error> {
    let live = get(io, &space.name_any()).await?;
    io.store.put_namespace(&live);
    ensure_unmoved(space, seen, &live, to).map(|()| live)
}

/// Sends a PATCH of the labels and annotations.
pub(super) async fn patch(io: &Io, name: &str, patch: Value) -> Result<SeenNamespace, Error> {
    Ok(keep_seen(io, &send_patch(io, name, patch).await?))
}

/// Sends a PATCH of the labels and annotations, after which they are to be those `wanted`.
pub(super) async fn patch_to(
    io: &Io,
    name: &str,
    patch: Value,
    wanted: &WantedMetadata,
) -> Result<SeenNamespace, Error> {
    let live = send_patch(io, name, patch).await?;
    let seen = SeenNamespace::from_namespace(&live);
    if seen.metadata.matches(wanted) {
        io.store.put_namespace(&live);
    }
    Ok(seen)
}

async fn send_patch(io: &Io, name: &str, patch: Value) -> Result<Namespace, Error> {
    let answer = namespaces(io).patch(name, &patch_params(), &Patch::Merge(patch)).await;
    answer.map_err(Error::api(format!("write the labels and annotations of namespace {name}")))
}

/// Keeps a namespace that the API server returned, and returns the part that decisions read.
pub(super) fn keep_seen(io: &Io, live: &Namespace) -> SeenNamespace {
    io.store.put_namespace(live);
    SeenNamespace::from_namespace(live)
}
