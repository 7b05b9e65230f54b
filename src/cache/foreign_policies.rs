//! The foreign `NetworkPolicies`, which neither the operator nor the platform manages, by namespace. Makes no request.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::desired::isolation::{Foreign, MAX_KEPT_NAMES};

/// The name of a policy, and its key in the store.
#[derive(Clone, Copy, Debug)]
pub struct PolicyKey<'a> {
    /// The name.
    pub name: &'a str,
    /// The key, see [`super::store::Store::key`].
    pub key: u64,
}

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
    pub fn add(&mut self, namespace: &str, policy: PolicyKey<'_>) -> bool {
        let PolicyKey { name, key } = policy;
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
    pub fn remove(&mut self, namespace: &str, policy: PolicyKey<'_>) -> bool {
        let PolicyKey { name, key } = policy;
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
}
