//! The foreign `NetworkPolicies`, which neither the operator nor the platform manages, by namespace. Makes no request.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::desired::isolation::{Foreign, MAX_KEPT_NAMES};

/// The name of a policy, and its key in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyKey<'a> {
    pub name: &'a str,
    /// The key, see [`super::store::Store::key`].
    pub key: u64,
}

/// The number of policies of one namespace that are kept by key, in addition to those that are kept by name.
const MAX_KEPT_KEYS: usize = 1_000;

/// The foreign policies, by namespace. A developer can create any number of them, so only some are kept by name, and
/// some by key.
#[derive(Debug, Default)]
pub(crate) struct ForeignPolicies(HashMap<String, Known>);

/// The foreign policies of one namespace.
#[derive(Debug, Default)]
struct Known {
    named: BTreeSet<Box<str>>,
    /// The keys of some of the others.
    others: HashSet<u64>,
    /// True if there may be further policies: one was found while no key could be added.
    has_more: bool,
}

impl Known {
    /// The number of the policies that are not kept by name. All those that are not kept by key count as one.
    fn others(&self) -> usize {
        self.others.len() + usize::from(self.has_more)
    }

    fn number(&self) -> usize {
        self.named.len() + self.others()
    }
}

impl ForeignPolicies {
    /// The policies in that namespace.
    pub(crate) fn of(&self, namespace: &str) -> Foreign {
        let Some(known) = self.0.get(namespace) else { return Foreign::default() };
        Foreign { named: known.named.iter().map(ToString::to_string).collect(), others: known.others() }
    }

    /// Records the policy of that name and key. Returns true if it was unknown, and if it is the first one that cannot
    /// be kept.
    pub(crate) fn add(&mut self, namespace: &str, policy: PolicyKey<'_>) -> bool {
        let PolicyKey { name, key } = policy;
        let known = self.0.entry(namespace.to_owned()).or_default();
        if known.named.contains(name) {
            return false;
        }
        let was_counted = known.others.remove(&key);
        if known.named.len() < MAX_KEPT_NAMES {
            known.named.insert(name.into());
        } else if known.others.len() < MAX_KEPT_KEYS {
            known.others.insert(key);
        } else {
            return !std::mem::replace(&mut known.has_more, true);
        }
        !was_counted
    }

    /// Forgets a policy. Returns true if it was known.
    pub(crate) fn remove(&mut self, namespace: &str, policy: PolicyKey<'_>) -> bool {
        let PolicyKey { name, key } = policy;
        let Some(known) = self.0.get_mut(namespace) else { return false };
        let was_known = known.named.remove(name) || known.others.remove(&key);
        if known.number() == 0 {
            self.0.remove(namespace);
        }
        was_known
    }

    /// After a list: keeps the policies that were in it, by namespace and name or by key. Returns the namespaces of the
    /// others. If the list may have contained a policy that could not be kept, the next list shows whether there still
    /// is one.
    pub(crate) fn retain(
        &mut self,
        is_listed: impl Fn(&str, &str) -> bool,
        is_key_listed: impl Fn(u64) -> bool,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        self.0.retain(|namespace, known| {
            let before = known.number();
            known.has_more &= known.others.len() >= MAX_KEPT_KEYS;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_policies_are_kept_by_name_and_the_others_are_counted() {
        let mut policies = ForeignPolicies::default();
        let names: Vec<String> = (0..100).map(|number| format!("open-{number:02}")).collect();
        let policy = |number: usize| PolicyKey { name: &names[number], key: u64::try_from(number).unwrap() };
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

    #[test]
    fn a_bounded_number_of_policies_is_kept_and_the_others_are_not_forgotten() {
        let mut policies = ForeignPolicies::default();
        let names: Vec<String> = (0..5_000).map(|number| format!("open-{number:04}")).collect();
        let policy = |number: usize| PolicyKey { name: &names[number], key: u64::try_from(number).unwrap() };
        let kept = MAX_KEPT_NAMES + MAX_KEPT_KEYS;
        assert_eq!((0..5_000).filter(|number| policies.add("orchid-lab", policy(*number))).count(), kept + 1);
        assert_eq!(
            (policies.of("orchid-lab").others, policies.0["orchid-lab"].others.len()),
            (MAX_KEPT_KEYS + 1, MAX_KEPT_KEYS)
        );
        assert!((0..kept).all(|number| policies.remove("orchid-lab", policy(number))));
        assert_eq!(policies.of("orchid-lab"), Foreign { named: vec![], others: 1 }, "there are others");

        // A list after a watch that has missed all changes: the kept policies were deleted, and one that is not kept
        // remains.
        assert!((0..kept).all(|number| policies.add("orchid-lab", policy(number))));
        let listed = |policies: &mut ForeignPolicies| {
            policies.add("orchid-lab", policy(4_999));
            policies.retain(|_, name| name == "open-4999", |key| key == 4_999)
        };
        assert_eq!(listed(&mut policies), ["orchid-lab"]);
        assert_eq!(policies.of("orchid-lab"), Foreign { named: vec![], others: 1 });
        assert_eq!(listed(&mut policies), ["orchid-lab"]);
        assert_eq!(policies.of("orchid-lab"), Foreign { named: vec!["open-4999".to_owned()], others: 0 });
        assert_eq!(listed(&mut policies), [""; 0]);
    }
}
