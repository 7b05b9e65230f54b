//! What is known to be gone: an answer that was on its way when the event of a deletion came must not bring the object back.
//!
//! A UID is never given twice (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#uids>).

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::desired::{Uid, children::hash};

/// No answer is on its way for longer.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

/// UIDs of what was deleted lately, as hashes.
#[derive(Debug, Default)]
pub struct Graves {
    known: HashSet<u64>,
    by_age: VecDeque<(Instant, u64)>,
}

impl Graves {
    /// The object of that UID is gone.
    pub fn add(&mut self, uid: &Uid) {
        while self.by_age.front().is_some_and(|(since, _)| since.elapsed() > LONG_ENOUGH) {
            if let Some((_, old)) = self.by_age.pop_front() {
                self.known.remove(&old);
            }
        }
        let uid = hash(uid);
        if self.known.insert(uid) {
            self.by_age.push_back((Instant::now(), uid));
        }
    }

    /// Whether the object of that UID is known to be gone.
    pub fn has(&self, uid: &Uid) -> bool {
        self.known.contains(&hash(uid))
    }
}
