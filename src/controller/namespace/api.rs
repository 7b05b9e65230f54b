//! The API of namespaces, the reads, and the PATCH of the metadata. The responses are kept in the store.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::Patch};
use serde_json::Value;

use crate::{
    api::DeveloperSpace,
    controller::io::Io,
    desired::namespace::{Ownership, SeenNamespace, ownership},
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
    read_again(io, space, seen, Ownership::Ours).await.map(|_| ())
}

/// Reads the namespace again and returns it if it is still the one that was `seen`, its ownership is still `to` and it
/// is not terminating. Otherwise returns a conflict, after which the operator decides again.
pub(super) async fn read_again(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    to: Ownership,
) -> Result<Namespace, Error> {
    let name = space.name_any();
    let live = namespaces(io).get(&name).await.map_err(Error::api(format!("read namespace {name}")))?;
    let current = keep_seen(io, &live);
    if current.uid != seen.uid || ownership(space, &current) != to || current.terminating.is_some() {
        return Err(Error::Moved(format!("write the labels and annotations of namespace {name}")));
    }
    Ok(live)
}

/// Sends a PATCH of the labels and annotations.
pub(super) async fn patch(io: &Io, name: &str, patch: Value) -> Result<SeenNamespace, Error> {
    let answer = namespaces(io).patch(name, &patch_params(), &Patch::Merge(patch)).await;
    let live = answer.map_err(Error::api(format!("write the labels and annotations of namespace {name}")))?;
    Ok(keep_seen(io, &live))
}

/// Keeps a namespace that the API server returned, and returns the part that decisions read.
pub(super) fn keep_seen(io: &Io, live: &Namespace) -> SeenNamespace {
    io.store.put_namespace(live);
    SeenNamespace::from_namespace(live)
}
