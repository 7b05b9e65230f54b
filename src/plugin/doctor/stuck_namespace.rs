//! Explains what blocks the deletion of a terminating namespace.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    diagnosis::{Diagnosis, and_list, with_period},
    snapshot::ClusterSnapshot,
    terminating::DELETION_LIMIT,
};
use crate::{
    api::time::from_k8s,
    plugin::{format, namespace_finalizers::namespace_finalizers},
};

/// The time allowed for a finalizer of the Namespace if its controller is running.
const FINALIZER_LIMIT: TimeDelta = TimeDelta::seconds(10);

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    snapshot.namespace.object().map(|namespace| diagnoses_of(namespace, now)).unwrap_or_default()
}

fn diagnoses_of(namespace: &Namespace, now: DateTime<Utc>) -> Vec<Diagnosis> {
    let name = namespace.name_any();
    let Some(since) = namespace.metadata.deletion_timestamp.as_ref().and_then(from_k8s) else { return vec![] };
    let age = now - since;
    let message = |type_: &str| {
        let mut conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let found = conditions.find(|condition| condition.type_ == type_ && condition.status == "True")?;
        Some(found.message.as_deref().unwrap_or_default())
    };
    let discovery =
        message("NamespaceDeletionDiscoveryFailure").or_else(|| message("NamespaceDeletionGroupVersionParsingFailure"));
    let mut diagnoses: Vec<Diagnosis> = discovery.map(|message| unavailable_apis(&name, message)).into_iter().collect();
    if age >= DELETION_LIMIT {
        diagnoses.extend(content_diagnosis(
            &name,
            message("NamespaceContentRemaining"),
            message("NamespaceFinalizersRemaining"),
        ));
        let failure = message("NamespaceDeletionContentFailure");
        diagnoses.extend(failure.map(|message| {
            let sentence = with_period(&format!(
                "Namespace {name} is stuck in Terminating, because the API server could not delete everything in it: {message}"
            ));
            Diagnosis::problem(format!("{sentence} Kubernetes retries automatically."))
                .with_commands([format!("kubectl get namespace {name} -o yaml")])
        }));
    }
    if age >= FINALIZER_LIMIT {
        diagnoses.extend(finalizer_diagnosis(namespace));
    }
    if diagnoses.is_empty() {
        let lead = format!("Namespace {name} has been terminating for {}", format::short_duration(age));
        let show = format!("kubectl get namespace {name} -o yaml");
        diagnoses.push(if age < DELETION_LIMIT {
            Diagnosis::note(format!("{lead}: wait a moment."))
                .with_commands([format!("kubectl wait namespace/{name} --for=delete --timeout=60s")])
        } else {
            Diagnosis::warning(format!("{lead}, and its conditions do not report the cause.")).with_commands([show])
        });
    }
    diagnoses
}

/// The diagnosis about APIs that do not respond: their objects in the namespace cannot be listed.
fn unavailable_apis(name: &str, message: &str) -> Diagnosis {
    let services = api_services(message);
    if services.is_empty() {
        let sentence = with_period(&format!(
            "Namespace {name} is stuck in Terminating, because an API of the cluster does not respond: {message}"
        ));
        return Diagnosis::problem(sentence).with_commands(["kubectl get apiservices".to_owned()]);
    }
    let sentence = format!(
        "Namespace {name} is stuck in Terminating, because its objects of APIs that do not respond cannot be listed: APIService {}. An \
        administrator must restore these APIs, or delete the APIServices that are no longer needed.",
        and_list(&services)
    );
    let show = services.iter().map(|service| format!("kubectl get apiservice {service}"));
    let delete = services.iter().map(|service| format!("kubectl delete apiservice {service}"));
    Diagnosis::problem(sentence).with_commands(show.chain(delete))
}

/// `metrics.k8s.io/v1beta1` in a message is the APIService `v1beta1.metrics.k8s.io`.
fn api_services(message: &str) -> Vec<String> {
    let words = message
        .split(|letter: char| letter.is_whitespace() || letter == ',')
        .map(|word| word.trim_matches([':', '"', '.', '(', ')']));
    let services = words.filter_map(|word| {
        let (group, version) = word.split_once('/')?;
        let is_version =
            version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        (is_version && group.contains('.') && version.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .then(|| format!("{version}.{group}"))
    });
    services.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The diagnosis about the remaining objects in the namespace, and the finalizers that they wait for.
fn content_diagnosis(name: &str, remaining: Option<&str>, finalizers: Option<&str>) -> Option<Diagnosis> {
    let kinds = counts(remaining.unwrap_or_default(), " has ");
    let waits = counts(finalizers.unwrap_or_default(), " in ");
    if kinds.is_empty() && waits.is_empty() {
        let message = remaining.or(finalizers)?;
        let sentence = with_period(&format!("Namespace {name} is stuck in Terminating: {message}"));
        return Some(Diagnosis::problem(sentence).with_commands([format!("kubectl get namespace {name} -o yaml")]));
    }
    let all: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
    let what = if all.is_empty() {
        "objects in it still exist".to_owned()
    } else {
        format!("it still contains {}", and_list(&all))
    };
    let lead = format!("Namespace {name} is stuck in Terminating, because {what}");
    let joined = kinds.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>().join(",");
    let columns = "-o custom-columns=KIND:.kind,NAME:.metadata.name,FINALIZERS:.metadata.finalizers";
    let show = if joined.is_empty() {
        format!("kubectl get namespace {name} -o yaml")
    } else {
        format!("kubectl -n {name} get {joined} {columns}")
    };
    if waits.is_empty() {
        return Some(
            Diagnosis::problem(format!("{lead}. They are slow to terminate, or a controller recreates them."))
                .with_commands([show]),
        );
    }
    let waits: Vec<String> = waits.into_iter().map(|(finalizer, _)| finalizer).collect();
    let sentence = format!(
        "{lead}, blocked by the finalizer {}. Check that the controller that set the finalizer is running. Remove the finalizer with the \
        last command only if that controller no longer exists.",
        and_list(&waits)
    );
    let kind = if let [(only, _)] = kinds.as_slice() { only.as_str() } else { "KIND" };
    let remove =
        format!("kubectl -n {name} patch {kind} NAME --type=merge -p '{}'", json!({"metadata": {"finalizers": null}}));
    Some(Diagnosis::problem(sentence).with_commands([show, remove]))
}

/// The names and counts in
/// `Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances`.
fn counts(message: &str, between: &str) -> Vec<(String, String)> {
    let Some((_, list)) = message.split_once("remaining: ") else { return vec![] };
    let pair = |part: &str| {
        let (name, rest) = part.split_once(between)?;
        // The core group has an empty name, but the dot remains.
        Some((name.trim().trim_end_matches('.').to_owned(), rest.split_whitespace().next()?.to_owned()))
    };
    list.split(", ").filter_map(pair).collect()
}

fn finalizer_diagnosis(namespace: &Namespace) -> Option<Diagnosis> {
    let name = namespace.name_any();
    let all = namespace_finalizers(namespace);
    if all.is_empty() {
        return None;
    }
    let sentence = format!(
        "Namespace {name} is not deleted while it has the finalizer {}. Check that the controller that set the finalizer is running. \
        Remove the finalizer with the last command only if that controller no longer exists.",
        and_list(&all)
    );
    let show = format!("kubectl get namespace {name} -o yaml");
    let remove = (!namespace.finalizers().is_empty()).then(|| {
        format!("kubectl patch namespace {name} --type=merge -p '{}'", json!({"metadata": {"finalizers": null}}))
    });
    Some(Diagnosis::problem(sentence).with_commands([show].into_iter().chain(remove)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, lines, now, parse, set_terminating},
    };

    const YAML: &str = "  kubectl get namespace orchid-lab -o yaml";

    fn diagnosis_lines(snapshot: &ClusterSnapshot) -> Vec<String> {
        lines(&diagnose(snapshot, now()))
    }

    /// The diagnoses about a namespace that has been terminating for two hours.
    fn stuck(conditions: &[(&str, &str)]) -> Vec<String> {
        let mut snapshot = healthy();
        set_terminating(&mut snapshot, "2026-11-24T07:00:00Z", conditions);
        diagnosis_lines(&snapshot)
    }

    #[test]
    fn apis_that_do_not_respond_are_named() {
        let message = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
        metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1";
        let expected = [
            "Problem: Namespace orchid-lab is stuck in Terminating, because its objects of APIs that do not respond cannot be listed: \
            APIService v1beta1.metrics.k8s.io. An administrator must restore these APIs, or delete the APIServices that are no longer \
            needed.",
            "  kubectl get apiservice v1beta1.metrics.k8s.io",
            "  kubectl delete apiservice v1beta1.metrics.k8s.io",
        ];
        assert_eq!(stuck(&[("NamespaceDeletionDiscoveryFailure", message)]), expected);
        let expected = [
            "Problem: Namespace orchid-lab is stuck in Terminating, because an API of the cluster does not respond: it is odd.",
            "  kubectl get apiservices",
        ];
        assert_eq!(stuck(&[("NamespaceDeletionGroupVersionParsingFailure", "it is odd")]), expected);
        for (message, services) in [
            (
                "a.example.com/v1: refused, b.example.com/v2alpha1: timeout",
                vec!["v1.a.example.com", "v2alpha1.b.example.com"],
            ),
            ("read https://10.0.0.1/version and apps/v1 or x.y/view", vec![]),
        ] {
            assert_eq!(api_services(message), services, "{message}");
        }
    }

    #[test]
    fn remaining_objects_are_reported_with_their_finalizers() {
        let content = (
            "NamespaceContentRemaining",
            "Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances",
        );
        let waits = (
            "NamespaceFinalizersRemaining",
            "Some content in the namespace has finalizers remaining: example.com/guard in 1 resource instances",
        );
        let show = "  kubectl -n orchid-lab get pods,widgets.example.com -o custom-columns=KIND:.kind,NAME:.metadata.name,FINALIZERS:.metadata.finalizers";
        let expected = [
            "Problem: Namespace orchid-lab is stuck in Terminating, because it still contains pods (2) and widgets.example.com (1). They \
            are slow to terminate, or a controller recreates them.",
            show,
        ];
        assert_eq!(stuck(&[content]), expected);
        let expected = [
            "Problem: Namespace orchid-lab is stuck in Terminating, because it still contains pods (2) and widgets.example.com (1), \
            blocked by the finalizer example.com/guard. Check that the controller that set the finalizer is running. Remove the finalizer \
            with the last command only if that controller no longer exists.",
            show,
            r#"  kubectl -n orchid-lab patch KIND NAME --type=merge -p '{"metadata":{"finalizers":null}}'"#,
        ];
        assert_eq!(stuck(&[content, waits]), expected);
        assert_eq!(
            stuck(&[("NamespaceContentRemaining", "all of it")]),
            ["Problem: Namespace orchid-lab is stuck in Terminating: all of it.", YAML]
        );
        let failure = (
            "NamespaceDeletionContentFailure",
            "Failed to delete all resource types, 1 remaining: widgets is forbidden",
        );
        let expected = [
            "Problem: Namespace orchid-lab is stuck in Terminating, because the API server could not delete everything in it: Failed to \
            delete all resource types, 1 remaining: widgets is forbidden. Kubernetes retries automatically.",
            YAML,
        ];
        assert_eq!(stuck(&[failure]), expected);
    }

    #[test]
    fn a_terminating_namespace_without_conditions() {
        let unknown =
            "Warning: Namespace orchid-lab has been terminating for 2h, and its conditions do not report the cause.";
        assert_eq!(stuck(&[]), [unknown, YAML]);
        let mut snapshot = healthy();
        set_terminating(
            &mut snapshot,
            "2026-11-24T08:59:30Z",
            &[("NamespaceContentRemaining", "Some resources are remaining: pods. has 1 resource instances")],
        );
        let expected = [
            "Note: Namespace orchid-lab has been terminating for 30s: wait a moment.",
            "  kubectl wait namespace/orchid-lab --for=delete --timeout=60s",
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        snapshot.namespace = Fetched::Found(Some(parse(json!({
            "metadata": {"name": "orchid-lab", "deletionTimestamp": "2026-11-24T07:00:00Z", "finalizers": ["example.com/ledger"]},
            "spec": {"finalizers": ["kubernetes", "example.com/origin"]},
        }))));
        let expected = [
            "Problem: Namespace orchid-lab is not deleted while it has the finalizer example.com/origin and example.com/ledger. Check that \
            the controller that set the finalizer is running. Remove the finalizer with the last command only if that controller no longer \
            exists.",
            YAML,
            r#"  kubectl patch namespace orchid-lab --type=merge -p '{"metadata":{"finalizers":null}}'"#,
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
    }
}
