//! Reports objects that could not be read, so that the absence of findings is not mistaken for a healthy space.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    fetched::Unreadable,
    findings::{Finding, Severity, ended, listed},
    snapshot::Observed,
};
use crate::{api::conditions::types, plugin::spaces::is_true};

pub(super) fn judge(seen: &Observed, _now: DateTime<Utc>) -> Vec<Finding> {
    let mut forbidden: BTreeMap<(Severity, &str, Option<&str>), Vec<String>> = BTreeMap::new();
    let mut failed = Vec::new();
    for (Unreadable { verb, what, namespace, error }, severity) in gaps(seen) {
        match error {
            None => forbidden.entry((severity, *verb, namespace.as_deref())).or_default().push(what.clone()),
            Some(error) => {
                failed.push(finding(severity, &ended(&format!("{what}{} could not be read: {error}", place(namespace.as_deref())))));
            }
        }
    }
    let findings = forbidden.into_iter().map(|((severity, verb, namespace), what)| {
        let them = if what.len() == 1 && verb == "get" { "it" } else { "them" };
        let sentence = format!("{}{} could not be read: you do not have permission to {verb} {them}.", listed(&what), place(namespace));
        finding(severity, &sentence)
    });
    findings.chain(failed).collect()
}

/// The objects that could not be read and without which the result is incomplete.
pub(super) fn unread(seen: &Observed) -> Vec<String> {
    let needed = gaps(seen).into_iter().filter(|(_, severity)| *severity == Severity::Problem);
    needed.map(|(gap, _)| gap.what.clone()).collect()
}

/// The gaps, and their severities. The operator's Deployment is omitted: few users may read it, and it matters only to other findings, which then
/// report that.
fn gaps(seen: &Observed) -> Vec<(&Unreadable, Severity)> {
    let contents = if has_contents(seen) { Severity::Problem } else { Severity::Note };
    let all = [
        (seen.space.gap(), Severity::Problem),
        (seen.spaces.gap(), Severity::Note),
        (seen.classes.gap(), Severity::Note),
        (seen.namespace.gap(), contents),
        (seen.quotas.gap(), contents),
        (seen.limits.gap(), Severity::Note),
        (seen.policies.gap(), Severity::Note),
        (seen.bindings.gap(), Severity::Note),
        (seen.replica_sets.gap(), Severity::Note),
        (seen.stateful_sets.gap(), Severity::Note),
        (seen.jobs.gap(), Severity::Note),
        (seen.pods.gap(), contents),
        (seen.events.gap(), Severity::Note),
    ];
    // A permission that the caller lacks may be intended. Any other error is not.
    let severity = |gap: &Unreadable, severity| if gap.error.is_some() { Severity::Problem } else { severity };
    all.into_iter().filter_map(|(gap, least)| gap.map(|gap| (gap, severity(gap, least)))).collect()
}

/// Returns true if users of the space can read its namespace, or if that is not known. They can while the space is ready: otherwise the namespace may
/// not exist, and the operator may withhold or remove the bindings.
fn has_contents(seen: &Observed) -> bool {
    if seen.space.is_absent() {
        return false;
    }
    seen.space.found().is_none_or(|space| {
        let has_namespace = space.status.as_ref().is_some_and(|status| status.namespace.is_some());
        let is_ready = is_true(space, types::READY) && !is_true(space, types::EXPIRED);
        has_namespace && is_ready && space.metadata.deletion_timestamp.is_none()
    })
}

fn finding(severity: Severity, sentence: &str) -> Finding {
    if severity == Severity::Problem { Finding::problem(sentence) } else { Finding::note(sentence) }
}

fn place(namespace: Option<&str>) -> String {
    namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::DeveloperSpace,
        plugin::doctor::{
            fetched::Look,
            findings::text,
            fixtures::{lines, now, read, told, well, with},
        },
    };

    fn gap<T>(verb: &'static str, what: &str, namespace: Option<&str>, error: Option<&str>) -> Look<T> {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Look::Unreadable(Unreadable { verb, what: what.to_owned(), namespace: owned(namespace), error: owned(error) })
    }

    #[test]
    fn gaps_of_one_cause_are_told_together() {
        let mut seen = well();
        assert_eq!(judge(&seen, now()), []);
        seen.namespace = gap("get", "Namespace orchid-lab", None, None);
        seen.operator = gap("get", "Deployment developerspace-operator", Some("developerspace-system"), None);
        seen.limits = gap("list", "limitranges", Some("orchid-lab"), None);
        seen.bindings = gap("list", "rolebindings", Some("orchid-lab"), None);
        seen.pods = gap("list", "pods", Some("orchid-lab"), None);
        seen.events = gap("list", "events", Some("orchid-lab"), Some("etcdserver: request timed out"));
        let expected = [
            "Problem: Namespace orchid-lab could not be read: you do not have permission to get it.",
            "Problem: pods in namespace orchid-lab could not be read: you do not have permission to list them.",
            "Note: limitranges and rolebindings in namespace orchid-lab could not be read: you do not have permission to list them.",
            "Problem: events in namespace orchid-lab could not be read: etcdserver: request timed out.",
        ];
        assert_eq!(lines(&judge(&seen, now())), expected);
        assert_eq!(unread(&seen), ["Namespace orchid-lab", "pods", "events"]);
    }

    #[test]
    fn a_space_that_cannot_be_read_is_not_reported_as_well() {
        let mut seen = well();
        seen.space = gap("get", "DeveloperSpace orchid-lab", None, None);
        seen.namespace = gap("get", "Namespace orchid-lab", None, None);
        let expected = "PROBLEM: DeveloperSpace orchid-lab and Namespace orchid-lab could not be read: you do not have permission to get \
            them.";
        let told = text("orchid-lab", &crate::plugin::doctor::judge(&seen, now()));
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(unread(&seen), ["DeveloperSpace orchid-lab", "Namespace orchid-lab"]);
    }

    #[test]
    fn contents_that_no_user_of_the_space_can_read_are_a_note() {
        let expired = |space: &mut DeveloperSpace| {
            let condition = json!({
                "type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z",
            });
            space.status.as_mut().unwrap().conditions.push(read(condition));
        };
        let changes: [fn(&mut DeveloperSpace); 4] = [
            expired,
            |space| told(space, "RoleNotAllowed", "role edti does not exist"),
            |space| space.metadata.deletion_timestamp = read("2026-11-24T08:00:00Z".into()),
            |space| space.status.as_mut().unwrap().namespace = None,
        ];
        for change in changes {
            let mut seen = with(change);
            seen.namespace = gap("get", "Namespace orchid-lab", None, None);
            let expected = ["Note: Namespace orchid-lab could not be read: you do not have permission to get it."];
            assert_eq!(lines(&judge(&seen, now())), expected);
            assert_eq!(unread(&seen), Vec::<String>::new());
        }
    }
}
