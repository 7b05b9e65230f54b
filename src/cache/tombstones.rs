//! The UIDs of objects that are known to be deleted: a response that arrives after the event of the deletion must not
//! bring the object back.
//!
//! A UID is never reused (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#uids>).

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::desired::{Uid, hash::hash};

/// The time for which a UID is kept. No response is outstanding for longer.
const TOMBSTONE_TTL: Duration = Duration::from_secs(300);

/// The UIDs of recently deleted objects, as hashes.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    known: HashSet<u64>,
    by_age: VecDeque<(Instant, u64)>,
}

impl Tombstones {
    /// Records that the object of that UID is deleted.
    pub(crate) fn add(&mut self, uid: &Uid) {
        while self.by_age.front().is_some_and(|(since, _)| since.elapsed() > TOMBSTONE_TTL) {
            if let Some((_, old)) = self.by_age.pop_front() {
                self.known.remove(&old);
            }
        }
        let uid = hash(uid);
        if self.known.insert(uid) {
            self.by_age.push_back((Instant::now(), uid));
        }
    }

    /// Returns true if the object of that UID is known to be deleted.
    pub(crate) fn has(&self, uid: &Uid) -> bool {
        self.known.contains(&hash(uid))
    }
}
