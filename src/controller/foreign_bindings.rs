//! Reads the RoleBindings that the operator does not manage. A release and a transfer leave them in place.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{
    Resource, ResourceExt,
    api::ListParams,
    core::{ObjectList, Request},
};

use super::io::Io;
use crate::{
    api::{DeveloperSpace, Subject, excerpt::Excerpt},
    desired::{
        foreign_bindings::{ForeignBindings, ListedBinding},
        status::Note,
    },
    runtime::error::Error,
};

/// The page size of the list.
const PAGE_SIZE: u32 = 25;

/// The most bindings that are read. Large ones are read one by one, see [`crate::small_pages`], which has to end before
/// the deadline of a reconcile. An Event names only a few of them, and counts the others without reading them.
const MAX_LISTED_BINDINGS: usize = 100;

/// The end of the sentence about a release or a transfer: the subjects that still have access by RoleBindings that the
/// operator does not manage.
pub(crate) async fn still_bound(io: &Io, namespace: &str) -> Result<String, Error> {
    let (mut foreign, mut read, mut params) = (ForeignBindings::default(), 0, ListParams::default().limit(PAGE_SIZE));
    loop {
        let page =
            list(io, namespace, &params).await.map_err(Error::api(format!("list the RoleBindings in {namespace}")))?;
        read += page.items.len();
        page.items.iter().for_each(|binding| foreign.add(binding));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty() && read < MAX_LISTED_BINDINGS)
        else {
            let unread = page.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok());
            return Ok(foreign.still_bound(namespace, unread.unwrap_or_default()));
        };
        params = params.continue_token(&token);
    }
}

async fn list(
    io: &Io,
    namespace: &str,
    params: &ListParams,
) -> Result<ObjectList<Excerpt<ListedBinding>>, kube::Error> {
    let request = Request::new(RoleBinding::url_path(&(), Some(namespace))).list(params);
    io.client.request(request.map_err(kube::Error::BuildRequest)?).await
}

/// The Event about a transfer of `space` from the owner `before`, who may have created some of the RoleBindings that
/// the operator does not manage.
pub(crate) async fn transferred(io: &Io, space: &DeveloperSpace, before: &Subject) -> Result<Note, Error> {
    let (name, owner) = (space.name_any(), &space.spec.owner);
    let message = format!("namespace {name} was transferred from {before} to {owner}{}", still_bound(io, &name).await?);
    Ok(Note { warning: false, reason: "Transferred".to_owned(), message, in_namespace: true })
}
