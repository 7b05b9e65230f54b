//! Reports objects that could not be read, so that the absence of findings is not mistaken for a healthy space.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    findings::{Finding, ended, listed},
    looks::{Observed, Unreadable},
};

/// The operator's Deployment is omitted: few users may read it, and it matters only to other findings, which then report that.
pub(super) fn judge(seen: &Observed, _now: DateTime<Utc>) -> Vec<Finding> {
    let gaps = [
        seen.space.gap(),
        seen.spaces.gap(),
        seen.classes.gap(),
        seen.namespace.gap(),
        seen.quotas.gap(),
        seen.limits.gap(),
        seen.policies.gap(),
        seen.bindings.gap(),
        seen.replica_sets.gap(),
        seen.stateful_sets.gap(),
        seen.jobs.gap(),
        seen.pods.gap(),
        seen.events.gap(),
    ];
    let mut forbidden: BTreeMap<(&str, Option<&str>), Vec<String>> = BTreeMap::new();
    let mut failed = Vec::new();
    for Unreadable { verb, what, namespace, error } in gaps.into_iter().flatten() {
        match error {
            None => forbidden.entry((*verb, namespace.as_deref())).or_default().push(what.clone()),
            Some(error) => {
                failed.push(Finding::note(ended(&format!("{what}{} could not be read: {error}", place(namespace.as_deref())))));
            }
        }
    }
    let told = forbidden.into_iter().map(|((verb, namespace), what)| {
        let them = if what.len() == 1 && verb == "get" { "it" } else { "them" };
        Finding::note(format!("{}{} could not be read: you do not have permission to {verb} {them}.", listed(&what), place(namespace)))
    });
    told.chain(failed).collect()
}

fn place(namespace: Option<&str>) -> String {
    namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fixtures::{lines, now, well},
        looks::Look,
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
        seen.bindings = gap("list", "rolebindings", Some("orchid-lab"), None);
        seen.pods = gap("list", "pods", Some("orchid-lab"), None);
        seen.events = gap("list", "events", Some("orchid-lab"), Some("etcdserver: request timed out"));
        let expected = [
            "Note: Namespace orchid-lab could not be read: you do not have permission to get it.",
            "Note: rolebindings and pods in namespace orchid-lab could not be read: you do not have permission to list them.",
            "Note: events in namespace orchid-lab could not be read: etcdserver: request timed out.",
        ];
        assert_eq!(lines(&judge(&seen, now())), expected);
    }
}
