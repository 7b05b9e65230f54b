//! Releases the namespace of a space that is being deleted: it stays with everything in it, without the marks of
//! ownership.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;

use super::api::patch;
use crate::{
    api::DeveloperSpace,
    controller::io::Io,
    desired::{departure, namespace::SeenNamespace},
    runtime::error::Error,
};

/// Releases the namespace. A release that was written before is not written again.
pub(crate) async fn release(
    io: &Io,
    space: &DeveloperSpace,
    live: &Namespace,
    now: DateTime<Utc>,
) -> Result<SeenNamespace, Error> {
    let Some(marks) = departure::release(space, &live.metadata, now) else {
        return Ok(SeenNamespace::from_namespace(live));
    };
    let name = space.name_any();
    let released = patch(io, &name, marks).await?;
    let reason = "its DeveloperSpace was deleted with deletionPolicy Retain";
    tracing::info!(namespace = name, uid = %released.uid, reason, "released a namespace");
    Ok(released)
}

/// Returns a namespace whose adoption was not complete.
pub(crate) async fn hand_back(
    io: &Io,
    space: &DeveloperSpace,
    live: &Namespace,
    keeps_policy: bool,
) -> Result<(), Error> {
    let name = space.name_any();
    let returned = patch(io, &name, departure::hand_back(&live.metadata, keeps_policy)).await?;
    let reason = "its DeveloperSpace was deleted before the adoption was complete";
    tracing::info!(namespace = name, uid = %returned.uid, reason, "released a namespace");
    Ok(())
}
