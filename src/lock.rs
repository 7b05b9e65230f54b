//! Locks whose poison is ignored: the data behind each lock of this crate is complete after each statement, so that a
//! panic of another thread leaves nothing half done.

use std::sync::{LockResult, PoisonError};

/// Ignores the poison of a lock.
pub(crate) trait IgnorePoison {
    /// The guard of the lock.
    type Guard;

    /// Returns the guard, even if a thread panicked while it held the lock.
    fn ignore_poison(self) -> Self::Guard;
}

impl<G> IgnorePoison for LockResult<G> {
    type Guard = G;

    fn ignore_poison(self) -> G {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
