//! Access to a namespace: the changes to its `RoleBindings`.
//!
//! A change that removes access never waits. A change that gives access waits until the [`AccessGate`] is open.
//! Subjects are compared by hash, so that no binding has to be read.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{
    change::Change,
    child::{Child, ChildKind, is_operator_name},
    fingerprint::Fingerprint,
    hash::hash,
    quota::Hard,
    role_bindings::subject_key,
    seen_child::SeenChild,
};

/// The permission to give subjects access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessGate {
    /// Access may be given: the guards are in place.
    Open,
    /// The guards come first: removals are written with them, additions wait.
    Waiting,
    /// No new access: no binding is created, and none gets a new subject.
    Closed,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BindingChanges {
    /// Changes that give no subject more access.
    pub withdrawals: Vec<Change>,
    /// Changes that give access.
    pub grants: Vec<Change>,
}

/// The changes that turn the bindings among `seen` into those `wanted`, as far as `gate` allows.
pub(crate) fn changes(wanted: &[RoleBinding], seen: &[SeenChild], gate: AccessGate) -> BindingChanges {
    let mut access = BindingChanges::default();
    for binding in wanted {
        match find(seen, binding) {
            Some(existing) => existing_binding(binding, existing, gate, &mut access),
            None if gate == AccessGate::Closed => {
                access.withdrawals.push(Change::Cut(binding.clone().into(), Hard::new()));
            }
            None => access.grants.push(Change::Create(binding.clone().into())),
        }
    }
    let is_wanted = |child: &&SeenChild| wanted.iter().any(|binding| is_named(child, binding));
    let unwanted =
        seen.iter().filter(|child| child.kind == ChildKind::Binding && is_operator_name(child.kind, &child.name));
    access.withdrawals.extend(unwanted.filter(|child| !is_wanted(child)).filter_map(remove));
    access
}

/// The removals from an existing binding while the gate is closed.
pub(crate) fn narrow(wanted: &RoleBinding, existing: &SeenChild) -> Option<Change> {
    let mut access = BindingChanges::default();
    existing_binding(wanted, existing, AccessGate::Closed, &mut access);
    access.withdrawals.pop()
}

fn existing_binding(wanted: &RoleBinding, existing: &SeenChild, gate: AccessGate, access: &mut BindingChanges) {
    if Fingerprint::from(wanted) == existing.fingerprint {
        return;
    }
    let kept = kept(wanted, existing);
    let joins = count(&kept) < count(wanted) && gate != AccessGate::Closed;
    if existing.going {
        return terminating(&kept, existing, joins || !has_role(wanted, existing), access);
    }
    let uid = &existing.uid;
    let leaves = count(&kept) < existing.subjects.len();
    let repair = |binding: &RoleBinding| Change::Repair { uid: uid.clone(), child: binding.clone().into() };
    if count(&kept) == 0 && !joins {
        access.withdrawals.extend(remove(existing));
    } else if has_role(wanted, existing) {
        // Not together with an addition: if the API server refused that, the subject that leaves would keep its access.
        if leaves || (!joins && differs(&kept, existing)) {
            access.withdrawals.push(repair(&kept));
        }
        if joins {
            access.grants.push(repair(wanted));
        }
    } else if count(&kept) == 0 {
        access.withdrawals.extend(remove(existing));
        access.grants.push(Change::Create(wanted.clone().into()));
    } else {
        access.withdrawals.push(Change::Replace { uid: uid.clone(), child: kept.into() });
    }
}

/// The changes of a terminating binding: it loses subjects, gets none, and is created again once it has been deleted.
fn terminating(kept: &RoleBinding, existing: &SeenChild, blocks_a_change: bool, access: &mut BindingChanges) {
    if !has_role(kept, existing) || count(kept) == 0 {
        access.withdrawals.extend(empty(existing));
    } else if count(kept) < existing.subjects.len() {
        access.withdrawals.push(Change::Repair { uid: existing.uid.clone(), child: kept.clone().into() });
    }
    if blocks_a_change {
        access.withdrawals.push(Change::Held { kind: existing.kind, name: existing.name.to_string() });
    }
}

/// Returns true if the binding differs. One that is wanted without labels is compared by its subjects alone.
fn differs(wanted: &RoleBinding, existing: &SeenChild) -> bool {
    wanted.metadata.labels.is_some() && Fingerprint::from(wanted).content != existing.fingerprint.content
}

/// `wanted` with those of its subjects that the existing binding has.
pub(super) fn kept(wanted: &RoleBinding, existing: &SeenChild) -> RoleBinding {
    let has = existing.subjects.iter().collect::<BTreeSet<_>>();
    let subjects =
        wanted.subjects.iter().flatten().filter(|subject| has.contains(&hash(&subject_key(subject)))).cloned();
    RoleBinding { subjects: Some(subjects.collect()), ..wanted.clone() }
}

/// Returns true if the role is the wanted one; an empty name accepts the current role.
fn has_role(wanted: &RoleBinding, existing: &SeenChild) -> bool {
    wanted.role_ref.name.is_empty() || Fingerprint::from(wanted).identity == existing.fingerprint.identity
}

/// The removal of a binding. One that is terminating is emptied instead: until its finalizer is removed, its subjects
/// have their access.
fn remove(existing: &SeenChild) -> Option<Change> {
    let SeenChild { kind, name, uid, .. } = existing;
    if existing.going {
        empty(existing)
    } else {
        Some(Change::Remove { kind: *kind, name: name.to_string(), uid: uid.clone() })
    }
}

fn empty(existing: &SeenChild) -> Option<Change> {
    let change = || Change::Repair { uid: existing.uid.clone(), child: emptied(&existing.name) };
    (!existing.subjects.is_empty()).then(change)
}

/// The binding of that name without subjects; labels and role are left unchanged.
pub(crate) fn emptied(name: &str) -> Child {
    let mut binding = RoleBinding { subjects: Some(Vec::new()), ..RoleBinding::default() };
    binding.metadata.name = Some(name.to_owned());
    binding.into()
}

fn count(binding: &RoleBinding) -> usize {
    binding.subjects.as_ref().map_or(0, Vec::len)
}

pub(super) fn find<'a>(seen: &'a [SeenChild], binding: &RoleBinding) -> Option<&'a SeenChild> {
    seen.iter().find(|child| is_named(child, binding))
}

fn is_named(child: &SeenChild, binding: &RoleBinding) -> bool {
    child.kind == ChildKind::Binding && binding.metadata.name.as_deref() == Some(&*child.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{api::excerpt::MAX_SUBJECTS, desired::binding_changes::*};

    fn binding(name: &str, role: &str, users: &[&str]) -> RoleBinding {
        let subjects: Vec<_> = users
            .iter()
            .map(|user| json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": {"app.kubernetes.io/managed-by": "developerspace-operator"}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        }))
        .unwrap()
    }

    fn seen(binding: RoleBinding) -> SeenChild {
        Child::from(binding).seen()
    }

    fn going(binding: RoleBinding) -> SeenChild {
        SeenChild { going: true, ..seen(binding) }
    }

    /// A short form of each change: `repair view [lea max]`.
    fn short(changes: &[Change]) -> Vec<String> {
        let users = |child: &Child| {
            let Child::Binding(binding) = child else { panic!("{child:?}") };
            let names: Vec<_> = binding.subjects.iter().flatten().map(|subject| subject.name.as_str()).collect();
            format!("{} [{}]", child.name().trim_start_matches("developerspace-"), names.join(" "))
        };
        let one = |change: &Change| match change {
            Change::Create(child) => format!("create {}", users(child)),
            Change::Repair { child, .. } => format!("repair {}", users(child)),
            Change::Replace { child, .. } => format!("replace {}", users(child)),
            Change::Remove { name, .. } => format!("remove {}", name.trim_start_matches("developerspace-")),
            Change::Cut(child, _) => format!("cut {}", users(child)),
            Change::Held { name, .. } => format!("held {}", name.trim_start_matches("developerspace-")),
        };
        changes.iter().map(one).collect()
    }

    /// Name, wanted, seen, and (withdrawals, grants) with the gate open, waiting and closed.
    type Case = (&'static str, RoleBinding, Vec<SeenChild>, [(&'static [&'static str], &'static [&'static str]); 3]);

    fn view(users: &[&str]) -> RoleBinding {
        binding("developerspace-view", "view", users)
    }

    fn bent(users: &[&str]) -> RoleBinding {
        binding("developerspace-view", "admin", users)
    }

    const LEA: &[&str] = &["lea"];
    const MAX: &[&str] = &["max"];
    const BOTH: &[&str] = &["lea", "max"];

    fn alive() -> Vec<Case> {
        vec![
            (
                "nothing there",
                view(LEA),
                vec![],
                [(&[], &["create view [lea]"]), (&[], &["create view [lea]"]), (&["cut view [lea]"], &[])],
            ),
            ("as wanted", view(LEA), vec![seen(view(LEA))], [(&[], &[]); 3]),
            (
                "one joins",
                view(BOTH),
                vec![seen(view(LEA))],
                [(&[], &["repair view [lea max]"]), (&[], &["repair view [lea max]"]), (&[], &[])],
            ),
            ("one leaves", view(LEA), vec![seen(view(BOTH))], [(&["repair view [lea]"], &[]); 3]),
            (
                "one for another",
                view(LEA),
                vec![seen(view(MAX))],
                [
                    (&["repair view []"], &["repair view [lea]"]),
                    (&["repair view []"], &["repair view [lea]"]),
                    (&["remove view"], &[]),
                ],
            ),
            ("another role", view(LEA), vec![seen(bent(BOTH))], [(&["replace view [lea]"], &[]); 3]),
            ("another role and one joins", view(BOTH), vec![seen(bent(LEA))], [(&["replace view [lea]"], &[]); 3]),
            (
                "another role for another",
                view(LEA),
                vec![seen(bent(MAX))],
                [
                    (&["remove view"], &["create view [lea]"]),
                    (&["remove view"], &["create view [lea]"]),
                    (&["remove view"], &[]),
                ],
            ),
            (
                "not wanted",
                view(LEA),
                vec![seen(view(LEA)), seen(binding("developerspace-edit", "edit", MAX))],
                [(&["remove edit"], &[]); 3],
            ),
            ("somebody's", view(LEA), vec![seen(view(LEA)), seen(binding("their-edit", "edit", MAX))], [(&[], &[]); 3]),
        ]
    }

    /// Bindings that are terminating and that a finalizer holds.
    fn held() -> Vec<Case> {
        vec![
            ("another role, held", view(LEA), vec![going(bent(LEA))], [(&["repair view []", "held view"], &[]); 3]),
            ("another role, held and empty", view(LEA), vec![going(bent(&[]))], [(&["held view"], &[]); 3]),
            (
                "held, one leaves and one joins",
                view(BOTH),
                vec![going(view(&["lea", "kim"]))],
                [
                    (&["repair view [lea]", "held view"], &[]),
                    (&["repair view [lea]", "held view"], &[]),
                    (&["repair view [lea]"], &[]),
                ],
            ),
            (
                "not wanted and held",
                view(LEA),
                vec![seen(view(LEA)), going(binding("developerspace-edit", "edit", MAX))],
                [(&["repair edit []"], &[]); 3],
            ),
            (
                "not wanted, held and empty",
                view(LEA),
                vec![seen(view(LEA)), going(binding("developerspace-edit", "edit", &[]))],
                [(&[], &[]); 3],
            ),
        ]
    }

    #[test]
    fn removals_of_access_never_wait_and_grants_wait_for_the_gate() {
        let cases = alive().into_iter().chain(held());
        for (case, wanted, seen, expected) in cases {
            for (gate, (withdrawals, grants)) in
                [AccessGate::Open, AccessGate::Waiting, AccessGate::Closed].into_iter().zip(expected)
            {
                let access = changes(std::slice::from_ref(&wanted), &seen, gate);
                assert_eq!(
                    (short(&access.withdrawals), short(&access.grants)),
                    (
                        withdrawals.iter().map(ToString::to_string).collect(),
                        grants.iter().map(ToString::to_string).collect(),
                    ),
                    "{case}, {gate:?}"
                );
            }
        }
    }

    #[test]
    fn a_binding_with_too_many_subjects_is_reduced_to_the_wanted_ones() {
        let crowd: Vec<String> = (0..30_000).map(|number| format!("user-{number}")).collect();
        let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
        let crowded = seen(binding("developerspace-view", "view", &crowd));
        assert_eq!(crowded.subjects.len(), MAX_SUBJECTS);
        let access = changes(&[view(&["lea", "user-7", "user-29999"])], &[crowded], AccessGate::Open);
        assert_eq!(short(&access.withdrawals), ["repair view [user-7]"]);
        assert_eq!(short(&access.grants), ["repair view [lea user-7 user-29999]"]);
    }

    #[test]
    fn without_a_class_bindings_lose_only_subjects_that_the_spec_does_not_name() {
        let spec = serde_json::from_value(json!({
            "owner": {"kind": "User", "name": "ada"},
            "members": [{"kind": "User", "name": "lea", "role": "view"}],
        }))
        .unwrap();
        let seen = [
            seen(binding("developerspace-owner", "whatever", &["ada", "eve"])),
            seen(binding("developerspace-view", "view", &["lea"])),
            seen(binding("developerspace-edit", "edit", &["lea"])),
        ];
        let access = changes(&crate::desired::role_bindings::named(&spec), &seen, AccessGate::Closed);
        assert_eq!(short(&access.withdrawals), ["repair owner [ada]", "remove edit"]);
        assert_eq!(access.grants, []);
    }
}
