//! ClusterRoles that a class names and that do not exist. The API server accepts a RoleBinding to such a role, but the
//! binding gives no access. So no such binding is created, and the condition of the space gives the reason. Existing
//! bindings stay; subjects that leave are removed.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{
    binding_changes::{find, kept},
    child::Children,
    class_validation::do_not_exist,
    fingerprint::Fingerprint,
    resolve::Resolved,
    role_bindings::Roles,
    seen_child::SeenChild,
    spec_refusal::SpecRefusal,
};
use crate::api::conditions::Reason;

/// The ClusterRoles that a space uses.
pub(crate) fn used(roles: &Roles) -> BTreeSet<String> {
    let Roles { owner, members } = roles;
    std::iter::once(owner).chain(members.values()).cloned().collect()
}

/// The refusal of a space that uses one of `missing`; `None` if it uses none.
pub(crate) fn refusal(resolved: &Resolved, missing: &BTreeSet<String>) -> Option<SpecRefusal> {
    let used: Vec<String> = used(&resolved.roles).intersection(missing).cloned().collect();
    let class_name = &resolved.class_name;
    let message = || {
        format!(
            "{}: an administrator has to create what SpaceClass {class_name} names, or to change the class; until then no new RoleBinding to it is created, and everything else is in place",
            do_not_exist(&used)
        )
    };
    (!used.is_empty()).then(|| SpecRefusal::new(Reason::RoleNotAllowed, message()))
}

/// Removes from `wanted` the bindings to a missing ClusterRole, except those that exist.
pub(crate) fn hold(wanted: &mut Children, seen: &[SeenChild], missing: &BTreeSet<String>) {
    let bindings = std::mem::take(&mut wanted.bindings).into_iter();
    let held = |binding: RoleBinding| {
        if missing.contains(&binding.role_ref.name) { existing(binding, seen) } else { Some(binding) }
    };
    wanted.bindings = bindings.filter_map(held).collect();
}

/// The part of `binding` that exists. An existing binding to another ClusterRole keeps that role, and those of its
/// subjects that are still wanted.
fn existing(binding: RoleBinding, seen: &[SeenChild]) -> Option<RoleBinding> {
    let existing = find(seen, &binding)?;
    if Fingerprint::from(&binding).identity == existing.fingerprint.identity {
        return Some(binding);
    }
    let mut kept = kept(&binding, existing);
    accept_any_role(&mut kept);
    Some(kept)
}

/// Leaves the ClusterRole and the labels of the existing object unchanged.
fn accept_any_role(binding: &mut RoleBinding) {
    binding.role_ref.name = String::new();
    binding.metadata.labels = None;
}

/// Changes `wanted` for a space that is granted nothing new: an existing binding keeps its ClusterRole while the wanted
/// one is missing. A binding that was not seen stays in `wanted`, so that it is read and loses the subjects that leave.
pub(crate) fn keep_roles(wanted: &mut Children, seen: &[SeenChild], missing: &BTreeSet<String>) {
    for binding in wanted.bindings.iter_mut().filter(|binding| missing.contains(&binding.role_ref.name)) {
        let identity = Fingerprint::from(&*binding).identity;
        if find(seen, binding).is_none_or(|existing| existing.fingerprint.identity != identity) {
            accept_any_role(binding);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::{Child, Grant, change::Change, diff::diff};

    fn binding(role: &str, subjects: &[&str]) -> RoleBinding {
        let subjects: Vec<_> = subjects
            .iter()
            .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "developerspace-owner", "uid": "uid-of-the-binding", "labels": {"developerspace.dev/space": "orchid-lab"}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": subjects,
        }))
        .unwrap()
    }

    fn missing() -> BTreeSet<String> {
        ["growers".to_owned()].into()
    }

    #[test]
    fn no_binding_to_a_missing_role_is_created_and_existing_ones_stay() {
        let wanted = binding("growers", &["ada@example.com"]);
        for (existing, expected) in [
            (None, None),
            (Some(binding("growers", &["ada@example.com"])), Some(wanted.clone())),
            (Some(binding("growers", &["bo@example.com"])), Some(wanted.clone())),
        ] {
            let seen: Vec<SeenChild> = existing.iter().cloned().map(|binding| Child::Binding(binding).seen()).collect();
            let mut children = Children { quota: None, limits: None, network: None, bindings: vec![wanted.clone()] };
            hold(&mut children, &seen, &missing());
            assert_eq!(children.bindings, expected.into_iter().collect::<Vec<_>>(), "{existing:?}");
        }
    }

    /// While nothing new is granted.
    #[test]
    fn a_withheld_binding_keeps_its_role_and_loses_the_subjects_that_left() {
        for (role, live, wanted, repaired_to) in [
            ("edit", vec!["ada@example.com"], vec!["ada@example.com"], None),
            ("growers", vec!["ada@example.com"], vec!["ada@example.com"], None),
            ("edit", vec!["ada@example.com"], vec!["ada@example.com", "bo@example.com"], None),
            ("edit", vec!["ada@example.com", "bo@example.com"], vec!["bo@example.com"], Some("bo@example.com")),
        ] {
            let seen = [Child::Binding(binding(role, &live)).seen()];
            let mut children = Children { bindings: vec![binding("growers", &wanted)], ..Children::default() };
            keep_roles(&mut children, &seen, &missing());
            let changes = diff(&children, &seen, Grant::Withheld);
            assert!(changes.guards.is_empty() && changes.grants.is_empty(), "{changes:?}");
            assert_eq!(changes.withdrawals.len(), usize::from(repaired_to.is_some()), "{changes:?}");
            if let Some(subject) = repaired_to {
                let text = format!("{changes:?}");
                assert!(text.contains("Repair") && text.contains(subject) && !text.contains("ada@"), "{text}");
            }
        }
        // The binding may exist without the label by which it is watched.
        let mut children = Children { bindings: vec![binding("growers", &["ada@example.com"])], ..Children::default() };
        keep_roles(&mut children, &[], &missing());
        assert!(matches!(diff(&children, &[], Grant::Withheld).withdrawals[..], [Change::Cut(..)]));
    }

    #[test]
    fn a_binding_to_the_former_role_loses_only_the_subjects_that_left() {
        for (live, wanted, repaired_to) in [
            (vec!["ada@example.com"], vec!["ada@example.com"], None),
            // The role that the class no longer names gets no new subject.
            (vec!["ada@example.com"], vec!["ada@example.com", "bo@example.com"], None),
            (vec!["ada@example.com", "bo@example.com"], vec!["bo@example.com"], Some(vec!["bo@example.com"])),
        ] {
            let seen = [Child::Binding(binding("edit", &live)).seen()];
            let mut children =
                Children { quota: None, limits: None, network: None, bindings: vec![binding("growers", &wanted)] };
            hold(&mut children, &seen, &missing());
            let changes = diff(&children, &seen, Grant::Full);
            let written: Vec<_> = changes.withdrawals.iter().chain(&changes.grants).collect();
            assert_eq!(written.len(), usize::from(repaired_to.is_some()), "{written:?}");
            if let Some(subjects) = repaired_to {
                let text = format!("{written:?}");
                assert!(
                    text.contains("Repair")
                        && subjects.iter().all(|name| text.contains(name))
                        && !text.contains("ada@"),
                    "{text}"
                );
            }
        }
    }
}
