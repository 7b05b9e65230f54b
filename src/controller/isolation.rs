//! Foreign `NetworkPolicies`, which neither the operator nor the platform manages. The watch records the namespaces that have some. A list is
//! requested from the API server only before a space is admitted to a class that enforces isolation.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, ResourceExt, api::ListParams};

use super::context::Context;
use crate::{
    api::{names, without_managed_fields::WithoutManagedFields},
    desired::{
        SpecRefusal,
        isolation::{Foreign, MAX_KEPT_NAMES, PolicyOwner, not_admitted, policy_owner},
    },
    runtime::error::Error,
};

/// The page size of that list. A developer can make each policy as large as an object may be.
const PAGE: u32 = 25;

/// The most foreign policies that are read: the others are counted by the API server.
const MOST: usize = 500;

/// The foreign policies, by namespace. A developer can create any number of them, so only some are kept by name.
#[derive(Debug, Default)]
pub struct ForeignPolicies(HashMap<String, Known>);

/// The foreign policies of one namespace.
#[derive(Debug, Default)]
struct Known {
    named: BTreeSet<Box<str>>,
    /// The keys of the others.
    others: HashSet<u64>,
}

impl Known {
    fn number(&self) -> usize {
        self.named.len() + self.others.len()
    }
}

impl ForeignPolicies {
    /// The policies in that namespace.
    pub fn of(&self, namespace: &str) -> Foreign {
        let Some(known) = self.0.get(namespace) else { return Foreign::default() };
        Foreign { named: known.named.iter().map(ToString::to_string).collect(), others: known.others.len() }
    }

    /// Records the policy of that name and key. Returns true if it was unknown.
    pub fn add(&mut self, namespace: &str, (name, key): (&str, u64)) -> bool {
        let known = self.0.entry(namespace.to_owned()).or_default();
        if known.named.contains(name) {
            return false;
        }
        let was_counted = known.others.remove(&key);
        if known.named.len() < MAX_KEPT_NAMES {
            known.named.insert(name.into());
        } else {
            known.others.insert(key);
        }
        !was_counted
    }

    /// Forgets a policy. Returns true if it was known.
    pub fn remove(&mut self, namespace: &str, (name, key): (&str, u64)) -> bool {
        let Some(known) = self.0.get_mut(namespace) else { return false };
        let was_known = known.named.remove(name) || known.others.remove(&key);
        if known.number() == 0 {
            self.0.remove(namespace);
        }
        was_known
    }

    /// After a list: keeps the policies that were in it, by namespace and name or by key. Returns the namespaces of the others.
    pub fn retain(&mut self, is_listed: impl Fn(&str, &str) -> bool, is_key_listed: impl Fn(u64) -> bool) -> Vec<String> {
        let mut changed = Vec::new();
        self.0.retain(|namespace, known| {
            let before = known.number();
            known.named.retain(|name| is_listed(namespace, name));
            known.others.retain(|key| is_key_listed(*key));
            if known.number() != before {
                changed.push(namespace.clone());
            }
            known.number() > 0
        });
        changed
    }
}

/// Admits the space of that namespace to a class that enforces isolation, or returns the refusal.
///
/// The namespace must be marked first ([`names::LABEL_NETWORK_ENFORCED`]): from then on admission allows no other client to create a policy in it,
/// so that a later list of the API server is complete. The watch may be behind, so its state counts only if it contains a policy.
pub async fn admits(ctx: &Context, namespace: &str, class_name: &str) -> Result<Option<SpecRefusal>, Error> {
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

/// Lists the foreign policies in one namespace. After the first [`MOST`], the API server counts the rest.
async fn list(ctx: &Context, namespace: &str) -> Result<Foreign, Error> {
    let api: Api<WithoutManagedFields<NetworkPolicy>> = Api::namespaced(ctx.client.clone(), namespace);
    let (mut foreign, mut params) = (Foreign::default(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list(&params).await.map_err(Error::api(format!("list the NetworkPolicies in {namespace}")))?;
        let is_foreign = |listed: &&WithoutManagedFields<NetworkPolicy>| policy_owner(&listed.metadata) == PolicyOwner::Foreign;
        page.items.iter().filter(is_foreign).for_each(|listed| foreign.add(listed.name_any()));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty() && foreign.number() < MOST) else {
            let unread = page.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok());
            foreign.others = foreign.others.saturating_add(unread.unwrap_or_default());
            return Ok(foreign);
        };
        params = params.continue_token(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_policies_are_kept_by_name_and_the_others_are_counted() {
        let mut policies = ForeignPolicies::default();
        let names: Vec<String> = (0..100).map(|number| format!("open-{number:02}")).collect();
        let policy = |number: usize| (names[number].as_str(), u64::try_from(number).unwrap());
        assert!((0..100).all(|number| policies.add("orchid-lab", policy(number))));
        assert!(!(0..100).any(|number| policies.add("orchid-lab", policy(number))), "all are known");
        assert_eq!(policies.of("orchid-lab"), Foreign { named: names[..20].to_vec(), others: 80 });
        assert_eq!(policies.of("fern-lab"), Foreign::default());
        assert!(policies.remove("orchid-lab", policy(3)) && policies.remove("orchid-lab", policy(50)));
        assert!(!policies.remove("orchid-lab", policy(3)) && !policies.remove("orchid-lab", policy(50)));
        assert_eq!(policies.of("orchid-lab").others, 79);
        assert!(!policies.add("orchid-lab", policy(60)), "one that was counted is named in a free place");
        let expected = [&names[..3], &names[4..20], &names[60..61]].concat();
        assert_eq!(policies.of("orchid-lab"), Foreign { named: expected, others: 78 });
        let all = policies.retain(|_, _| true, |_| true);
        assert_eq!(all, [""; 0]);
        assert_eq!(policies.retain(|_, name| name == "open-60", |key| key == 99), ["orchid-lab"]);
        assert_eq!(policies.of("orchid-lab"), Foreign { named: vec!["open-60".to_owned()], others: 1 });
        assert!(policies.remove("orchid-lab", policy(60)) && policies.remove("orchid-lab", policy(99)));
        assert!(policies.0.is_empty());
    }
}
