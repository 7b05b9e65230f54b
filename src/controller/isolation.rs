//! Foreign `NetworkPolicies`, which neither the operator nor the platform manages. The watch records the namespaces that have some. A list is
//! requested from the API server only before a space is admitted to a class that enforces isolation.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, ResourceExt, api::ListParams};

use super::{context::Context, error::Error};
use crate::{
    api::{names, unmanaged::Unmanaged},
    desired::{
        Refusal,
        isolation::{Policy, not_admitted, policy},
    },
};

/// The page size of that list. A developer can make each policy as large as an object may be.
const PAGE: u32 = 25;

/// The names of foreign policies, by namespace.
#[derive(Debug, Default)]
pub struct ForeignPolicies(HashMap<String, BTreeSet<Box<str>>>);

impl ForeignPolicies {
    /// The policies in that namespace, in alphabetical order.
    pub fn of(&self, namespace: &str) -> Vec<String> {
        self.0.get(namespace).into_iter().flatten().map(ToString::to_string).collect()
    }

    /// Records a policy. Returns true if it was unknown.
    pub fn add(&mut self, namespace: &str, name: &str) -> bool {
        match self.0.get_mut(namespace) {
            Some(known) => known.insert(name.into()),
            None => self.0.insert(namespace.to_owned(), [name.into()].into()).is_none(),
        }
    }

    /// Forgets a policy. Returns true if it was known.
    pub fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(known) = self.0.get_mut(namespace) else { return false };
        let was_known = known.remove(name);
        if known.is_empty() {
            self.0.remove(namespace);
        }
        was_known
    }

    /// After a list: forgets the policies that were not in it. Returns their namespaces.
    pub fn retain(&mut self, listed: &HashSet<(String, String)>) -> Vec<String> {
        let mut changed = Vec::new();
        self.0.retain(|namespace, known| {
            let before = known.len();
            known.retain(|name| listed.contains(&(namespace.clone(), name.to_string())));
            if known.len() != before {
                changed.push(namespace.clone());
            }
            !known.is_empty()
        });
        changed
    }
}

/// Admits the space of that namespace to a class that enforces isolation, or returns the refusal.
///
/// The namespace must be marked first ([`names::LABEL_NETWORK_ENFORCED`]): from then on admission allows no other client to create a policy in it,
/// so that a later list of the API server is complete. The watch may be behind, so its state counts only if it contains a policy.
pub async fn admits(ctx: &Context, namespace: &str, class_name: &str) -> Result<Option<Refusal>, Error> {
    if let Some(refusal) = not_admitted(class_name, namespace, &ctx.store.foreign_policies(namespace)) {
        return Ok(Some(refusal));
    }
    let foreign = list(ctx, namespace).await?;
    Ok(not_admitted(class_name, namespace, &foreign))
}

/// Returns true if the namespace is known to have the mark.
pub fn is_marked(ctx: &Context, namespace: &str) -> bool {
    ctx.store.namespace(namespace).is_some_and(|seen| seen.metadata.has_label(names::LABEL_NETWORK_ENFORCED, "true"))
}

/// Lists the foreign policies in one namespace.
async fn list(ctx: &Context, namespace: &str) -> Result<Vec<String>, Error> {
    let api: Api<Unmanaged<NetworkPolicy>> = Api::namespaced(ctx.client.clone(), namespace);
    let (mut foreign, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list(&params).await.map_err(Error::api(format!("list the NetworkPolicies in {namespace}")))?;
        let is_foreign = |listed: &&Unmanaged<NetworkPolicy>| policy(&listed.metadata) == Policy::Foreign;
        foreign.extend(page.items.iter().filter(is_foreign).map(ResourceExt::name_any));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(foreign),
        }
    }
}
