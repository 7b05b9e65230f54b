//! The cache of the cluster: classes completely, all other objects reduced. The spaces are in kube's reflector. Decisions read the cache; only those
//! that need the live state, such as a deletion, also read the API server.
//!
//! The cache is filled by `watch.rs` and by the responses to the operator's own writes, so that a reconcile sees the writes of the previous one.

mod children;
mod classes;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use tokio::sync::watch;

use self::{children::Children, classes::Classes};
use super::{reserved_names::Reserved, settled::Settled, tombstones::Tombstones};
use crate::{
    controller::isolation::ForeignPolicies,
    desired::{ChildKind, Uid, isolation::Foreign, namespace::SeenNamespace},
};

/// A source that has to be listed before any decision: an object is known to be missing only after every list is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `SpaceClass`es.
    Classes,
    /// Namespaces.
    Namespaces,
    /// Children of one kind.
    Children(ChildKind),
    /// `DeveloperSpace`s.
    Spaces,
    /// The register of the owner limit, which follows from the other sources.
    OwnerLimit,
}

/// All sources.
pub const SOURCES: [Source; 8] = [
    Source::Classes,
    Source::Namespaces,
    Source::Children(ChildKind::Quota),
    Source::Children(ChildKind::Limits),
    Source::Children(ChildKind::Network),
    Source::Children(ChildKind::Binding),
    Source::Spaces,
    Source::OwnerLimit,
];

/// The store.
#[derive(Debug)]
pub struct Store {
    /// Names that are reserved although no namespace has them.
    pub reserved: Reserved,
    inner: RwLock<Inner>,
    listed: watch::Sender<HashSet<Source>>,
    /// Random in each process, so that no user can choose two names with the same key.
    keys: RandomState,
}

#[derive(Debug, Default)]
struct Inner {
    classes: Classes,
    namespaces: HashMap<String, SeenNamespace>,
    children: Children,
    settled: Settled,
    policies: ForeignPolicies,
    graves: Tombstones,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            reserved: Reserved::default(),
            inner: RwLock::default(),
            listed: watch::Sender::new(HashSet::new()),
            keys: RandomState::new(),
        }
    }
}

impl Store {
    /// Waits until every source was listed once.
    pub async fn ready(&self) {
        self.listed(&SOURCES.into()).await;
    }

    /// Waits until each of `sources` was listed once.
    pub async fn listed(&self, sources: &HashSet<Source>) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = listed.wait_for(|listed| listed.is_superset(sources)).await;
    }

    /// Returns true if every source was listed once.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }

    /// The sources that were not listed yet.
    pub fn missing(&self) -> Vec<Source> {
        let listed = self.listed.borrow();
        SOURCES.into_iter().filter(|source| !listed.contains(source)).collect()
    }

    /// Records that a source was listed.
    pub fn set_listed(&self, source: Source) {
        self.listed.send_if_modified(|listed| listed.insert(source));
    }

    /// The namespace of that name.
    pub fn namespace(&self, name: &str) -> Option<SeenNamespace> {
        self.read().namespaces.get(name).cloned()
    }

    /// The namespaces for which `is_meant` returns true, with their names.
    pub fn namespaces_where(&self, is_meant: impl Fn(&str, &SeenNamespace) -> bool) -> Vec<(String, SeenNamespace)> {
        let inner = self.read();
        let meant = inner.namespaces.iter().filter(|(name, seen)| is_meant(name, seen));
        meant.map(|(name, seen)| (name.clone(), seen.clone())).collect()
    }

    /// Keeps the needed part of a namespace. Returns true if it differs from the part that was kept.
    pub fn put_namespace(&self, namespace: &Namespace) -> bool {
        self.put_seen_namespace(namespace.name_any(), SeenNamespace::from_namespace(namespace))
    }

    /// Does the same for a namespace that is already reduced.
    pub fn put_seen_namespace(&self, name: String, seen: SeenNamespace) -> bool {
        let mut inner = self.write();
        if inner.graves.has(&seen.uid) {
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

    /// Records that the namespace of that name and UID is deleted. Deleted children are not recorded: their watch selects by label, so that a child
    /// that loses its label looks deleted.
    pub fn mark_namespace_deleted(&self, name: &str, uid: &Uid) {
        let mut inner = self.write();
        inner.graves.add(uid);
        inner.settled.forget(name);
        if inner.namespaces.get(name).is_some_and(|kept| kept.uid == *uid) {
            inner.namespaces.remove(name);
        }
    }

    /// Returns true if the namespace of that UID is known to be deleted.
    pub fn is_buried(&self, uid: &Uid) -> bool {
        self.read().graves.has(uid)
    }

    /// After a list: forgets the namespaces that were not in it. Returns their names.
    pub fn retain_namespaces(&self, listed: &HashSet<String>) -> Vec<String> {
        let mut inner = self.write();
        let gone: Vec<String> = inner.namespaces.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in &gone {
            inner.namespaces.remove(name);
        }
        gone
    }

    /// The key of the object of that name in a namespace. It is kept instead of both names where there may be very many objects.
    pub fn key(&self, namespace: &str, name: &str) -> u64 {
        self.keys.hash_one((namespace, name))
    }

    /// The foreign `NetworkPolicies` in a namespace.
    pub fn foreign_policies(&self, namespace: &str) -> Foreign {
        self.read().policies.of(namespace)
    }

    /// Records whether that policy, which the operator does not manage, counts as foreign. Returns true if that differs from the recorded state.
    pub fn put_policy(&self, namespace: &str, name: &str, is_foreign: bool) -> bool {
        let policy = (name, self.key(namespace, name));
        let policies = &mut self.write().policies;
        if is_foreign { policies.add(namespace, policy) } else { policies.remove(namespace, policy) }
    }

    /// After a list: forgets the foreign policies whose keys are not among those `listed`. Returns their namespaces.
    pub fn retain_policies(&self, listed: &HashSet<u64>) -> Vec<String> {
        self.write().policies.retain(|namespace, name| listed.contains(&self.key(namespace, name)), |key| listed.contains(&key))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
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
            serde_json::from_value(json!({"metadata": {"name": "orchid-lab", "uid": uid, "resourceVersion": "7"}})).unwrap()
        };
        assert!(store.put_namespace(&namespace("first")));
        store.mark_namespace_deleted("orchid-lab", &"first".into());
        assert!(!store.put_namespace(&namespace("first")));
        assert_eq!(store.namespace("orchid-lab"), None);
        assert!(store.put_namespace(&namespace("second")));
    }
}
