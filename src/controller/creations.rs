//! The spaces for which this process created a namespace that no status has recorded yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{desired::Uid, lock::IgnorePoison};

/// The time for which a creation is remembered. It exceeds the longest duration of a DELETE of the API server.
const CREATION_TTL: Duration = Duration::from_secs(600);

/// The spaces for which this process has created a namespace that no status has recorded: their names and the times of
/// the creation, by UID.
#[derive(Debug, Default)]
pub struct Creations(Mutex<HashMap<Uid, (String, Instant)>>);

impl Creations {
    /// Records that a namespace is being created for that space.
    pub fn begin(&self, space: Uid, name: &str) {
        self.lock().insert(space, (name.to_owned(), Instant::now()));
    }

    /// Records that the status of that space names its namespace, or that no namespace was created for it.
    pub fn end(&self, space: &Uid) {
        self.lock().remove(space);
    }

    /// Returns true if a namespace of that name was created for that space, and no status has recorded it.
    pub fn contains(&self, space: &Uid, name: &str) -> bool {
        self.lock().get(space).is_some_and(|(created, _)| created == name)
    }

    /// Forgets the creations that are older than any DELETE under way.
    pub(crate) fn forget_old(&self) {
        self.lock().retain(|_, (_, since)| since.elapsed() < CREATION_TTL);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, (String, Instant)>> {
        self.0.lock().ignore_poison()
    }
}
