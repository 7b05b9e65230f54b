//! Objects of a space that are missing or were changed. The operator's own code determines the desired state.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use super::{
    diagnosis::{Diagnosis, and_list},
    operator,
    snapshot::ClusterSnapshot,
};
use crate::{
    api::{DeveloperSpace, conditions::types, names},
    desired::{Child, ChildKind, Grant, SeenChild, change::Change, desire, diff::diff, resolve},
    plugin::spaces::{is_observed, is_true},
};

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    // The objects of a space that is not ready may be incomplete, and other checks report deletions.
    let is_settled = |space: &&DeveloperSpace| {
        is_observed(space)
            && is_true(space, types::READY)
            && space.metadata.deletion_timestamp.is_none()
            && !snapshot.is_namespace_terminating()
    };
    let Some(space) = snapshot.space.object().filter(is_settled) else { return vec![] };
    deviation(snapshot, space).map(|what| diagnosis(snapshot, &what)).into_iter().collect()
}

fn diagnosis(snapshot: &ClusterSnapshot, what: &str) -> Diagnosis {
    let (state, commands) = operator::state(snapshot);
    Diagnosis::problem(format!(
        "{what} The operator corrects this within seconds; if it does not, check the operator. {state}"
    ))
    .with_commands(commands)
}

/// Describes a problem with the namespace or with the objects in it.
fn deviation(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Option<String> {
    let name = space.name_any();
    if snapshot.namespace.is_absent() {
        return Some(format!("Namespace {name} does not exist: it was deleted, and everything in it is lost."));
    }
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    if let (Some(namespace), Some(recorded)) = (snapshot.namespace.object(), recorded)
        && namespace.metadata.uid.as_ref() != Some(&recorded.uid)
    {
        let uid = namespace.metadata.uid.as_deref().unwrap_or_default();
        return Some(format!(
            "Namespace {name} is not the namespace of DeveloperSpace {name}: that namespace was deleted, and another one was created (UID \
            {uid} instead of {}).",
            recorded.uid
        ));
    }
    let changed = changed_children(snapshot, space);
    (!changed.is_empty()).then(|| format!("In namespace {name}, {}.", and_list(&changed)))
}

/// Describes each child that is missing or differs from its desired state.
fn changed_children(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Vec<String> {
    let is_readable = |child: &Child| match child.kind() {
        ChildKind::Quota => snapshot.quotas.value().is_some(),
        ChildKind::Limits => snapshot.limits.value().is_some(),
        ChildKind::Network => snapshot.policies.value().is_some(),
        ChildKind::Binding => snapshot.bindings.value().is_some(),
    };
    let resolved =
        snapshot.class_in_force().and_then(|class| resolve(space, &class.name_any(), &class.spec).accepted().ok());
    let Some(resolved) = resolved else {
        // Without the class, only the owner's binding is known to be required.
        let is_missing = snapshot
            .bindings
            .value()
            .is_some_and(|all| !all.iter().any(|binding| binding.name_any() == names::OWNER_BINDING));
        return if is_missing { vec![missing_child(ChildKind::Binding, names::OWNER_BINDING)] } else { vec![] };
    };
    let expires_at = space.status.as_ref().and_then(|status| status.expires_at);
    let changes = diff(&desire(space, &resolved, expires_at).children, &seen_children(snapshot), Grant::Full);
    let deviations =
        changes.guards.iter().chain(&changes.withdrawals).chain(&changes.grants).filter_map(|change| match change {
            Change::Create(child) if is_readable(child) => Some(missing_child(child.kind(), child.name())),
            Change::Repair { child, .. } | Change::Replace { child, .. } if is_readable(child) => {
                Some(format!("{} {} differs from its desired state", child.kind().as_str(), child.name()))
            }
            // An unreadable child is reported by another check, and a superfluous one is harmless until it is removed.
            Change::Create(_)
            | Change::Repair { .. }
            | Change::Replace { .. }
            | Change::Remove { .. }
            | Change::Cut(..)
            | Change::Held { .. } => None,
        });
    deviations.collect()
}

/// The existing children, as the operator observes them.
fn seen_children(snapshot: &ClusterSnapshot) -> Vec<SeenChild> {
    let quotas = snapshot.quotas.items().iter().cloned().map(Child::Quota);
    let limits = snapshot.limits.items().iter().cloned().map(Child::Limits);
    let policies = snapshot.policies.items().iter().cloned().map(Child::Network);
    let bindings = snapshot.bindings.items().iter().cloned().map(Child::Binding);
    quotas.chain(limits).chain(policies).chain(bindings).map(|child| child.seen()).collect()
}

fn missing_child(kind: ChildKind, name: &str) -> String {
    let so = match kind {
        ChildKind::Quota => "resource usage is not limited",
        ChildKind::Limits => "pods without requests and limits may be rejected",
        ChildKind::Network => "pods in every namespace can connect",
        ChildKind::Binding if name == names::OWNER_BINDING => "the owner has no access",
        ChildKind::Binding => "members with this role have no access",
    };
    format!("{} {name} is missing ({so})", kind.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, lines, now, parse, set_terminating, unready},
    };

    const MOMENTS: &str = "The operator corrects this within seconds; if it does not, check the operator. The operator is running (2 of 2 \
        replicas are available); see its log for details.";

    fn sentence(snapshot: &ClusterSnapshot) -> String {
        let told = lines(&diagnose(snapshot, now())).concat();
        assert!(
            told.ends_with("  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20"),
            "{told}"
        );
        told.split_once(MOMENTS).unwrap().0.trim_end().to_owned()
    }

    #[test]
    fn missing_children_are_reported_with_their_consequences() {
        let mut snapshot = healthy();
        (snapshot.limits, snapshot.policies) = (Fetched::Found(vec![]), Fetched::Found(vec![]));
        let expected = "Problem: In namespace orchid-lab, LimitRange developerspace is missing (pods without requests and limits may be \
            rejected) and NetworkPolicy developerspace-isolation is missing (pods in every namespace can connect).";
        assert_eq!(sentence(&snapshot), expected);
        let mut snapshot = healthy();
        (snapshot.quotas, snapshot.bindings) = (Fetched::Found(vec![]), Fetched::Found(vec![]));
        let expected = "Problem: In namespace orchid-lab, ResourceQuota developerspace is missing (resource usage is not limited), \
            RoleBinding developerspace-owner is missing (the owner has no access) and RoleBinding developerspace-view is missing (members \
            with this role have no access).";
        assert_eq!(sentence(&snapshot), expected);
    }

    #[test]
    fn a_changed_child_is_reported() {
        let mut snapshot = healthy();
        let mut quota = snapshot.quotas.items()[0].clone();
        quota.spec = parse(json!({"hard": {"pods": "4000", "requests.cpu": "10"}}));
        snapshot.quotas = Fetched::Found(vec![quota]);
        assert_eq!(
            sentence(&snapshot),
            "Problem: In namespace orchid-lab, ResourceQuota developerspace differs from its desired state."
        );
    }

    #[test]
    fn a_missing_or_replaced_namespace_is_a_problem() {
        let mut snapshot = healthy();
        snapshot.namespace = Fetched::Found(None);
        let expected = "Problem: Namespace orchid-lab does not exist: it was deleted, and everything in it is lost.";
        assert_eq!(sentence(&snapshot), expected);
        snapshot.namespace = Fetched::Found(Some(parse(json!({"metadata": {"name": "orchid-lab", "uid": "ns-8"}}))));
        let expected = "Problem: Namespace orchid-lab is not the namespace of DeveloperSpace orchid-lab: that namespace was deleted, and \
            another one was created (UID ns-8 instead of ns-7).";
        assert_eq!(sentence(&snapshot), expected);
    }

    #[test]
    fn without_the_class_only_the_owner_binding_is_required() {
        let mut snapshot = healthy();
        (snapshot.classes, snapshot.quotas, snapshot.bindings) =
            (Fetched::NotNeeded, Fetched::Found(vec![]), Fetched::Found(vec![]));
        let expected =
            "Problem: In namespace orchid-lab, RoleBinding developerspace-owner is missing (the owner has no access).";
        assert_eq!(sentence(&snapshot), expected);
    }

    #[test]
    fn children_that_are_unreadable_or_not_expected_are_not_reported() {
        let mut unreadable = healthy();
        (unreadable.quotas, unreadable.limits, unreadable.policies, unreadable.bindings) =
            (Fetched::NotNeeded, Fetched::NotNeeded, Fetched::NotNeeded, Fetched::NotNeeded);
        let mut waiting = unready("InvalidSpec", "no");
        waiting.quotas = Fetched::Found(vec![]);
        let mut leaving = healthy();
        set_terminating(&mut leaving, "2026-11-24T08:59:50Z", &[]);
        leaving.quotas = Fetched::Found(vec![]);
        for snapshot in std::iter::once(healthy()).chain([unreadable]).chain([waiting]).chain([leaving]) {
            assert_eq!(diagnose(&snapshot, now()), []);
        }
    }
}
