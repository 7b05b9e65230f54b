//! Writes the labels and annotations of an existing namespace: adopts, repairs and marks it.

use chrono::{DateTime, Utc};
use kube::ResourceExt;
use serde_json::json;

use super::api::{patch, patch_to, read_again};
use crate::{
    api::{DeveloperSpace, names, time::rfc3339},
    controller::io::Io,
    desired::{
        adoption::{self, Adoption},
        metadata::WantedMetadata,
        namespace::{NamespaceMetadata, Ownership, SeenNamespace},
    },
    runtime::error::Error,
};

/// Adopts a namespace that an administrator hands over, and reports the values that this replaced. The offer stays
/// until the status contains the UID, so that it is found after a crash in between.
pub(crate) async fn adopt(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    metadata: NamespaceMetadata,
) -> Result<(SeenNamespace, String), Error> {
    let (name, live) = (space.name_any(), read_again(io, space, seen, Ownership::Offered).await?);
    let Adoption { patch: marks, replaced } = adoption::adopt(space, metadata, &live.metadata);
    let adopted = match marks {
        Some(marks) => patch(io, &name, marks).await?,
        None => SeenNamespace::from_namespace(&live),
    };
    tracing::info!(namespace = name, uid = %adopted.uid, reason = "its annotation offers it to the DeveloperSpace", "adopted a namespace");
    Ok((adopted, replaced))
}

/// Removes the accepted offer, so that the namespace is not handed over a second time. The labels and annotations are
/// those `wanted` already.
pub(crate) async fn end_offer(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    wanted: &WantedMetadata,
) -> Result<SeenNamespace, Error> {
    let removal = json!({"metadata": {"uid": seen.uid.to_string(), "annotations": {(names::ANNOTATION_ADOPT): null}}});
    patch_to(io, &space.name_any(), removal, wanted).await
}

/// Writes the `wanted` labels and annotations to the space's own namespace.
pub(crate) async fn keep(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    wanted: &WantedMetadata,
) -> Result<SeenNamespace, Error> {
    if seen.metadata.matches(wanted) {
        return Ok(seen.clone());
    }
    let live = read_again(io, space, seen, Ownership::Ours).await?;
    let current = SeenNamespace::from_namespace(&live);
    if current.metadata.matches(wanted) {
        return Ok(current);
    }
    patch_to(io, &space.name_any(), wanted.patch(&live.metadata), wanted).await
}

/// Writes only the expiry to the namespace, if it differs.
pub(crate) async fn follow_expiry(
    io: &Io,
    name: &str,
    seen: &SeenNamespace,
    expires_at: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let end = expires_at.map(rfc3339);
    let is_right = match &end {
        Some(end) => seen.metadata.has_annotation_value(names::ANNOTATION_EXPIRES_AT, end),
        None => !seen.metadata.has_annotation(names::ANNOTATION_EXPIRES_AT),
    };
    if !is_right {
        let expiry =
            json!({"metadata": {"uid": seen.uid.to_string(), "annotations": {(names::ANNOTATION_EXPIRES_AT): end}}});
        patch(io, name, expiry).await?;
    }
    Ok(())
}

/// Returns true if the namespace is known to have the label of enforced isolation.
pub(crate) fn is_marked_enforced(io: &Io, name: &str) -> bool {
    io.store.namespace(name).is_some_and(|seen| seen.metadata.has_label(names::LABEL_NETWORK_ENFORCED, "true"))
}

/// Writes only the label of enforced isolation: from then on admission allows no other client to create a NetworkPolicy
/// in the namespace.
pub(crate) async fn mark_enforced(io: &Io, name: &str, seen: &SeenNamespace) -> Result<(), Error> {
    if is_marked_enforced(io, name) {
        return Ok(());
    }
    let mark = json!({"metadata": {"uid": seen.uid.to_string(), "labels": {(names::LABEL_NETWORK_ENFORCED): "true"}}});
    patch(io, name, mark).await.map(|_| ())
}
