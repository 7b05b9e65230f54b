//! Explains why a space is not ready: it does not exist, the operator has not reconciled it, or the reason of `Ready`.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;

use super::{
    conflicts,
    diagnosis::{Advice, Diagnosis, with_period},
    network, operator,
    similar_names::similar,
    snapshot::ClusterSnapshot,
    spec_advice,
};
use crate::{
    api::{DeveloperSpace, conditions::Reason},
    desired::lifetime::inputs::created,
    plugin::{
        format,
        spaces::{is_observed, ready},
    },
};

/// The time allowed for the operator before a missing status is reported as a problem.
const FIRST_RECONCILE_LIMIT: TimeDelta = TimeDelta::seconds(30);

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    if snapshot.space.is_absent() {
        return vec![no_such_space(snapshot)];
    }
    // `terminating` handles a space that is being deleted.
    let Some(space) = snapshot.space.object().filter(|space| space.metadata.deletion_timestamp.is_none()) else {
        return vec![];
    };
    let (status, reason, message) = ready(space).unwrap_or(("Unknown", Reason::Pending.as_str(), ""));
    if reason == Reason::Pending.as_str() {
        return vec![not_reconciled(snapshot, space, now)];
    }
    let outdated = (!is_observed(space)).then(|| outdated_status(snapshot, space));
    let unready = (status != "True").then(|| unready_diagnosis(snapshot, space, reason, message, now));
    outdated.into_iter().chain(unready).collect()
}

/// The diagnosis that there is no space with that name.
fn no_such_space(snapshot: &ClusterSnapshot) -> Diagnosis {
    let name = &snapshot.name;
    let names: Vec<String> = snapshot.spaces.items().iter().map(kube::ResourceExt::name_any).collect();
    let suggestions = similar(name, &names);
    let left_behind = snapshot.namespace.object().and_then(conflicts::left_behind);
    let namespace = match (&left_behind, snapshot.namespace.object()) {
        (Some(left_behind), _) => {
            format!(" {left_behind} An administrator can delete it, or offer it to a new space with this name.")
        }
        (None, Some(_)) => " A namespace with this name exists, but it does not belong to a space.".to_owned(),
        (None, None) => String::new(),
    };
    if left_behind.is_some() {
        // The namespace was kept on purpose: it was released, or the CustomResourceDefinition was deleted.
        let command = format!("kubectl get namespace {name} -o yaml");
        return Diagnosis::problem(format!("There is no DeveloperSpace {name}.{namespace}")).with_commands([command]);
    }
    if suggestions.is_empty() {
        return Diagnosis::problem(format!("There is no DeveloperSpace {name}.{namespace}"))
            .with_commands(["kubectl dspace list".to_owned()]);
    }
    let meant = suggestions.join(" or ");
    let commands = suggestions.iter().map(|name| format!("kubectl dspace doctor {name}"));
    Diagnosis::problem(format!("There is no DeveloperSpace {name}: did you mean {meant}?{namespace}"))
        .with_commands(commands)
}

/// The diagnosis that the operator has not reported anything about the space.
fn not_reconciled(snapshot: &ClusterSnapshot, space: &DeveloperSpace, now: DateTime<Utc>) -> Diagnosis {
    let name = space.name_any();
    let age = now - created(space);
    let age_text = format::short_duration(age);
    let sentence = format!("The operator has not reconciled DeveloperSpace {name}, which was created {age_text} ago");
    if age < FIRST_RECONCILE_LIMIT {
        return Diagnosis::warning(format!("{sentence}: wait a moment.")).with_commands([wait_command(&name)]);
    }
    let (state, commands) = operator::state(snapshot);
    Diagnosis::problem(format!("{sentence}. {state}")).with_commands(commands)
}

/// The diagnosis that the status refers to an older spec.
fn outdated_status(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Diagnosis {
    let name = space.name_any();
    let generation = space.metadata.generation.unwrap_or_default();
    let observed = space.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
    let (state, commands) = operator::state(snapshot);
    let sentence = format!(
        "The operator has not reconciled the last change of DeveloperSpace {name}: status.observedGeneration is {observed}, and \
        metadata.generation is {generation}. {state}"
    );
    Diagnosis::problem(sentence).with_commands(commands)
}

/// The diagnosis of the reason of `Ready`.
fn unready_diagnosis(
    snapshot: &ClusterSnapshot,
    space: &DeveloperSpace,
    word: &str,
    message: &str,
    now: DateTime<Utc>,
) -> Diagnosis {
    let name = space.name_any();
    let lead = if message.is_empty() {
        format!("DeveloperSpace {name} is not ready ({word}).")
    } else {
        with_period(&format!("DeveloperSpace {name} is not ready ({word}): {message}"))
    };
    let problem = |(advice, commands): Advice| Diagnosis::problem(format!("{lead} {advice}")).with_commands(commands);
    let Some(reason) = Reason::parse(word) else {
        return Diagnosis::problem(&lead).with_commands([format!("kubectl describe dspace {name}")]);
    };
    match reason {
        Reason::Pending | Reason::Provisioned | Reason::Provisioning => {
            Diagnosis::warning(format!("{lead} This usually takes a few seconds.")).with_commands([wait_command(&name)])
        }
        Reason::ClassNotFound => problem(spec_advice::class_not_found(snapshot, space)),
        Reason::InvalidSpec => problem(spec_advice::invalid_spec(snapshot, space, now)),
        Reason::NamespaceConflict => problem(conflicts::namespace_conflict(snapshot, space, message, now)),
        Reason::QuotaExceedsClass => problem(spec_advice::quota_exceeds(snapshot, space)),
        Reason::RoleNotAllowed => problem(spec_advice::role_not_allowed(snapshot, space)),
        Reason::OwnerLimitExceeded => problem(conflicts::owner_limit(snapshot, space)),
        Reason::NamespaceTerminating | Reason::Terminating => {
            let advice =
                "If the cause that blocks the deletion of the namespace is known, a separate finding reports it."
                    .to_owned();
            problem((advice, vec![format!("kubectl get namespace {name} -o yaml")]))
        }
        Reason::IsolationBreached => problem(network::isolation_breach(snapshot, &name)),
        Reason::ClassNotAccepted => problem(spec_advice::class_not_accepted(snapshot, space)),
        Reason::Expired => problem(expired_advice(snapshot, space)),
        Reason::ApplyFailed => {
            let (state, commands) = operator::state(snapshot);
            problem((format!("The operator retries automatically. {state}"), commands))
        }
    }
}

fn expired_advice(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    let own = snapshot
        .namespace
        .object()
        .filter(|namespace| recorded.is_some_and(|own| namespace.uid().as_deref() == Some(own.uid.as_str())));
    if own.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none()) {
        let (state, commands) = operator::state(snapshot);
        let advice = "Its namespace is not deleted yet; if the deletion was refused, the message contains the reason.";
        return (format!("{advice} {state}"), commands);
    }
    let class = space
        .spec
        .class_name
        .as_ref()
        .map(|class| format!(" --class {}", format::shell_quoted(class)))
        .unwrap_or_default();
    let create =
        format!("kubectl dspace create {name} --owner {}{class}", format::shell_quoted(&space.spec.owner.to_string()));
    let advice =
        "It can no longer be renewed. Create a new space; it can have the same name after this one is deleted."
            .to_owned();
    (advice, vec![format!("kubectl dspace delete {name}"), create])
}

fn wait_command(name: &str) -> String {
    format!("kubectl wait dspace/{name} --for=condition=Ready --timeout=60s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{class, healthy, healthy_with, lines, now, parse, set_unready, space, unready},
    };

    fn diagnosis_lines(snapshot: &ClusterSnapshot) -> Vec<String> {
        lines(&diagnose(snapshot, now()))
    }

    const LOG: &str = "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20";

    #[test]
    fn similar_names_are_suggested_for_a_name_that_does_not_exist() {
        let mut snapshot = healthy();
        snapshot.space = Fetched::Found(None);
        (snapshot.name, snapshot.namespace) = ("orchid-lap".to_owned(), Fetched::Found(None));
        snapshot.spaces = Fetched::Found(vec![space()]);
        let meant = [
            "Problem: There is no DeveloperSpace orchid-lap: did you mean orchid-lab?",
            "  kubectl dspace doctor orchid-lab",
        ];
        assert_eq!(diagnosis_lines(&snapshot), meant);
        snapshot.name = "team-tools".into();
        assert_eq!(
            diagnosis_lines(&snapshot),
            ["Problem: There is no DeveloperSpace team-tools.", "  kubectl dspace list"]
        );
        snapshot.namespace = healthy().namespace;
        let taken = "Problem: There is no DeveloperSpace team-tools. A namespace with this name exists, but it does not belong to a space.";
        assert_eq!(diagnosis_lines(&snapshot)[0], taken);
    }

    #[test]
    fn a_namespace_of_an_earlier_space_is_described() {
        let mut snapshot = healthy();
        (snapshot.space, snapshot.spaces) = (Fetched::Found(None), Fetched::Found(vec![]));
        snapshot.namespace = Fetched::Found(Some(parse(serde_json::json!({
            "metadata": {"name": "orchid-lab", "annotations": {
                "developerspace.dev/space-uid": "space-1", "developerspace.dev/owner": "User:petra@example.com",
            }},
        }))));
        let expected = [
            "Problem: There is no DeveloperSpace orchid-lab. Namespace orchid-lab belonged to an earlier DeveloperSpace of \
            User:petra@example.com (UID space-1); the operator does not delete it. An administrator can delete it, or offer it to a new \
            space with this name.",
            "  kubectl get namespace orchid-lab -o yaml",
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
    }

    #[test]
    fn an_expired_space_whose_namespace_cannot_be_deleted() {
        let mut snapshot =
            unready("Expired", "failed to delete namespace orchid-lab: guard.example.com denied the request");
        let expected = [
            "Problem: DeveloperSpace orchid-lab is not ready (Expired): failed to delete namespace orchid-lab: guard.example.com denied \
            the request. Its namespace is not deleted yet; if the deletion was refused, the message contains the reason. The operator is \
            running (2 of 2 replicas are available); see its log for details.",
            LOG,
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        snapshot.namespace = Fetched::Found(None);
        assert_eq!(diagnosis_lines(&snapshot)[1], "  kubectl dspace delete orchid-lab");
    }

    #[test]
    fn a_space_that_the_operator_has_not_reconciled() {
        let born = |at: &str| {
            healthy_with(|space| {
                set_unready(space, "Pending", "");
                space.metadata.creation_timestamp = parse(at.into());
                space.status.as_mut().unwrap().observed_generation = Some(-1);
            })
        };
        let moment = [
            "Warning: The operator has not reconciled DeveloperSpace orchid-lab, which was created 5s ago: wait a moment.",
            "  kubectl wait dspace/orchid-lab --for=condition=Ready --timeout=60s",
        ];
        assert_eq!(diagnosis_lines(&born("2026-11-24T08:59:55Z")), moment);
        let mut snapshot = born("2026-11-24T08:00:00Z");
        snapshot.operator = Fetched::Found(vec![parse(serde_json::json!({
            "metadata": {"name": "developerspace-operator"}, "spec": {"replicas": 1, "selector": {}, "template": {}},
        }))]);
        let ill = [
            "Problem: The operator has not reconciled DeveloperSpace orchid-lab, which was created 1h ago. The operator is not running: 0 \
            of 1 replicas are available.",
            "  kubectl -n developerspace-system get pods",
            LOG,
        ];
        assert_eq!(diagnosis_lines(&snapshot), ill);
    }

    #[test]
    fn a_change_that_the_operator_has_not_reconciled() {
        let snapshot = healthy_with(|space| space.metadata.generation = Some(6));
        let outdated = [
            "Problem: The operator has not reconciled the last change of DeveloperSpace orchid-lab: status.observedGeneration is 4, and \
            metadata.generation is 6. The operator is running (2 of 2 replicas are available); see its log for details.",
            LOG,
        ];
        assert_eq!(diagnosis_lines(&snapshot), outdated);
        let snapshot = healthy_with(|space| {
            space.metadata.generation = Some(6);
            set_unready(space, "ApplyFailed", "no");
        });
        assert_eq!(diagnose(&snapshot, now()).len(), 2);
    }

    #[test]
    fn reasons_whose_advice_needs_no_other_object() {
        let gone = |reason: &str, message: &str| {
            let mut snapshot = unready(reason, message);
            snapshot.namespace = Fetched::Found(None);
            snapshot
        };
        for (reason, message, expected) in [
            (
                "Provisioning",
                "the namespace is being created",
                vec![
                    "Warning: DeveloperSpace orchid-lab is not ready (Provisioning): the namespace is being created. This usually takes a \
                    few seconds.",
                    "  kubectl wait dspace/orchid-lab --for=condition=Ready --timeout=60s",
                ],
            ),
            (
                "NamespaceTerminating",
                "namespace orchid-lab is being deleted",
                vec![
                    "Problem: DeveloperSpace orchid-lab is not ready (NamespaceTerminating): namespace orchid-lab is being deleted. If the \
                    cause that blocks the deletion of the namespace is known, a separate finding reports it.",
                    "  kubectl get namespace orchid-lab -o yaml",
                ],
            ),
            (
                "Expired",
                "this DeveloperSpace has expired",
                vec![
                    "Problem: DeveloperSpace orchid-lab is not ready (Expired): this DeveloperSpace has expired. It can no longer be \
                    renewed. Create a new space; it can have the same name after this one is deleted.",
                    "  kubectl dspace delete orchid-lab",
                    "  kubectl dspace create orchid-lab --owner User:nadia@example.com --class greenhouse",
                ],
            ),
            (
                "ApplyFailed",
                "failed to create namespace orchid-lab: namespaces is forbidden.",
                vec![
                    "Problem: DeveloperSpace orchid-lab is not ready (ApplyFailed): failed to create namespace orchid-lab: namespaces is \
                    forbidden. The operator retries automatically. The operator is running (2 of 2 replicas are available); see its log \
                    for details.",
                    LOG,
                ],
            ),
            (
                "Frobnicated",
                "",
                vec![
                    "Problem: DeveloperSpace orchid-lab is not ready (Frobnicated).",
                    "  kubectl describe dspace orchid-lab",
                ],
            ),
        ] {
            assert_eq!(diagnosis_lines(&gone(reason, message)), expected, "{reason}");
        }
    }

    #[test]
    fn every_reason_has_a_diagnosis_with_commands() {
        for reason in crate::api::conditions::ALL_REASONS {
            let mut snapshot = unready(reason.as_str(), "so it is");
            snapshot.classes = Fetched::Found(vec![class()]);
            assert!(diagnose(&snapshot, now()).iter().all(|diagnosis| !diagnosis.commands.is_empty()), "{reason:?}");
            assert_eq!(diagnose(&snapshot, now()).len(), 1, "{reason:?}");
        }
        assert_eq!(diagnosis_lines(&healthy()), Vec::<String>::new());
        let leaving = healthy_with(|space| space.metadata.deletion_timestamp = parse("2026-11-24T08:00:00Z".into()));
        assert_eq!(diagnosis_lines(&leaving), Vec::<String>::new());
    }
}
