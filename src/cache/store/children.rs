//! The cache of the operator's objects in the namespaces. Makes no request.
//!
//! A subject with the role `admin` in a namespace can label any number of RoleBindings as the operator's, so the number
//! that a watch adds is bounded.

use std::collections::HashSet;

use super::state::{Inner, Store};
use crate::desired::{Child, ChildKind, SeenChild, Uid, hash::hash, quota::Hard};

impl Store {
    /// The children in a namespace.
    pub fn children(&self, namespace: &str) -> Vec<SeenChild> {
        self.read().children.of(namespace).to_vec()
    }

    /// Keeps the needed part of a child that the operator wrote or read. Returns true if it differs from the part that
    /// was kept.
    pub fn put_child(&self, namespace: &str, seen: SeenChild) -> bool {
        self.write().children.put(namespace, seen)
    }

    /// Does the same for an object that a watch reports. An object that the operator cannot have created is not kept,
    /// and neither is a further binding in a namespace that has very many. If the operator needs such a binding, it
    /// reads it from the API server.
    pub(crate) fn put_watched_child(&self, namespace: &str, seen: SeenChild) -> bool {
        let children = &mut self.write().children;
        children.has_room(namespace, &seen) && children.put(namespace, seen)
    }

    /// Forgets the child of that kind, name and UID. Returns true if it was known.
    pub(crate) fn remove_child(&self, namespace: &str, kind: ChildKind, name: &str, uid: &Uid) -> bool {
        self.retain_in(namespace, |kept| !(kept.kind == kind && &*kept.name == name && kept.uid == *uid))
    }

    /// After a list: forgets the children of that kind whose keys are not among those `listed`, see [`Store::key`].
    /// Returns their namespaces.
    pub(crate) fn retain_children(&self, kind: ChildKind, listed: &HashSet<u64>) -> Vec<String> {
        let namespaces = self.read().children.namespaces();
        let is_listed =
            |namespace: &str, kept: &SeenChild| kept.kind != kind || listed.contains(&self.key(namespace, &kept.name));
        namespaces
            .into_iter()
            .filter(|namespace| self.retain_in(namespace, |kept| is_listed(namespace, kept)))
            .collect()
    }

    fn retain_in(&self, namespace: &str, keep: impl Fn(&SeenChild) -> bool) -> bool {
        let mut inner = self.write();
        let changed = inner.children.retain(namespace, keep);
        if changed {
            inner.settled.forget(namespace);
        }
        changed
    }

    /// Records that the existing object with the name of `child` does not exceed `child`.
    pub(crate) fn settle(&self, namespace: &str, child: &Child, hard: &Hard) {
        let mut inner = self.write();
        let compared = inner.compared(namespace, child, hard);
        inner.settled.add(namespace, (child.kind(), child.name()), compared);
    }

    /// Returns true if that was recorded for the same object and the same `child`.
    pub fn is_settled(&self, namespace: &str, child: &Child, hard: &Hard) -> bool {
        let inner = self.read();
        inner.settled.has(namespace, (child.kind(), child.name()), inner.compared(namespace, child, hard))
    }
}

impl Inner {
    fn compared(&self, namespace: &str, child: &Child, hard: &Hard) -> (Option<u64>, u64) {
        let existing = self.children.get(namespace, (child.kind(), child.name()));
        let amounts: Vec<(&String, String)> = hard.iter().map(|(key, amount)| (key, amount.key())).collect();
        (
            existing.map(|kept| hash(&(&kept.uid, kept.fingerprint.content))),
            hash(&(child.fingerprint().content, amounts)),
        )
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::RoleBinding;
    use serde_json::json;

    use super::*;
    use crate::cache::store::child_table::MAX_WATCHED_CHILDREN;

    fn binding(name: &str, version: u64) -> SeenChild {
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {
                "name": name, "uid": format!("uid-of-{name:.40}"), "resourceVersion": version.to_string(),
                "labels": {"app.kubernetes.io/managed-by": "developerspace-operator"},
            },
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        }))
        .unwrap();
        Child::from(binding).seen()
    }

    fn names(store: &Store) -> Vec<String> {
        store.children("orchid-lab").iter().map(|kept| kept.name.to_string()).collect()
    }

    #[test]
    fn a_watch_adds_only_a_bounded_number_of_bindings_and_only_those_of_our_names() {
        let store = Store::default();
        let long = format!("developerspace-{}", "x".repeat(100_000));
        for foreign in ["crew", "developerspac", "developerspace-x y", "developerspace-x?y", long.as_str()] {
            assert!(!store.put_watched_child("orchid-lab", binding(foreign, 1)), "{foreign:.40}");
        }
        let guard = |kind: ChildKind, name: &str| SeenChild { kind, name: name.into(), ..binding("developerspace", 1) };
        assert!(!store.put_watched_child("orchid-lab", guard(ChildKind::Quota, "developerspace-2")));
        for number in 0..1_000 {
            store.put_watched_child("orchid-lab", binding(&format!("developerspace-x{number:03}"), 1));
        }
        assert_eq!(names(&store).len(), MAX_WATCHED_CHILDREN);
        assert!(
            store.put_watched_child("orchid-lab", guard(ChildKind::Quota, "developerspace")),
            "a guard is always kept"
        );
        assert!(
            store.put_watched_child("orchid-lab", SeenChild { going: true, ..binding("developerspace-x007", 2) }),
            "it is known"
        );
        assert!(!store.put_watched_child("orchid-lab", binding("developerspace-owner", 1)));
        assert!(store.put_child("orchid-lab", binding("developerspace-owner", 1)), "the operator has read it");
        assert!(store.put_watched_child("orchid-lab", SeenChild { going: true, ..binding("developerspace-owner", 2) }));
        assert!(store.put_watched_child("fern-lab", binding("developerspace-owner", 1)), "another namespace has room");
    }

    #[test]
    fn children_are_kept_in_the_order_of_their_names_and_only_the_newest_version_of_each() {
        let store = Store::default();
        for (name, version, changed) in [
            ("developerspace-view", 5, true),
            ("developerspace-edit", 6, true),
            ("developerspace-owner", 7, true),
            ("developerspace-edit", 6, false),
            ("developerspace-edit", 4, false),
        ] {
            assert_eq!(store.put_watched_child("orchid-lab", binding(name, version)), changed, "{name} {version}");
        }
        assert_eq!(names(&store), ["developerspace-edit", "developerspace-owner", "developerspace-view"]);
        let gone = SeenChild { subjects: [7].into(), ..binding("developerspace-edit", 4) };
        assert!(!store.put_watched_child("orchid-lab", gone), "an older version");
        let listed = ["developerspace-edit", "developerspace-view"].map(|name| store.key("orchid-lab", name));
        assert_eq!(store.retain_children(ChildKind::Quota, &HashSet::new()), [""; 0]);
        assert_eq!(store.retain_children(ChildKind::Binding, &listed.into()), ["orchid-lab"]);
        assert_eq!(names(&store), ["developerspace-edit", "developerspace-view"]);
        assert!(!store.remove_child("orchid-lab", ChildKind::Binding, "developerspace-edit", &"another".into()));
        for name in ["developerspace-edit", "developerspace-view"] {
            let uid = format!("uid-of-{name}");
            assert!(store.remove_child("orchid-lab", ChildKind::Binding, name, &uid.as_str().into()));
        }
        assert_eq!(store.read().children.namespaces(), [""; 0]);
    }
}
