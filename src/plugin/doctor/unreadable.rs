//! Reports objects that could not be read, so that the absence of diagnoses is not mistaken for a healthy space.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    diagnosis::{Diagnosis, Severity, and_list, with_period},
    fetched::Unreadable,
    snapshot::ClusterSnapshot,
};
use crate::{api::conditions::types, plugin::spaces::is_true};

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    let mut forbidden: BTreeMap<(Severity, &str, Option<&str>), Vec<String>> = BTreeMap::new();
    let mut failed = Vec::new();
    for (Unreadable { verb, what, namespace, error }, severity) in unreadable_parts(snapshot) {
        match error {
            None => forbidden.entry((severity, *verb, namespace.as_deref())).or_default().push(what.clone()),
            Some(error) => {
                failed.push(diagnosis(
                    severity,
                    &with_period(&format!("{what}{} could not be read: {error}", in_namespace(namespace.as_deref()))),
                ));
            }
        }
    }
    let diagnoses = forbidden.into_iter().map(|((severity, verb, namespace), what)| {
        let them = if what.len() == 1 && verb == "get" { "it" } else { "them" };
        let sentence = format!(
            "{}{} could not be read: you do not have permission to {verb} {them}.",
            and_list(&what),
            in_namespace(namespace)
        );
        diagnosis(severity, &sentence)
    });
    diagnoses.chain(failed).collect()
}

/// The objects that could not be read and without which the result is incomplete.
pub(super) fn unread_requirements(snapshot: &ClusterSnapshot) -> Vec<String> {
    let needed = unreadable_parts(snapshot).into_iter().filter(|(_, severity)| *severity == Severity::Problem);
    needed.map(|(gap, _)| gap.what.clone()).collect()
}

/// The gaps, and their severities. The operator's Deployment is omitted: few users may read it, and it matters only to
/// other diagnoses, which then report that.
fn unreadable_parts(snapshot: &ClusterSnapshot) -> Vec<(&Unreadable, Severity)> {
    // Without `..`, so that a new field is not forgotten.
    let ClusterSnapshot {
        name: _,
        space,
        spaces,
        classes,
        operator: _,
        namespace,
        quotas,
        limits,
        policies,
        bindings,
        replica_sets,
        stateful_sets,
        jobs,
        pods,
        events,
    } = snapshot;
    let contents = if contents_are_readable(snapshot) { Severity::Problem } else { Severity::Note };
    let all = [
        (space.unreadable(), Severity::Problem),
        (spaces.unreadable(), Severity::Note),
        (classes.unreadable(), Severity::Note),
        (namespace.unreadable(), contents),
        (quotas.unreadable(), contents),
        (limits.unreadable(), Severity::Note),
        (policies.unreadable(), Severity::Note),
        (bindings.unreadable(), Severity::Note),
        (replica_sets.unreadable(), Severity::Note),
        (stateful_sets.unreadable(), Severity::Note),
        (jobs.unreadable(), Severity::Note),
        (pods.unreadable(), contents),
        (events.unreadable(), Severity::Note),
    ];
    // A permission that the caller lacks may be intended. Any other error is not.
    let severity = |gap: &Unreadable, severity| if gap.error.is_some() { Severity::Problem } else { severity };
    all.into_iter().filter_map(|(gap, least)| gap.map(|gap| (gap, severity(gap, least)))).collect()
}

/// Returns true if users of the space can read its namespace, or if that is not known. They can while the space is
/// ready: otherwise the namespace may not exist, and the operator may withhold or remove the bindings.
fn contents_are_readable(snapshot: &ClusterSnapshot) -> bool {
    if snapshot.space.is_absent() {
        return false;
    }
    snapshot.space.object().is_none_or(|space| {
        let has_namespace = space.status.as_ref().is_some_and(|status| status.namespace.is_some());
        let is_ready = is_true(space, types::READY) && !is_true(space, types::EXPIRED);
        has_namespace && is_ready && space.metadata.deletion_timestamp.is_none()
    })
}

fn diagnosis(severity: Severity, sentence: &str) -> Diagnosis {
    if severity == Severity::Problem { Diagnosis::problem(sentence) } else { Diagnosis::note(sentence) }
}

fn in_namespace(namespace: Option<&str>) -> String {
    namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::DeveloperSpace,
        plugin::doctor::{
            diagnosis::report,
            fetched::Fetched,
            fixtures::{healthy, healthy_with, lines, now, parse, set_unready},
        },
    };

    fn gap<T>(verb: &'static str, what: &str, namespace: Option<&str>, error: Option<&str>) -> Fetched<T> {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Fetched::Unreadable(Unreadable {
            verb,
            what: what.to_owned(),
            namespace: owned(namespace),
            error: owned(error),
        })
    }

    #[test]
    fn unreadable_objects_with_one_cause_are_reported_together() {
        let mut snapshot = healthy();
        assert_eq!(diagnose(&snapshot, now()), []);
        snapshot.namespace = gap("get", "Namespace orchid-lab", None, None);
        snapshot.operator = gap("get", "Deployment developerspace-operator", Some("developerspace-system"), None);
        snapshot.limits = gap("list", "limitranges", Some("orchid-lab"), None);
        snapshot.bindings = gap("list", "rolebindings", Some("orchid-lab"), None);
        snapshot.pods = gap("list", "pods", Some("orchid-lab"), None);
        snapshot.events = gap("list", "events", Some("orchid-lab"), Some("etcdserver: request timed out"));
        let expected = [
            "Problem: Namespace orchid-lab could not be read: you do not have permission to get it.",
            "Problem: pods in namespace orchid-lab could not be read: you do not have permission to list them.",
            "Note: limitranges and rolebindings in namespace orchid-lab could not be read: you do not have permission to list them.",
            "Problem: events in namespace orchid-lab could not be read: etcdserver: request timed out.",
        ];
        assert_eq!(lines(&diagnose(&snapshot, now())), expected);
        assert_eq!(unread_requirements(&snapshot), ["Namespace orchid-lab", "pods", "events"]);
    }

    #[test]
    fn a_space_that_cannot_be_read_is_not_reported_as_healthy() {
        let mut snapshot = healthy();
        snapshot.space = gap("get", "DeveloperSpace orchid-lab", None, None);
        snapshot.namespace = gap("get", "Namespace orchid-lab", None, None);
        let expected = "PROBLEM: DeveloperSpace orchid-lab and Namespace orchid-lab could not be read: you do not have permission to get \
            them.";
        let told = report("orchid-lab", &crate::plugin::doctor::diagnose(&snapshot, now()));
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(unread_requirements(&snapshot), ["DeveloperSpace orchid-lab", "Namespace orchid-lab"]);
    }

    #[test]
    fn contents_that_no_user_of_the_space_can_read_are_a_note() {
        let expired = |space: &mut DeveloperSpace| {
            let condition = json!({
                "type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z",
            });
            space.status.as_mut().unwrap().conditions.push(parse(condition));
        };
        let changes: [fn(&mut DeveloperSpace); 4] = [
            expired,
            |space| set_unready(space, "RoleNotAllowed", "role edti does not exist"),
            |space| space.metadata.deletion_timestamp = parse("2026-11-24T08:00:00Z".into()),
            |space| space.status.as_mut().unwrap().namespace = None,
        ];
        for change in changes {
            let mut snapshot = healthy_with(change);
            snapshot.namespace = gap("get", "Namespace orchid-lab", None, None);
            let expected = ["Note: Namespace orchid-lab could not be read: you do not have permission to get it."];
            assert_eq!(lines(&diagnose(&snapshot, now())), expected);
            assert_eq!(unread_requirements(&snapshot), Vec::<String>::new());
        }
    }
}
