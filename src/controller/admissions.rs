//! Who was let in under the limit of spaces per owner and class. The decision is taken under one lock, so that spaces
//! created side by side cannot exceed the limit, see `docs/adr/0002-owner-limit-by-serial-admission.md`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
    },
    desired::{
        Uid,
        owner_limit::{Claim, is_within},
        term::{created, is_sealed},
    },
};

/// Owner and class.
type Key = (String, String);

/// The register.
#[derive(Debug, Default)]
pub struct Admissions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shares: HashMap<Arc<Key>, Share>,
    /// UID to where its claim stands.
    keys: HashMap<Uid, Arc<Key>>,
}

/// The claims of one owner under one class, by UID. Apart, so that nobody has to look through those who are in.
#[derive(Debug, Default)]
struct Share {
    admitted: HashMap<Uid, Claim>,
    waiting: HashMap<Uid, Claim>,
}

impl Share {
    /// Whether there is a place for `claim` beside these.
    fn admits(&self, claim: &Claim, limit: Option<i32>) -> bool {
        let Some(limit) = limit.map(|limit| usize::try_from(limit).unwrap_or_default()) else { return true };
        let others = self.admitted.len() + self.waiting.len();
        others < limit || is_within(limit, claim, self.admitted.values().chain(self.waiting.values()))
    }

    fn is_empty(&self) -> bool {
        self.admitted.is_empty() && self.waiting.is_empty()
    }

    fn take(&mut self, uid: &Uid) -> Option<Claim> {
        self.admitted.remove(uid).or_else(|| self.waiting.remove(uid))
    }
}

impl Admissions {
    /// Whether `space` may exist under `limit`; it is registered as being in, or as waiting. Also names those that wait for
    /// the place that it leaves, if it was counted under another owner or class.
    pub fn admit(&self, space: &DeveloperSpace, class_name: &str, limit: Option<i32>) -> (bool, Vec<String>) {
        let mut inner = self.lock();
        let mut claim = claim_of(space, stands_as_admitted(space, class_name));
        let key = (space.spec.owner.to_string(), class_name.to_owned());
        let freed = match inner.take(&claim.uid) {
            Some((before, known)) if *before == key => {
                claim.admitted |= known.admitted;
                Vec::new()
            }
            Some((before, _)) => inner.waiting(&before),
            None => Vec::new(),
        };
        (inner.put(key, claim, |share, claim| share.admits(claim, limit)), freed)
    }

    /// Registers a space that has its namespace since before this process began, so that it counts before it is looked at again.
    pub fn recall(&self, space: &DeveloperSpace, class_name: &str) {
        let had = space.status.as_ref().and_then(|status| status.class_name.as_deref());
        if is_live(space) && !was_refused(space) && had.is_none_or(|had| had == class_name) {
            let mut inner = self.lock();
            let claim = claim_of(space, true);
            inner.take(&claim.uid);
            inner.put((space.spec.owner.to_string(), class_name.to_owned()), claim, |_, _| true);
        }
    }

    /// Takes a space out of the count; names those that wait for its place.
    pub fn withdraw(&self, uid: &Uid) -> Vec<String> {
        let mut inner = self.lock();
        inner.take(uid).map(|(key, _)| inner.waiting(&key)).unwrap_or_default()
    }

    /// After a list of spaces: takes out those that were not in it; names those that wait for their places.
    pub fn retain(&self, live: &HashSet<Uid>) -> Vec<String> {
        let gone: Vec<Uid> = self.lock().keys.keys().filter(|uid| !live.contains(*uid)).cloned().collect();
        gone.iter().flat_map(|uid| self.withdraw(uid)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Puts a claim where `admits` says, and says the same.
    fn put(&mut self, key: Key, mut claim: Claim, admits: impl FnOnce(&Share, &Claim) -> bool) -> bool {
        let key = self.shares.get_key_value(&key).map_or_else(|| Arc::new(key), |(key, _)| key.clone());
        self.keys.insert(claim.uid.clone(), key.clone());
        let share = self.shares.entry(key).or_default();
        let admitted = admits(share, &claim);
        claim.admitted = admitted;
        let side = if admitted { &mut share.admitted } else { &mut share.waiting };
        side.insert(claim.uid.clone(), claim);
        admitted
    }

    /// Takes a claim out, and says under which key it stood.
    fn take(&mut self, uid: &Uid) -> Option<(Arc<Key>, Claim)> {
        let key = self.keys.remove(uid)?;
        let share = self.shares.get_mut(&key)?;
        let claim = share.take(uid)?;
        if share.is_empty() {
            self.shares.remove(&key);
        }
        Some((key, claim))
    }

    fn waiting(&self, key: &Key) -> Vec<String> {
        self.shares.get(key).into_iter().flat_map(|share| share.waiting.values()).map(|claim| claim.name.to_string()).collect()
    }
}

fn claim_of(space: &DeveloperSpace, admitted: bool) -> Claim {
    Claim { uid: Uid::of(&space.metadata), name: space.name_any().into(), created: created(space), admitted }
}

/// Whether a space counts: neither expired nor being deleted.
pub fn is_live(space: &DeveloperSpace) -> bool {
    space.metadata.deletion_timestamp.is_none() && !is_sealed(space)
}

/// What is said only of spaces that were let in. One that is refused for another reason may have lost its place meanwhile.
const ONCE_IN: [Reason; 4] = [Reason::Provisioned, Reason::Provisioning, Reason::NamespaceTerminating, Reason::ApplyFailed];

/// Whether its status says that the space was let in under that class and its present owner.
fn stands_as_admitted(space: &DeveloperSpace, class_name: &str) -> bool {
    let Some(status) = &space.status else { return false };
    let current = status.observed_generation == space.metadata.generation && status.class_name.as_deref() == Some(class_name);
    let reason = conditions::find(&status.conditions, types::READY).map(|ready| ready.reason.as_str());
    status.namespace.is_some() && current && reason.is_some_and(|reason| ONCE_IN.iter().any(|once_in| once_in.as_str() == reason))
}

/// Whether its status says that there was no place for it.
fn was_refused(space: &DeveloperSpace) -> bool {
    let conditions = space.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == types::READY && condition.reason == Reason::OwnerLimitExceeded.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space(uid: &str, owner: &str) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": format!("space-{uid}"), "uid": uid, "generation": 1, "creationTimestamp": "2026-11-24T09:00:00Z"},
            "spec": {"owner": {"kind": "User", "name": owner}},
        }))
        .unwrap()
    }

    #[test]
    fn the_limit_holds_and_a_freed_place_goes_to_the_next() {
        let admissions = Admissions::default();
        let admit = |uid: &str| admissions.admit(&space(uid, "alice"), "standard", Some(2)).0;
        assert!(admit("c") && admit("b"));
        assert!(!admit("a"), "a smaller UID does not push anybody out");
        assert!(!admit("d") && admit("c"));
        assert!(admissions.admit(&space("e", "bob"), "standard", Some(2)).0, "another owner counts apart");
        let mut waiting = admissions.withdraw(&"c".into());
        waiting.sort();
        assert_eq!(waiting, ["space-a", "space-d"]);
        assert!(!admit("d"), "a comes first");
        assert!(admit("a"));
    }

    #[test]
    fn an_owner_who_takes_over_is_counted_anew() {
        let admissions = Admissions::default();
        let admit = |uid: &str, owner: &str| admissions.admit(&space(uid, owner), "standard", Some(1));
        assert!(admit("a", "alice").0 && admit("b", "bob").0 && !admit("c", "bob").0);
        assert_eq!(admit("b", "alice"), (false, vec!["space-c".to_owned()]), "the place that it leaves is free");
        assert!(admit("c", "bob").0);
    }

    #[test]
    fn who_was_in_before_a_restart_is_in_though_edited_meanwhile() {
        let admissions = Admissions::default();
        let with = |uid: &str, generation: i64, reason: &str| {
            let mut space = space(uid, "alice");
            space.metadata.generation = Some(generation);
            let status = json!({"observedGeneration": 1, "className": "standard", "namespace": {"name": space.name_any(), "uid": "n"},
                "conditions": [{"type": "Ready", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z"}]});
            space.status = serde_json::from_value(status).unwrap();
            space
        };
        let (edited, refused) = (with("b", 2, "Provisioned"), with("a", 1, "OwnerLimitExceeded"));
        admissions.recall(&edited, "standard");
        admissions.recall(&refused, "standard");
        assert!(!admissions.admit(&refused, "standard", Some(1)).0, "looked at first, it pushes nobody out");
        assert!(admissions.admit(&edited, "standard", Some(1)).0);
    }

    #[test]
    fn no_limit_admits_all() {
        let admissions = Admissions::default();
        assert!((0..20).all(|n| admissions.admit(&space(&n.to_string(), "alice"), "standard", None).0));
        assert!(!admissions.admit(&space("x", "alice"), "standard", Some(0)).0);
    }
}
