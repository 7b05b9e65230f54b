//! Reads the RoleBindings of others, which a release and a transfer leave in place.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{Api, ResourceExt, api::ListParams};

use super::{context::Context, error::Error};
use crate::{
    api::DeveloperSpace,
    desired::{foreign_bindings, standing::Standing, status::Note},
};

/// The most bindings that are read.
const PAGE: u32 = 500;

/// The end of the sentence about a release or a transfer: the subjects that still have access by RoleBindings of others.
pub async fn still_bound(ctx: &Context, namespace: &str) -> Result<String, Error> {
    let api: Api<RoleBinding> = Api::namespaced(ctx.client.clone(), namespace);
    let listed = api.list(&ListParams::default().limit(PAGE)).await.map_err(Error::api(format!("list the RoleBindings in {namespace}")))?;
    let unread = listed.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok());
    Ok(foreign_bindings::still_bound(namespace, &listed.items, unread.unwrap_or_default()))
}

/// The Event about a transfer of `space`, which was admitted for the owner of `before` until now. The previous owner may have written some of the
/// RoleBindings of others.
pub async fn transferred(ctx: &Context, space: &DeveloperSpace, before: Option<&Standing>) -> Result<Option<Note>, Error> {
    let Some(before) = before.filter(|standing| standing.owner != space.spec.owner) else { return Ok(None) };
    let (name, owner) = (space.name_any(), &space.spec.owner);
    let message = format!("namespace {name} was transferred from {} to {owner}{}", before.owner, still_bound(ctx, &name).await?);
    Ok(Some(Note { warning: false, reason: "Transferred".to_owned(), message, in_namespace: true }))
}
