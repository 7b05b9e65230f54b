//! Children of which nothing new is granted, and that were read and found to have nothing too much: as long as neither the object nor
//! what is wanted changes, it need not be read again.

use std::collections::HashMap;

use crate::desired::{ChildKind, children::hash};

/// By namespace, what was found of each child, as hashes.
#[derive(Debug, Default)]
pub struct Settled(HashMap<String, HashMap<u64, u64>>);

/// The content of an object that exists, none if it does not, and of the one that is wanted.
pub type Compared = (Option<u64>, u64);

impl Settled {
    /// Notes that the child, compared so, has nothing too much.
    pub fn add(&mut self, namespace: &str, child: (ChildKind, &str), compared: Compared) {
        self.0.entry(namespace.to_owned()).or_default().insert(hash(&child), hash(&compared));
    }

    /// Whether that was noted.
    pub fn has(&self, namespace: &str, child: (ChildKind, &str), compared: Compared) -> bool {
        self.0.get(namespace).and_then(|children| children.get(&hash(&child))) == Some(&hash(&compared))
    }

    /// Something went from that namespace: what is there has to be read again.
    pub fn forget(&mut self, namespace: &str) {
        self.0.remove(namespace);
    }
}
