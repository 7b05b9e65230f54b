//! Objects of a space that are missing or were changed. The operator's own code determines the desired state.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use super::{
    findings::{Finding, listed},
    operator,
    snapshot::Observed,
};
use crate::{
    api::{DeveloperSpace, conditions::types, names},
    desired::{
        Child, ChildKind, Grant, SeenChild, desire,
        diff::{Change, diff},
        resolve,
    },
    plugin::spaces::{is_observed, is_true},
};

pub(super) fn judge(seen: &Observed, _now: DateTime<Utc>) -> Vec<Finding> {
    // The objects of a space that is not ready may be incomplete, and other checks report deletions.
    let is_settled = |space: &&DeveloperSpace| {
        is_observed(space) && is_true(space, types::READY) && space.metadata.deletion_timestamp.is_none() && !seen.is_namespace_going()
    };
    let Some(space) = seen.space.found().filter(is_settled) else { return vec![] };
    wrong(seen, space).map(|what| told(seen, &what)).into_iter().collect()
}

fn told(seen: &Observed, what: &str) -> Finding {
    let (state, commands) = operator::state(seen);
    Finding::problem(format!("{what} The operator corrects this within seconds; if it does not, check the operator. {state}"))
        .mended_by(commands)
}

/// Describes a problem with the namespace or with the objects in it.
fn wrong(seen: &Observed, space: &DeveloperSpace) -> Option<String> {
    let name = space.name_any();
    if seen.namespace.is_absent() {
        return Some(format!("Namespace {name} does not exist: it was deleted, and everything in it is lost."));
    }
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    if let (Some(namespace), Some(recorded)) = (seen.namespace.found(), recorded)
        && namespace.metadata.uid.as_ref() != Some(&recorded.uid)
    {
        let uid = namespace.metadata.uid.as_deref().unwrap_or_default();
        return Some(format!(
            "Namespace {name} is not the namespace of DeveloperSpace {name}: that namespace was deleted, and another one was created (UID \
            {uid} instead of {}).",
            recorded.uid
        ));
    }
    let changed = changed(seen, space);
    (!changed.is_empty()).then(|| format!("In namespace {name}, {}.", listed(&changed)))
}

/// Describes each child that is missing or differs from its desired state.
fn changed(seen: &Observed, space: &DeveloperSpace) -> Vec<String> {
    let is_readable = |child: &Child| match child.kind() {
        ChildKind::Quota => seen.quotas.seen().is_some(),
        ChildKind::Limits => seen.limits.seen().is_some(),
        ChildKind::Network => seen.policies.seen().is_some(),
        ChildKind::Binding => seen.bindings.seen().is_some(),
    };
    let resolved = seen.class_in_force().and_then(|class| resolve(space, &class.name_any(), &class.spec).accepted().ok());
    let Some(resolved) = resolved else {
        // Without the class, only the owner's binding is known to be required.
        let is_missing = seen.bindings.seen().is_some_and(|all| !all.iter().any(|binding| binding.name_any() == names::OWNER_BINDING));
        return if is_missing { vec![missing(ChildKind::Binding, names::OWNER_BINDING)] } else { vec![] };
    };
    let expires_at = space.status.as_ref().and_then(|status| status.expires_at);
    let changes = diff(&desire(space, &resolved, expires_at).children, &there(seen), Grant::Full);
    let told = changes.guards.iter().chain(&changes.withdrawals).chain(&changes.grants).filter_map(|change| match change {
        Change::Create(child) if is_readable(child) => Some(missing(child.kind(), child.name())),
        Change::Repair { child, .. } | Change::Replace { child, .. } if is_readable(child) => {
            Some(format!("{} {} differs from its desired state", child.kind().as_str(), child.name()))
        }
        // An unreadable child is reported by another check, and a superfluous one is harmless until it is removed.
        Change::Create(_)
        | Change::Repair { .. }
        | Change::Replace { .. }
        | Change::Remove { .. }
        | Change::Cut(_)
        | Change::Held { .. } => None,
    });
    told.collect()
}

/// The existing children, as the operator observes them.
fn there(seen: &Observed) -> Vec<SeenChild> {
    let quotas = seen.quotas.all().iter().cloned().map(Child::Quota);
    let limits = seen.limits.all().iter().cloned().map(Child::Limits);
    let policies = seen.policies.all().iter().cloned().map(Child::Network);
    let bindings = seen.bindings.all().iter().cloned().map(Child::Binding);
    quotas.chain(limits).chain(policies).chain(bindings).map(|child| child.seen()).collect()
}

fn missing(kind: ChildKind, name: &str) -> String {
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
        fetched::Look,
        fixtures::{going, lines, now, read, unready, well},
    };

    const MOMENTS: &str = "The operator corrects this within seconds; if it does not, check the operator. The operator is running (2 of 2 \
        replicas are available); see its log for details.";

    fn sentence(seen: &Observed) -> String {
        let told = lines(&judge(seen, now())).concat();
        assert!(told.ends_with("  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20"), "{told}");
        told.split_once(MOMENTS).unwrap().0.trim_end().to_owned()
    }

    #[test]
    fn what_is_missing_is_told_with_what_that_means() {
        let mut seen = well();
        (seen.limits, seen.policies) = (Look::Seen(vec![]), Look::Seen(vec![]));
        let expected = "Problem: In namespace orchid-lab, LimitRange developerspace is missing (pods without requests and limits may be \
            rejected) and NetworkPolicy developerspace-isolation is missing (pods in every namespace can connect).";
        assert_eq!(sentence(&seen), expected);
        let mut seen = well();
        (seen.quotas, seen.bindings) = (Look::Seen(vec![]), Look::Seen(vec![]));
        let expected = "Problem: In namespace orchid-lab, ResourceQuota developerspace is missing (resource usage is not limited), \
            RoleBinding developerspace-owner is missing (the owner has no access) and RoleBinding developerspace-view is missing (members \
            with this role have no access).";
        assert_eq!(sentence(&seen), expected);
    }

    #[test]
    fn what_was_changed_is_told() {
        let mut seen = well();
        let mut quota = seen.quotas.all()[0].clone();
        quota.spec = read(json!({"hard": {"pods": "4000", "requests.cpu": "10"}}));
        seen.quotas = Look::Seen(vec![quota]);
        assert_eq!(sentence(&seen), "Problem: In namespace orchid-lab, ResourceQuota developerspace differs from its desired state.");
    }

    #[test]
    fn namespaces_that_are_gone_or_others() {
        let mut seen = well();
        seen.namespace = Look::Seen(None);
        let expected = "Problem: Namespace orchid-lab does not exist: it was deleted, and everything in it is lost.";
        assert_eq!(sentence(&seen), expected);
        seen.namespace = Look::Seen(Some(read(json!({"metadata": {"name": "orchid-lab", "uid": "ns-8"}}))));
        let expected = "Problem: Namespace orchid-lab is not the namespace of DeveloperSpace orchid-lab: that namespace was deleted, and \
            another one was created (UID ns-8 instead of ns-7).";
        assert_eq!(sentence(&seen), expected);
    }

    #[test]
    fn without_the_class_only_the_owner_is_missed() {
        let mut seen = well();
        (seen.classes, seen.quotas, seen.bindings) = (Look::Needless, Look::Seen(vec![]), Look::Seen(vec![]));
        let expected = "Problem: In namespace orchid-lab, RoleBinding developerspace-owner is missing (the owner has no access).";
        assert_eq!(sentence(&seen), expected);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known_or_not_due() {
        let mut unreadable = well();
        (unreadable.quotas, unreadable.limits, unreadable.policies, unreadable.bindings) =
            (Look::Needless, Look::Needless, Look::Needless, Look::Needless);
        let mut waiting = unready("InvalidSpec", "no");
        waiting.quotas = Look::Seen(vec![]);
        let mut leaving = well();
        going(&mut leaving, "2026-11-24T08:59:50Z", &[]);
        leaving.quotas = Look::Seen(vec![]);
        for seen in std::iter::once(well()).chain([unreadable]).chain([waiting]).chain([leaving]) {
            assert_eq!(judge(&seen, now()), []);
        }
    }
}
