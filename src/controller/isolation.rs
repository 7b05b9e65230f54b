//! Checks the foreign `NetworkPolicies` of a namespace, which neither the operator nor the platform manages, before its
//! space is admitted to a class that enforces isolation, and restores the operator's own. Only then a list is requested
//! from the API server.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, ResourceExt, api::ListParams};

use super::{children::restore, context::Context, io::Io};
use crate::{
    api::excerpt::Excerpt,
    desired::{
        Child, SpecRefusal,
        isolation::{Foreign, OwnPolicy, PolicyOwner, not_admitted, policy_owner},
    },
    runtime::error::Error,
};

/// The page size of that list.
const PAGE_SIZE: u32 = 25;

/// The most foreign policies that are read: the others are counted by the API server.
const MAX_LISTED_POLICIES: usize = 500;

/// Admits the space of that namespace to a class that enforces isolation, or returns the refusal.
///
/// The namespace must be marked first, see [`super::namespace::mark_enforced`]: from then on admission allows no other
/// client to create a policy in it, so that a later list of the API server is complete. The watch may be behind, so its
/// state counts only if it contains a policy.
///
/// A policy of the operator's name with other rules is restored first, since a repair that fails after the admission
/// would leave the namespace open.
pub async fn admits(
    ctx: &Context,
    namespace: &str,
    class_name: &str,
    own: &OwnPolicy,
) -> Result<Option<SpecRefusal>, Error> {
    if let Some(refusal) = not_admitted(class_name, namespace, &ctx.io.store.foreign_policies(namespace)) {
        return Ok(Some(refusal));
    }
    let Listed { foreign, altered } = list(&ctx.io, namespace, own).await?;
    let refusal = not_admitted(class_name, namespace, &foreign);
    if let Some(altered) = altered.filter(|_| refusal.is_none()) {
        let wanted = own.before.clone().map(Child::Network);
        restore(ctx, namespace, &Child::Network(altered), wanted.as_ref()).await?;
    }
    Ok(refusal)
}

/// The policies in one namespace that can allow more traffic than its class.
struct Listed {
    foreign: Foreign,
    /// The policy of the operator's name, if it is altered.
    altered: Option<NetworkPolicy>,
}

/// Lists the policies in one namespace. After the first [`MAX_LISTED_POLICIES`] foreign ones, the API server counts the
/// rest.
async fn list(io: &Io, namespace: &str, own: &OwnPolicy) -> Result<Listed, Error> {
    let api: Api<Excerpt<NetworkPolicy>> = Api::namespaced(io.client.clone(), namespace);
    let (mut foreign, mut altered, mut params) = (Foreign::default(), None, ListParams::default().limit(PAGE_SIZE));
    loop {
        let page = api.list(&params).await.map_err(Error::api(format!("list the NetworkPolicies in {namespace}")))?;
        for Excerpt(policy) in page.items {
            if policy_owner(&policy.metadata) == PolicyOwner::Foreign {
                foreign.add(policy.name_any());
            } else if own.is_altered(&policy) {
                altered = Some(policy);
            }
        }
        let Some(token) =
            page.metadata.continue_.filter(|token| !token.is_empty() && foreign.number() < MAX_LISTED_POLICIES)
        else {
            let unread = page.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok());
            foreign.others = foreign.others.saturating_add(unread.unwrap_or_default());
            return Ok(Listed { foreign, altered });
        };
        params = params.continue_token(&token);
    }
}
