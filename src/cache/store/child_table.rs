//! The table of the operator's objects in the namespaces. Owns their order, and the bound of their number.

use std::collections::HashMap;

use crate::desired::{ChildKind, SeenChild, child::is_operator_name};

/// The most objects of one namespace among which a watch adds another binding. A class has at most 32 roles, and a
/// space at most 100 members.
pub(super) const MAX_WATCHED_CHILDREN: usize = 256;

/// The objects by namespace, in the order of their kinds and names.
#[derive(Debug, Default)]
pub(super) struct ChildTable(HashMap<String, Vec<SeenChild>>);

impl ChildTable {
    /// The objects in a namespace.
    pub(super) fn of(&self, namespace: &str) -> &[SeenChild] {
        self.0.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// The object of that kind and name in a namespace.
    pub(super) fn get(&self, namespace: &str, child: (ChildKind, &str)) -> Option<&SeenChild> {
        let children = self.of(namespace);
        place(children, child).ok().and_then(|at| children.get(at))
    }

    /// Returns true if `seen` may be added, or is kept already.
    pub(super) fn has_room(&self, namespace: &str, seen: &SeenChild) -> bool {
        let is_crowded = || seen.kind == ChildKind::Binding && self.of(namespace).len() >= MAX_WATCHED_CHILDREN;
        is_operator_name(seen.kind, &seen.name)
            && (!is_crowded() || self.get(namespace, (seen.kind, &seen.name)).is_some())
    }

    /// Keeps an object, unless a newer version is kept. Returns true if it differs from the one that was kept.
    pub(super) fn put(&mut self, namespace: &str, seen: SeenChild) -> bool {
        let children = self.0.entry(namespace.to_owned()).or_default();
        match place(children, (seen.kind, &seen.name)) {
            Ok(at) if children[at].version > seen.version => false,
            Ok(at) => {
                let changed = SeenChild { version: seen.version, ..children[at].clone() } != seen;
                children[at] = seen;
                changed
            }
            Err(at) => {
                // Each of thousands of namespaces has few children: spare capacity would be most of their memory.
                children.reserve_exact(1);
                children.insert(at, seen);
                true
            }
        }
    }

    /// Keeps the children in `namespace` for which `keep` returns true. Returns true if it removed another one.
    pub(super) fn retain(&mut self, namespace: &str, keep: impl Fn(&SeenChild) -> bool) -> bool {
        let Some(children) = self.0.get_mut(namespace) else { return false };
        let before = children.len();
        children.retain(keep);
        let changed = children.len() != before;
        if children.is_empty() {
            self.0.remove(namespace);
        }
        changed
    }

    /// The namespaces that have objects.
    pub(super) fn namespaces(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// The index of that child, or the index at which it is inserted.
fn place(children: &[SeenChild], (kind, name): (ChildKind, &str)) -> Result<usize, usize> {
    children.binary_search_by(|kept| (kept.kind, &*kept.name).cmp(&(kind, name)))
}
