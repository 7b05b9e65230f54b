//! Hashes of values that are compared in memory only.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash that is stable within a process.
pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
