//! The register of the limit of spaces per owner and class. The decision is taken under one lock, so that spaces
//! created concurrently cannot exceed the limit, see `docs/adr/0002-owner-limit-by-serial-admission.md`.
//!
//! A space holds its place under the owner limit until its status records another place, or until its namespace no
//! longer exists.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use crate::{
    api::{DeveloperSpace, Subject},
    desired::{
        Uid,
        lifetime::inputs::{created, is_sealed},
        namespace::SeenNamespace,
        owner_limit::{Claim, rank},
        waiting_limit::{Beyond, WaitingQueue, was_never_admitted},
    },
    lock::IgnorePoison,
};

/// Owner and class.
type Key = (String, String);

/// A namespace that was released and still counts for its last owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The owner in force at its release, as in the annotation `developerspace.dev/owner`.
    pub owner: String,
    /// The class in force at its release.
    pub class: String,
    /// Name of the space that it was released from.
    pub from: String,
}

impl Released {
    /// Reads the owner and the class for which a released namespace counts. Returns `None` for other namespaces.
    pub(crate) fn from_namespace(seen: &SeenNamespace) -> Option<Self> {
        let released = seen.released.as_deref().filter(|released| !released.owner.is_empty())?;
        Some(Self {
            owner: released.owner.to_string(),
            class: released.class.to_string(),
            from: released.space.to_string(),
        })
    }
}

/// The result of [`OwnerLimit::admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// True if the space has a place under the owner limit.
    pub is_admitted: bool,
    /// The names of the spaces that wait for a place that this space released.
    pub freed: Vec<String>,
}

/// The register of all owners and classes.
#[derive(Debug, Default)]
pub struct OwnerLimit {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    usages: HashMap<Arc<Key>, Usage>,
    /// The owner and class under which each space has its place.
    held: HashMap<Uid, Arc<Key>>,
    /// The owner and class that the status of a space still records after it was admitted to another place.
    left: HashMap<Uid, Arc<Key>>,
    /// The owner and class under which each space waits for a place.
    awaited: HashMap<Uid, Arc<Key>>,
    /// The spaces of each owner that wait under any class and were never admitted.
    lines: HashMap<String, WaitingQueue>,
    /// The owner and class for which each released namespace counts.
    released: HashMap<String, Arc<Key>>,
}

/// The places of one owner under one class.
#[derive(Debug, Default)]
struct Usage {
    held: HashSet<Uid>,
    waiting: HashMap<Uid, Claim>,
    /// Released namespaces, and the name of the space that each was released from.
    released: HashMap<String, String>,
    /// The limit at the last admission.
    limit: Option<i32>,
}

impl Usage {
    /// Returns true if there is a place for `claim`, in addition to the places that are held and those for waiting
    /// spaces that rank before it. A released namespace does not count against the space of the same name, which is the
    /// one that it was released from. That space also does not wait for spaces that rank before it: its namespace
    /// already takes a place, and they may wait for that same place.
    fn has_room(&self, claim: &Claim) -> bool {
        let Some(limit) = self.limit.map(|limit| usize::try_from(limit).unwrap_or_default()) else { return true };
        let others = self.released.values().filter(|from| **from != *claim.name).count();
        let taken = self.held.len() + others;
        let before = || self.waiting.values().filter(|other| rank(other) < rank(claim)).take(limit).count();
        taken < limit && (others < self.released.len() || taken + before() < limit)
    }

    /// The name of the space that gets the next place, if there is one.
    fn next(&self) -> Option<String> {
        let first = self.waiting.values().min_by(|a, b| rank(a).cmp(&rank(b)))?;
        self.has_room(first).then(|| first.name.to_string())
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty() && self.released.is_empty()
    }
}

impl OwnerLimit {
    /// Admits `space` for `owner` under `class_name`, whose limit is `limit`, if there is a place. Otherwise the space
    /// waits, and keeps the place that it has. After an admission the previous place stays held until
    /// [`Self::release_previous`].
    pub fn admit(&self, space: &DeveloperSpace, owner: &Subject, class_name: &str, limit: Option<i32>) -> Admission {
        let mut inner = self.lock();
        let (claim, key) = (claim_of(space), (owner.to_string(), class_name.to_owned()));
        inner.usage(&key).1.limit = limit;
        if inner.held.get(&claim.uid).is_some_and(|held| **held == key) {
            inner.stop_waiting(&claim.uid);
            return Admission { is_admitted: true, freed: Vec::new() };
        }
        let returns = inner.left.get(&claim.uid).is_some_and(|left| **left == key);
        if !returns && !inner.usage(&key).1.has_room(&claim) {
            inner.wait(&key, claim);
            return Admission { is_admitted: false, freed: Vec::new() };
        }
        let freed = inner.move_to(&key, claim.uid);
        Admission { is_admitted: true, freed }
    }

    /// Releases the previous place of a space whose status records its current place. Returns the space that gets the
    /// released place.
    pub(crate) fn release_previous(&self, uid: &Uid) -> Option<String> {
        let mut inner = self.lock();
        let left = inner.left.remove(uid)?;
        inner.change(&left, |usage| usage.held.remove(uid))
    }

    /// Registers a space that had its place before this process began, so that it counts before it is reconciled again.
    pub fn restore(&self, space: &DeveloperSpace, owner: &str, class_name: &str) {
        let mut inner = self.lock();
        let uid = Uid::from_metadata(&space.metadata);
        inner.leave(&uid);
        inner.hold(&(owner.to_owned(), class_name.to_owned()), uid);
    }

    /// Removes a space from the line in which it waits. The space keeps the places that it has. Returns the space that
    /// is next in line.
    pub(crate) fn leave_line(&self, uid: &Uid) -> Option<String> {
        self.lock().stop_waiting(uid)
    }

    /// Removes a space from the count. Returns the spaces that get its place.
    pub fn release(&self, uid: &Uid) -> Vec<String> {
        self.lock().leave(uid)
    }

    /// Counts a released namespace, or stops counting it. Returns the spaces that get its place.
    pub(crate) fn set_released(&self, namespace: &str, released: Option<Released>) -> Vec<String> {
        let mut inner = self.lock();
        let before = inner.released.remove(namespace);
        let mut freed = None;
        if let Some(key) = before {
            freed = inner.change(&key, |usage| usage.released.remove(namespace).is_some());
        }
        if let Some(Released { owner, class, from }) = released {
            let (key, usage) = inner.usage(&(owner, class));
            usage.released.insert(namespace.to_owned(), from);
            inner.released.insert(namespace.to_owned(), key);
        }
        freed.into_iter().collect()
    }

    /// Removes the spaces that a complete list does not contain. Returns the spaces that get their places.
    pub fn retain(&self, live: &HashSet<Uid>) -> Vec<String> {
        let gone: HashSet<Uid> = {
            let inner = self.lock();
            inner.held.keys().chain(inner.awaited.keys()).filter(|uid| !live.contains(*uid)).cloned().collect()
        };
        gone.iter().flat_map(|uid| self.release(uid)).collect()
    }

    /// Registers a space that waited before this process began.
    pub fn restore_waiting(&self, space: &DeveloperSpace, class_name: &str) {
        self.lock().wait(&(space.spec.owner.to_string(), class_name.to_owned()), claim_of(space));
    }

    /// The state of a space that waits beyond the oldest waiting spaces of its owner. `now` is `None` while the clock
    /// is stopped.
    pub fn beyond(&self, uid: &Uid, now: Option<DateTime<Utc>>) -> Option<Beyond> {
        let Inner { usages, awaited, lines, .. } = &mut *self.lock();
        let key = awaited.get(uid)?;
        let claim = usages.get(key)?.waiting.get(uid)?;
        lines.get_mut(&key.0)?.look(claim, now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().ignore_poison()
    }
}

impl Inner {
    fn usage(&mut self, key: &Key) -> (Arc<Key>, &mut Usage) {
        let key = self.usages.get_key_value(key).map_or_else(|| Arc::new(key.clone()), |(key, _)| key.clone());
        (key.clone(), self.usages.entry(key).or_default())
    }

    fn hold(&mut self, key: &Key, uid: Uid) {
        let (key, usage) = self.usage(key);
        usage.held.insert(uid.clone());
        usage.waiting.remove(&uid);
        self.held.insert(uid, key);
    }

    /// Gives the space a place under `key`. Its previous place is released at once only if no status ever recorded it.
    /// Returns the spaces that are next in line.
    fn move_to(&mut self, key: &Key, uid: Uid) -> Vec<String> {
        let overtaken = self.stop_waiting(&uid);
        let freed = match self.held.remove(&uid) {
            Some(had) if self.left.contains_key(&uid) => self.change(&had, |usage| usage.held.remove(&uid)),
            Some(had) => {
                self.left.insert(uid.clone(), had);
                None
            }
            None => None,
        };
        if self.left.get(&uid).is_some_and(|left| **left == *key) {
            self.left.remove(&uid);
        }
        self.hold(key, uid);
        freed.into_iter().chain(overtaken).collect()
    }

    fn wait(&mut self, key: &Key, claim: Claim) {
        let uid = claim.uid.clone();
        match self.awaited.get(&uid).cloned() {
            Some(awaited) if *awaited == *key => return,
            // The space keeps its position in the line of its owner.
            Some(awaited) if awaited.0 == key.0 => {
                drop(self.change(&awaited, |usage| usage.waiting.remove(&uid).is_some()));
            }
            _ => {
                self.stop_waiting(&uid);
                if claim.is_new {
                    self.lines.entry(key.0.clone()).or_default().join(&claim);
                }
            }
        }
        let (key, usage) = self.usage(key);
        usage.waiting.insert(uid.clone(), claim);
        self.awaited.insert(uid, key);
    }

    fn stop_waiting(&mut self, uid: &Uid) -> Option<String> {
        let key = self.awaited.remove(uid)?;
        let claim = self.usages.get(&key).and_then(|usage| usage.waiting.get(uid));
        if let (Some(claim), Some(line)) = (claim, self.lines.get_mut(&key.0)) {
            line.leave(claim);
            if line.is_empty() {
                self.lines.remove(&key.0);
            }
        }
        self.change(&key, |usage| usage.waiting.remove(uid).is_some())
    }

    /// Releases the places of a space and removes it from the line in which it waits. Returns the spaces that are next
    /// in line.
    fn leave(&mut self, uid: &Uid) -> Vec<String> {
        let overtaken = self.stop_waiting(uid);
        let places = [self.held.remove(uid), self.left.remove(uid)];
        let freed = places.into_iter().flatten().filter_map(|key| self.change(&key, |usage| usage.held.remove(uid)));
        let mut next: Vec<String> = freed.collect();
        next.extend(overtaken);
        next.dedup();
        next
    }

    /// Changes a usage. Returns the space that gets a place as a result.
    fn change(&mut self, key: &Arc<Key>, act: impl FnOnce(&mut Usage) -> bool) -> Option<String> {
        let usage = self.usages.get_mut(key)?;
        let next = act(usage).then(|| usage.next()).flatten();
        if usage.is_empty() {
            self.usages.remove(key);
        }
        next
    }
}

fn claim_of(space: &DeveloperSpace) -> Claim {
    let is_new = was_never_admitted(space);
    Claim { uid: Uid::from_metadata(&space.metadata), name: space.name_any().into(), created: created(space), is_new }
}

/// Returns true if a space is alive: neither expired nor being deleted.
pub(crate) fn is_live(space: &DeveloperSpace) -> bool {
    space.metadata.deletion_timestamp.is_none() && !is_sealed(space)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space(uid: &str) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": format!("space-{uid}"), "uid": uid, "generation": 1, "creationTimestamp": "2026-11-24T09:00:00Z"},
            "spec": {"owner": {"kind": "User", "name": "judy"}},
        }))
        .unwrap()
    }

    fn owner(name: &str) -> Subject {
        Subject { kind: crate::api::SubjectKind::User, name: name.to_owned(), namespace: None }
    }

    /// Admits the space of that UID for that owner and class.
    fn admit(
        owner_limit: &OwnerLimit,
        uid: &str,
        (name, class): (&str, &str),
        limit: Option<i32>,
    ) -> (bool, Vec<String>) {
        let Admission { is_admitted, freed } = owner_limit.admit(&space(uid), &owner(name), class, limit);
        (is_admitted, freed)
    }

    const ALICE: (&str, &str) = ("alice", "standard");

    #[test]
    fn the_limit_holds_and_a_freed_place_goes_to_the_next() {
        let owner_limit = OwnerLimit::default();
        let admit = |uid: &str| admit(&owner_limit, uid, ALICE, Some(2)).0;
        assert!(admit("c") && admit("b"));
        assert!(!admit("a"), "a smaller UID does not push another space out");
        assert!(!admit("d") && admit("c"));
        assert!(
            owner_limit.admit(&space("e"), &owner("bob"), "standard", Some(2)).is_admitted,
            "another owner counts apart"
        );
        assert_eq!(owner_limit.release(&"c".into()), ["space-a"], "only the first in line is woken");
        assert!(!admit("d"), "a comes first");
        assert!(admit("a"));
        assert_eq!(owner_limit.release(&"d".into()), [""; 0], "a space that only waited frees nothing");
    }

    #[test]
    fn one_that_stops_waiting_lets_the_next_take_the_place() {
        let owner_limit = OwnerLimit::default();
        let admit = |uid: &str| admit(&owner_limit, uid, ALICE, Some(1)).0;
        assert!(admit("a") && !admit("b") && !admit("c"));
        assert_eq!(owner_limit.release(&"a".into()), ["space-b"]);
        assert_eq!(owner_limit.release(&"b".into()), ["space-c"], "b did not take it");
    }

    #[test]
    fn a_place_is_held_until_another_is_had() {
        let owner_limit = OwnerLimit::default();
        let (small, large) = (("alice", "small"), ("alice", "large"));
        assert!(admit(&owner_limit, "a", large, Some(1)).0);
        assert!(admit(&owner_limit, "b", small, Some(1)).0);
        assert_eq!(admit(&owner_limit, "b", large, Some(1)), (false, vec![]), "large is full");
        assert!(!admit(&owner_limit, "c", small, Some(1)).0, "b still has its place in small");
        assert_eq!(owner_limit.release(&"a".into()), ["space-b"]);
        assert_eq!(admit(&owner_limit, "b", large, Some(1)), (true, vec![]));
        assert!(!admit(&owner_limit, "c", small, Some(1)).0, "the status of b still records small");
        assert_eq!(owner_limit.release_previous(&"b".into()).as_deref(), Some("space-c"));
        assert!(admit(&owner_limit, "c", small, Some(1)).0);
        assert_eq!(owner_limit.release_previous(&"b".into()), None, "it has one place");
    }

    #[test]
    fn a_space_that_goes_back_before_its_status_was_written_has_its_place_there() {
        let owner_limit = OwnerLimit::default();
        let (small, large) = (("alice", "small"), ("alice", "large"));
        assert!(admit(&owner_limit, "a", small, Some(1)).0 && admit(&owner_limit, "a", large, Some(1)).0);
        assert!(!admit(&owner_limit, "b", large, Some(1)).0 && !admit(&owner_limit, "c", small, Some(1)).0);
        assert_eq!(
            admit(&owner_limit, "a", small, Some(1)),
            (true, vec!["space-b".to_owned()]),
            "the place in large was never recorded"
        );
        assert_eq!(
            (owner_limit.release_previous(&"a".into()), owner_limit.release(&"a".into())),
            (None, vec!["space-c".to_owned()])
        );
    }

    #[test]
    fn a_lowered_limit_evicts_nobody_and_admits_nobody() {
        let owner_limit = OwnerLimit::default();
        assert!(["a", "b", "c"].iter().all(|uid| admit(&owner_limit, uid, ALICE, Some(3)).0));
        assert!(["a", "b", "c"].iter().all(|uid| admit(&owner_limit, uid, ALICE, Some(1)).0));
        assert_eq!(owner_limit.release(&"a".into()), [""; 0]);
        assert!(!admit(&owner_limit, "d", ALICE, Some(1)).0);
    }

    #[test]
    fn a_space_that_was_in_before_a_restart_is_in() {
        let owner_limit = OwnerLimit::default();
        owner_limit.restore(&space("b"), "User:alice", "standard");
        assert!(!admit(&owner_limit, "a", ALICE, Some(1)).0, "reconciled first, it pushes no other space out");
        assert!(admit(&owner_limit, "b", ALICE, Some(1)).0);
    }

    #[test]
    fn a_released_namespace_counts_but_not_against_the_space_of_its_name() {
        let owner_limit = OwnerLimit::default();
        let released = Released { owner: "User:alice".into(), class: "standard".into(), from: "space-a".into() };
        assert_eq!(owner_limit.set_released("space-a", Some(released)), [""; 0]);
        assert!(!admit(&owner_limit, "b", ALICE, Some(1)).0);
        assert_eq!(owner_limit.set_released("space-a", None), ["space-b"]);
        owner_limit.release(&"b".into());
        let again = Released { owner: "User:alice".into(), class: "standard".into(), from: "space-c".into() };
        owner_limit.set_released("space-c", Some(again));
        assert!(admit(&owner_limit, "c", ALICE, Some(1)).0, "it is the space that takes it back");
    }

    #[test]
    fn a_space_takes_its_released_namespace_back_whoever_waits() {
        let owner_limit = OwnerLimit::default();
        let released =
            |name: &str| Released { owner: "User:alice".into(), class: "standard".into(), from: name.into() };
        owner_limit.set_released("space-z", Some(released("space-z")));
        assert!(!admit(&owner_limit, "a", ALICE, Some(1)).0);
        assert!(admit(&owner_limit, "z", ALICE, Some(1)).0, "a, which comes first, waits for the namespace of z");
        assert_eq!(owner_limit.set_released("space-z", None), [""; 0], "z has the place by now");
        assert!(!admit(&owner_limit, "a", ALICE, Some(1)).0);
        owner_limit.set_released("space-y", Some(released("space-y")));
        assert!(!admit(&owner_limit, "y", ALICE, Some(1)).0, "z has the only place");
    }

    #[test]
    fn one_line_is_for_all_classes_of_an_owner_and_for_nobody_elses() {
        let owner_limit = OwnerLimit::default();
        let wait = |number: usize, class: &str| admit(&owner_limit, &format!("{number:02}"), ("alice", class), Some(0));
        (0..11).for_each(|number| drop(wait(number, if number % 2 == 0 { "small" } else { "large" })));
        assert!(!admit(&owner_limit, "99", ("bob", "small"), Some(0)).0);
        let now = DateTime::from_timestamp(100, 0);
        let beyond = |uid: &str| owner_limit.beyond(&uid.into(), now);
        assert_eq!(["09", "99", "none"].map(beyond), [None; 3]);
        assert_eq!(beyond("10"), Some(Beyond { since: now }));
        wait(10, "small");
        assert_eq!(beyond("10"), Some(Beyond { since: now }), "a further look changes nothing");
        wait(3, "small");
        assert_eq!(beyond("10").and_then(|beyond| beyond.since), now, "it waits under another class, and still waits");
        owner_limit.release(&"05".into());
        assert_eq!(beyond("10"), None);
    }

    #[test]
    fn no_limit_admits_all() {
        let owner_limit = OwnerLimit::default();
        assert!((0..20).all(|n| admit(&owner_limit, &n.to_string(), ALICE, None).0));
        assert!(!admit(&owner_limit, "x", ALICE, Some(0)).0);
    }
}
