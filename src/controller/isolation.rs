//! Checks the foreign `NetworkPolicies` of a namespace, which neither the operator nor the platform manages, before its space is admitted to a class
//! that enforces isolation. Only then a list is requested from the API server.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, ResourceExt, api::ListParams};

use super::io::Io;
use crate::{
    api::without_managed_fields::WithoutManagedFields,
    desired::{
        SpecRefusal,
        isolation::{Foreign, PolicyOwner, not_admitted, policy_owner},
    },
    runtime::error::Error,
};

/// The page size of that list. A developer can make each policy as large as an object may be.
const PAGE_SIZE: u32 = 25;

/// The most foreign policies that are read: the others are counted by the API server.
const MAX_LISTED_POLICIES: usize = 500;

/// Admits the space of that namespace to a class that enforces isolation, or returns the refusal.
///
/// The namespace must be marked first, see [`super::namespace::mark_enforced`]: from then on admission allows no other client to create a policy in it,
/// so that a later list of the API server is complete. The watch may be behind, so its state counts only if it contains a policy.
pub async fn admits(io: &Io, namespace: &str, class_name: &str) -> Result<Option<SpecRefusal>, Error> {
    if let Some(refusal) = not_admitted(class_name, namespace, &io.store.foreign_policies(namespace)) {
        return Ok(Some(refusal));
    }
    let foreign = list(io, namespace).await?;
    Ok(not_admitted(class_name, namespace, &foreign))
}

/// Lists the foreign policies in one namespace. After the first [`MAX_LISTED_POLICIES`], the API server counts the rest.
async fn list(io: &Io, namespace: &str) -> Result<Foreign, Error> {
    let api: Api<WithoutManagedFields<NetworkPolicy>> = Api::namespaced(io.client.clone(), namespace);
    let (mut foreign, mut params) = (Foreign::default(), ListParams::default().limit(PAGE_SIZE));
    loop {
        let page = api.list(&params).await.map_err(Error::api(format!("list the NetworkPolicies in {namespace}")))?;
        let is_foreign = |listed: &&WithoutManagedFields<NetworkPolicy>| policy_owner(&listed.metadata) == PolicyOwner::Foreign;
        page.items.iter().filter(is_foreign).for_each(|listed| foreign.add(listed.name_any()));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty() && foreign.number() < MAX_LISTED_POLICIES) else {
            let unread = page.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok());
            foreign.others = foreign.others.saturating_add(unread.unwrap_or_default());
            return Ok(foreign);
        };
        params = params.continue_token(&token);
    }
}
