//! The cache of the cluster: classes completely, all other objects reduced. The spaces are in kube's reflector. Decisions read the cache; only those
//! that need the live state, such as a deletion, also read the API server.
//!
//! The cache is filled by `watch.rs` and by the responses to the operator's own writes, so that a reconcile sees the writes of the previous one.

mod classes;

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use tokio::sync::watch;

use self::classes::Classes;
use super::{graves::Graves, isolation::ForeignPolicies, reserved::Reserved, settled::Settled};
use crate::desired::{Child, ChildKind, SeenChild, Uid, children::hash, namespace::SeenNamespace};

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
    Admissions,
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
    Source::Admissions,
];

/// The store.
#[derive(Debug)]
pub struct Store {
    /// Names that are reserved although no namespace has them.
    pub reserved: Reserved,
    inner: RwLock<Inner>,
    listed: watch::Sender<HashSet<Source>>,
}

#[derive(Debug, Default)]
struct Inner {
    classes: Classes,
    namespaces: HashMap<String, SeenNamespace>,
    children: HashMap<String, Vec<SeenChild>>,
    settled: Settled,
    policies: ForeignPolicies,
    graves: Graves,
}

impl Default for Store {
    fn default() -> Self {
        Self { reserved: Reserved::default(), inner: RwLock::default(), listed: watch::Sender::new(HashSet::new()) }
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
        self.put_seen_namespace(namespace.name_any(), SeenNamespace::of(namespace))
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
    pub fn bury_namespace(&self, name: &str, uid: &Uid) {
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

    /// The children in a namespace.
    pub fn children(&self, namespace: &str) -> Vec<SeenChild> {
        self.read().children.get(namespace).cloned().unwrap_or_default()
    }

    /// Keeps the needed part of a child. Returns true if it differs from the part that was kept.
    pub fn put_child(&self, namespace: &str, seen: SeenChild) -> bool {
        let mut inner = self.write();
        let children = inner.children.entry(namespace.to_owned()).or_default();
        match children.iter_mut().find(|kept| kept.kind == seen.kind && kept.name == seen.name) {
            Some(kept) if kept.version > seen.version => false,
            Some(kept) => {
                let changed = SeenChild { version: seen.version, ..kept.clone() } != seen;
                *kept = seen;
                changed
            }
            None => {
                // Each of thousands of namespaces has few children: spare capacity would be most of their memory.
                children.reserve_exact(1);
                children.push(seen);
                true
            }
        }
    }

    /// Forgets the child of that kind, name and UID. Returns true if it was known.
    pub fn remove_child(&self, namespace: &str, kind: ChildKind, name: &str, uid: &Uid) -> bool {
        self.retain_in(namespace, |kept| !(kept.kind == kind && &*kept.name == name && kept.uid == *uid))
    }

    /// After a list: forgets the children of that kind that were not in it. Returns their namespaces.
    pub fn retain_children(&self, kind: ChildKind, listed: &HashSet<(String, String)>) -> Vec<String> {
        let namespaces: Vec<String> = self.read().children.keys().cloned().collect();
        let is_listed =
            |namespace: &String, kept: &SeenChild| kept.kind != kind || listed.contains(&(namespace.clone(), kept.name.to_string()));
        namespaces.into_iter().filter(|namespace| self.retain_in(namespace, |kept| is_listed(namespace, kept))).collect()
    }

    fn retain_in(&self, namespace: &str, keep: impl Fn(&SeenChild) -> bool) -> bool {
        let mut inner = self.write();
        let Some(children) = inner.children.get_mut(namespace) else {
            return false;
        };
        let before = children.len();
        children.retain(keep);
        let changed = children.len() != before;
        if children.is_empty() {
            inner.children.remove(namespace);
        }
        if changed {
            inner.settled.forget(namespace);
        }
        changed
    }

    /// Records that the existing object with the name of `child` does not exceed `child`.
    pub fn settle(&self, namespace: &str, child: &Child) {
        let mut inner = self.write();
        let compared = inner.compared(namespace, child);
        inner.settled.add(namespace, (child.kind(), child.name()), compared);
    }

    /// Returns true if that was recorded for the same object and the same `child`.
    pub fn is_settled(&self, namespace: &str, child: &Child) -> bool {
        let inner = self.read();
        inner.settled.has(namespace, (child.kind(), child.name()), inner.compared(namespace, child))
    }

    /// The foreign `NetworkPolicies` in a namespace, in alphabetical order.
    pub fn foreign_policies(&self, namespace: &str) -> Vec<String> {
        self.read().policies.of(namespace)
    }

    /// Records whether that policy, which the operator does not manage, counts as foreign. Returns true if that differs from the recorded state.
    pub fn put_policy(&self, namespace: &str, name: &str, is_foreign: bool) -> bool {
        let policies = &mut self.write().policies;
        if is_foreign { policies.add(namespace, name) } else { policies.remove(namespace, name) }
    }

    /// After a list: forgets the foreign policies that were not in it. Returns their namespaces.
    pub fn retain_policies(&self, listed: &HashSet<(String, String)>) -> Vec<String> {
        self.write().policies.retain(listed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn compared(&self, namespace: &str, child: &Child) -> (Option<u64>, u64) {
        let children = self.children.get(namespace).map(Vec::as_slice).unwrap_or_default();
        let existing = children.iter().find(|kept| kept.kind == child.kind() && &*kept.name == child.name());
        (existing.map(|kept| hash(&(&kept.uid, kept.fingerprint.content))), child.fingerprint().content)
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
        store.bury_namespace("orchid-lab", &"first".into());
        assert!(!store.put_namespace(&namespace("first")));
        assert_eq!(store.namespace("orchid-lab"), None);
        assert!(store.put_namespace(&namespace("second")));
    }
}
