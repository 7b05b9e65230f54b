//! Deletes the namespace of a space that has expired or is being deleted, and a namespace that was created for a space
//! that no longer exists.

use kube::ResourceExt;

use super::api::{keep_seen, namespaces};
use crate::{
    api::DeveloperSpace,
    controller::io::Io,
    desired::{
        namespace::{Ownership, SeenNamespace, ownership},
        ownership::is_claimed_by_another,
    },
    runtime::{error::Error, write_params::delete_params},
};

/// The phrase about a namespace whose name is protected.
pub(crate) const PROTECTED_STAYS: &str = "is not deleted, since its name is protected on this cluster";

/// The number of attempts to delete a namespace that keeps changing, each with its latest version.
const MAX_DELETE_ATTEMPTS: usize = 3;

/// Sends a DELETE for the namespace with the UID and the resourceVersion that were seen, and after a change with the
/// latest resourceVersion. Returns true if this call deleted it. A namespace with a protected name is never deleted.
///
/// The API server answers a DELETE of a terminating object with 200, so that `gc` and the controller would both report
/// the deletion: the resourceVersion as a precondition lets only the first one succeed.
pub(crate) async fn delete(
    io: &Io,
    space: &DeveloperSpace,
    namespace: &SeenNamespace,
    reason: &str,
) -> Result<bool, Error> {
    let name = &space.name_any();
    if io.protected.contains(name) {
        tracing::warn!(namespace = name, "a protected namespace is not deleted");
        return Ok(false);
    }
    let SeenNamespace { uid, version, .. } = namespace;
    let api = namespaces(io);
    let failed = Error::api(format!("delete namespace {name}"));
    let mut version = *version;
    for number in 1..=MAX_DELETE_ATTEMPTS {
        match api.delete(name, &delete_params(uid, Some(version))).await {
            Ok(answer) => {
                if let Some(namespace) = answer.left() {
                    io.store.put_namespace(&namespace);
                }
                tracing::info!(namespace = name, uid = %uid, reason, "deleted a namespace");
                return Ok(true);
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                io.store.mark_namespace_deleted(name, uid);
                return Ok(false);
            }
            // The namespace has changed, is already terminating, or was replaced by another one.
            Err(kube::Error::Api(status)) if status.is_conflict() && number < MAX_DELETE_ATTEMPTS => {
                let live = api.get_opt(name).await.map_err(Error::api(format!("read namespace {name}")))?;
                let Some(live) = live else { continue };
                let seen = keep_seen(io, &live);
                if seen.uid != *uid || seen.terminating.is_some() {
                    return Ok(false);
                }
                // An administrator handed it over in between, or another space of the name has adopted it.
                if seen.adopt.is_some()
                    || is_claimed_by_another(space, &seen)
                    || ownership(space, &seen) != Ownership::Ours
                {
                    return Err(Error::Moved(format!("delete namespace {name}")));
                }
                version = seen.version;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(false)
}

/// Sends a DELETE for a namespace that this process created for a space that no longer exists, with the UID and the
/// resourceVersion that were seen.
pub(crate) async fn delete_unrecorded(io: &Io, name: &str, seen: &SeenNamespace) -> Result<(), Error> {
    match namespaces(io).delete(name, &delete_params(&seen.uid, Some(seen.version))).await {
        Ok(answer) => {
            if let Some(namespace) = answer.left() {
                io.store.put_namespace(&namespace);
            }
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => io.store.mark_namespace_deleted(name, &seen.uid),
        Err(error) => return Err(Error::api(format!("delete namespace {name}"))(error)),
    }
    let reason = "its DeveloperSpace was deleted while the namespace was created";
    tracing::info!(namespace = name, uid = %seen.uid, reason, "deleted a namespace");
    Ok(())
}
