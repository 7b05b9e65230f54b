//! The store, its lock, and the sources that have to be listed before any decision.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::{child_table::ChildTable, class_table::ClassTable};
use crate::{
    cache::{foreign_policies::ForeignPolicies, reserved_names::Reserved, settled::Settled, tombstones::Tombstones},
    desired::{ChildKind, namespace::SeenNamespace},
    lock::IgnorePoison,
};

/// A source that has to be listed before any decision: an object is known to be missing only after every list is
/// complete.
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

/// The cached objects, behind the lock of the store.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) classes: ClassTable,
    pub(super) namespaces: HashMap<String, SeenNamespace>,
    pub(super) children: ChildTable,
    pub(super) settled: Settled,
    pub(super) policies: ForeignPolicies,
    pub(super) tombstones: Tombstones,
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

    /// The key of the object of that name in a namespace. It is kept instead of both names where there may be very many
    /// objects.
    pub fn key(&self, namespace: &str, name: &str) -> u64 {
        self.keys.hash_one((namespace, name))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().ignore_poison()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().ignore_poison()
    }
}
