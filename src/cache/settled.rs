//! Children that were read while nothing new is granted, and that do not exceed the wanted state. Such a child is not
//! read again as long as neither the object nor the wanted state changes.

use std::collections::HashMap;

use crate::desired::{ChildKind, hash::hash};

/// The most children of one namespace. An owner chooses the names of bindings: they contain the roles that the members
/// name.
const MAX_CHILDREN: usize = 256;

/// The result for each child, by namespace, as hashes.
#[derive(Debug, Default)]
pub(crate) struct Settled(HashMap<String, HashMap<u64, u64>>);

/// The content of the existing object, `None` if it does not exist, and the content of the wanted object.
pub(crate) type Compared = (Option<u64>, u64);

impl Settled {
    /// Records that the child does not exceed the wanted state in that comparison.
    pub(crate) fn add(&mut self, namespace: &str, child: (ChildKind, &str), compared: Compared) {
        let children = self.0.entry(namespace.to_owned()).or_default();
        if children.len() >= MAX_CHILDREN {
            // Those that still exist are read again.
            children.clear();
        }
        children.insert(hash(&child), hash(&compared));
    }

    /// Returns true if that was recorded.
    pub(crate) fn has(&self, namespace: &str, child: (ChildKind, &str), compared: Compared) -> bool {
        self.0.get(namespace).and_then(|children| children.get(&hash(&child))) == Some(&hash(&compared))
    }

    /// Forgets the children of a namespace in which an object was deleted: the remaining objects have to be read again.
    pub(crate) fn forget(&mut self, namespace: &str) {
        self.0.remove(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_change_all_the_time_are_not_all_remembered() {
        let mut settled = Settled::default();
        let compared = (Some(7), 8);
        for number in 0..10_000 {
            let name = format!("developerspace-{number}");
            settled.add("orchid-lab", (ChildKind::Binding, &name), compared);
            assert!(settled.has("orchid-lab", (ChildKind::Binding, &name), compared), "{name}");
        }
        assert!(settled.0["orchid-lab"].len() <= MAX_CHILDREN);
    }
}
