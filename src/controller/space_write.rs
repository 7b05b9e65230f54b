//! Sends the writes to a space. If a write does not fit, metadata that nothing limits is removed from the space, and the
//! write is sent once more.
//!
//! A space that etcd stores in no larger version would get neither a warning nor the seal, and would never end. All
//! fields that an owner can write are limited, see docs/security.md, except managed fields. The API server drops these
//! itself from a PATCH that does not fit, but not from a DELETE. Kubernetes limits neither the length of `generateName`
//! in an update nor the number of equal finalizers. A policy does, but it does not bind administrators, and the space may
//! be older than the policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Patch;
use serde_json::json;

use super::io::Io;
use crate::{
    desired::{finalizers::distinct_finalizers, resource_version::version},
    runtime::{error::is_refused_for_size, write_params::patch_params},
};

/// Sends a write to the space with the metadata `seen`. `send` sends the request with that resourceVersion as its
/// precondition.
///
/// A second request is based on the same decision: the removal has the resourceVersion of `seen` as its precondition,
/// and changes nothing else. If another client writes the space in between, the removal or the second request
/// conflicts, as the first one would have.
pub(crate) async fn write_space<T, F>(
    io: &Io,
    seen: &ObjectMeta,
    send: impl Fn(Option<String>) -> F,
) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    match send(seen.resource_version.clone()).await {
        Err(error) if is_refused_for_size(&error) => {
            let again = async move {
                let emptied = remove_managed_fields(io, seen).await?;
                send(emptied).await
            };
            Box::pin(again).await
        }
        other => other,
    }
}

/// Removes the managed fields, `generateName`, which has no effect after the creation, and duplicates of finalizers.
/// Returns the resourceVersion afterwards. A list with one empty entry removes managed fields, except in a write to the
/// status: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields>
async fn remove_managed_fields(io: &Io, seen: &ObjectMeta) -> Result<Option<String>, kube::Error> {
    let name = seen.name.as_deref().unwrap_or_default();
    let finalizers = seen.finalizers.as_deref().unwrap_or_default();
    let distinct = distinct_finalizers(finalizers);
    let mut metadata = json!({
        "uid": seen.uid, "resourceVersion": seen.resource_version, "managedFields": [{}], "generateName": null,
    });
    if distinct.len() < finalizers.len() {
        metadata["finalizers"] = json!(distinct);
    }
    let patch = json!({"metadata": metadata});
    // The rest of the space may be impossible to decode.
    let emptied = io.spaces().patch_metadata(name, &patch_params(), &Patch::Merge(patch)).await?.metadata;
    io.attempts.record_write(name, version(&emptied));
    tracing::info!(
        space = name,
        "removed managed fields, generateName and duplicate finalizers of a DeveloperSpace, because a write exceeded the size limit of an object"
    );
    Ok(emptied.resource_version)
}
