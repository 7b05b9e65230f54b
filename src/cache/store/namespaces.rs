//! The cache of the namespaces, and of the foreign `NetworkPolicies` in them. Makes no request.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;

use super::state::Store;
use crate::{
    cache::foreign_policies::PolicyKey,
    desired::{Uid, isolation::Foreign, namespace::SeenNamespace},
};

impl Store {
    /// The namespace of that name.
    pub fn namespace(&self, name: &str) -> Option<SeenNamespace> {
        self.read().namespaces.get(name).cloned()
    }

    /// The namespaces for which `is_meant` returns true, with their names.
    pub(crate) fn namespaces_where(
        &self,
        is_meant: impl Fn(&str, &SeenNamespace) -> bool,
    ) -> Vec<(String, SeenNamespace)> {
        let inner = self.read();
        let meant = inner.namespaces.iter().filter(|(name, seen)| is_meant(name, seen));
        meant.map(|(name, seen)| (name.clone(), seen.clone())).collect()
    }

    /// Keeps the needed part of a namespace. Returns true if it differs from the part that was kept.
    pub fn put_namespace(&self, namespace: &Namespace) -> bool {
        self.put_seen_namespace(namespace.name_any(), SeenNamespace::from_namespace(namespace))
    }

    /// Does the same for a namespace that is already reduced.
    pub(crate) fn put_seen_namespace(&self, name: String, seen: SeenNamespace) -> bool {
        let mut inner = self.write();
        if inner.tombstones.has(&seen.uid) {
            return false;
        }
        match inner.namespaces.get(&name) {
            Some(kept) if kept.version > seen.version => false,
            Some(kept) => {
                let changed = SeenNamespace { version: seen.version, ..kept.clone() } != seen;
                inner.namespaces.insert(name, seen);
                changed
            }
            None => {
                inner.namespaces.insert(name, seen);
                true
            }
        }
    }

    /// Records that the namespace of that name and UID is deleted. Deleted children are not recorded: their watch
    /// selects by label, so that a child that loses its label looks deleted.
    pub fn mark_namespace_deleted(&self, name: &str, uid: &Uid) {
        let mut inner = self.write();
        inner.tombstones.add(uid);
        inner.settled.forget(name);
        if inner.namespaces.get(name).is_some_and(|kept| kept.uid == *uid) {
            inner.namespaces.remove(name);
        }
    }

    /// Returns true if the namespace of that UID is known to be deleted.
    pub(crate) fn is_namespace_deleted(&self, uid: &Uid) -> bool {
        self.read().tombstones.has(uid)
    }

    /// After a list: forgets the namespaces that were not in it. Returns their names.
    pub(crate) fn retain_namespaces(&self, listed: &HashSet<String>) -> Vec<String> {
        let mut inner = self.write();
        let gone: Vec<String> = inner.namespaces.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in &gone {
            inner.namespaces.remove(name);
        }
        gone
    }

    /// The foreign `NetworkPolicies` in a namespace.
    pub(crate) fn foreign_policies(&self, namespace: &str) -> Foreign {
        self.read().policies.of(namespace)
    }

    /// Records whether that policy, which the operator does not manage, counts as foreign. Returns true if that differs
    /// from the recorded state.
    pub fn put_policy(&self, namespace: &str, name: &str, is_foreign: bool) -> bool {
        let policy = PolicyKey { name, key: self.key(namespace, name) };
        let policies = &mut self.write().policies;
        if is_foreign { policies.add(namespace, policy) } else { policies.remove(namespace, policy) }
    }

    /// After a list: forgets the foreign policies whose keys are not among those `listed`. Returns their namespaces.
    pub(crate) fn retain_policies(&self, listed: &HashSet<u64>) -> Vec<String> {
        self.write()
            .policies
            .retain(|namespace, name| listed.contains(&self.key(namespace, name)), |key| listed.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_was_on_its_way_brings_no_namespace_back() {
        let store = Store::default();
        let namespace = |uid: &str| -> Namespace {
            serde_json::from_value(json!({"metadata": {"name": "orchid-lab", "uid": uid, "resourceVersion": "7"}}))
                .unwrap()
        };
        assert!(store.put_namespace(&namespace("first")));
        store.mark_namespace_deleted("orchid-lab", &"first".into());
        assert!(!store.put_namespace(&namespace("first")));
        assert_eq!(store.namespace("orchid-lab"), None);
        assert!(store.put_namespace(&namespace("second")));
    }
}
