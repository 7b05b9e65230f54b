//! Explains why a space is not ready: it does not exist, the operator has not reconciled it, or the reason of `Ready`.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;

use super::{
    conflicts,
    findings::{Finding, ended},
    network, operator,
    similar_names::similar,
    snapshot::Observed,
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
const PATIENCE: TimeDelta = TimeDelta::seconds(30);

pub(super) fn judge(seen: &Observed, now: DateTime<Utc>) -> Vec<Finding> {
    if seen.space.is_absent() {
        return vec![no_such(seen)];
    }
    // `terminating` handles a space that is being deleted.
    let Some(space) = seen.space.found().filter(|space| space.metadata.deletion_timestamp.is_none()) else { return vec![] };
    let (status, reason, message) = ready(space).unwrap_or(("Unknown", Reason::Pending.as_str(), ""));
    if reason == Reason::Pending.as_str() {
        return vec![pending(seen, space, now)];
    }
    let behind = (!is_observed(space)).then(|| behind(seen, space));
    let unready = (status != "True").then(|| unready(seen, space, (reason, message), now));
    behind.into_iter().chain(unready).collect()
}

/// The finding that there is no space with that name.
fn no_such(seen: &Observed) -> Finding {
    let name = &seen.name;
    let names: Vec<String> = seen.spaces.all().iter().map(kube::ResourceExt::name_any).collect();
    let alike = similar(name, &names);
    let left = seen.namespace.found().and_then(conflicts::left_behind);
    let namespace = match (&left, seen.namespace.found()) {
        (Some(left), _) => format!(" {left} An administrator can delete it, or offer it to a new space with this name."),
        (None, Some(_)) => " A namespace with this name exists, but it does not belong to a space.".to_owned(),
        (None, None) => String::new(),
    };
    if left.is_some() {
        // The namespace was kept on purpose: it was released, or the CustomResourceDefinition was deleted.
        let look = format!("kubectl get namespace {name} -o yaml");
        return Finding::problem(format!("There is no DeveloperSpace {name}.{namespace}")).mended_by([look]);
    }
    if alike.is_empty() {
        return Finding::problem(format!("There is no DeveloperSpace {name}.{namespace}")).mended_by(["kubectl dspace list".to_owned()]);
    }
    let meant = alike.join(" or ");
    let commands = alike.iter().map(|name| format!("kubectl dspace doctor {name}"));
    Finding::problem(format!("There is no DeveloperSpace {name}: did you mean {meant}?{namespace}")).mended_by(commands)
}

/// The finding that the operator has not reported anything about the space.
fn pending(seen: &Observed, space: &DeveloperSpace, now: DateTime<Utc>) -> Finding {
    let name = space.name_any();
    let age = now - created(space);
    let made = format::span(age);
    let sentence = format!("The operator has not reconciled DeveloperSpace {name}, which was created {made} ago");
    if age < PATIENCE {
        return Finding::warning(format!("{sentence}: wait a moment.")).mended_by([wait(&name)]);
    }
    let (state, commands) = operator::state(seen);
    Finding::problem(format!("{sentence}. {state}")).mended_by(commands)
}

/// The finding that the status refers to an older spec.
fn behind(seen: &Observed, space: &DeveloperSpace) -> Finding {
    let name = space.name_any();
    let generation = space.metadata.generation.unwrap_or_default();
    let observed = space.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
    let (state, commands) = operator::state(seen);
    let sentence = format!(
        "The operator has not reconciled the last change of DeveloperSpace {name}: status.observedGeneration is {observed}, and \
        metadata.generation is {generation}. {state}"
    );
    Finding::problem(sentence).mended_by(commands)
}

fn unready(seen: &Observed, space: &DeveloperSpace, (word, message): (&str, &str), now: DateTime<Utc>) -> Finding {
    let name = space.name_any();
    let lead = if message.is_empty() {
        format!("DeveloperSpace {name} is not ready ({word}).")
    } else {
        ended(&format!("DeveloperSpace {name} is not ready ({word}): {message}"))
    };
    let told = |(advice, commands): (String, Vec<String>)| Finding::problem(format!("{lead} {advice}")).mended_by(commands);
    let Some(reason) = Reason::parse(word) else { return Finding::problem(&lead).mended_by([format!("kubectl describe dspace {name}")]) };
    match reason {
        Reason::Pending | Reason::Provisioned | Reason::Provisioning => {
            Finding::warning(format!("{lead} This usually takes a few seconds.")).mended_by([wait(&name)])
        }
        Reason::ClassNotFound => told(spec_advice::class_not_found(seen, space)),
        Reason::InvalidSpec => told(spec_advice::invalid_spec(seen, space, now)),
        Reason::NamespaceConflict => told(conflicts::conflict(seen, space, message, now)),
        Reason::QuotaExceedsClass => told(spec_advice::quota_exceeds(seen, space)),
        Reason::RoleNotAllowed => told(spec_advice::role_not_allowed(seen, space)),
        Reason::OwnerLimitExceeded => told(conflicts::owner_limit(seen, space)),
        Reason::NamespaceTerminating | Reason::Terminating => {
            let advice = "If the cause that blocks the deletion of the namespace is known, a separate finding reports it.".to_owned();
            told((advice, vec![format!("kubectl get namespace {name} -o yaml")]))
        }
        Reason::IsolationBreached => told(network::breach(seen, &name)),
        Reason::ClassNotAccepted => told(spec_advice::class_not_accepted(seen, space)),
        Reason::Expired => told(expired(seen, space)),
        Reason::ApplyFailed => {
            let (state, commands) = operator::state(seen);
            told((format!("The operator retries automatically. {state}"), commands))
        }
    }
}

fn expired(seen: &Observed, space: &DeveloperSpace) -> (String, Vec<String>) {
    let name = space.name_any();
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    let own = seen.namespace.found().filter(|namespace| recorded.is_some_and(|own| namespace.uid().as_deref() == Some(own.uid.as_str())));
    if own.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none()) {
        let (state, commands) = operator::state(seen);
        let advice = "Its namespace is not deleted yet; if the deletion was refused, the message contains the reason.";
        return (format!("{advice} {state}"), commands);
    }
    let class = space.spec.class_name.as_ref().map(|class| format!(" --class {}", format::shell(class))).unwrap_or_default();
    let create = format!("kubectl dspace create {name} --owner {}{class}", format::shell(&space.spec.owner.to_string()));
    let advice = "It can no longer be renewed. Create a new space; it can have the same name after this one is deleted.".to_owned();
    (advice, vec![format!("kubectl dspace delete {name}"), create])
}

fn wait(name: &str) -> String {
    format!("kubectl wait dspace/{name} --for=condition=Ready --timeout=60s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fetched::Look,
        fixtures::{class, lines, now, read, space, told, unready as ill, well, with},
    };

    fn judged(seen: &Observed) -> Vec<String> {
        lines(&judge(seen, now()))
    }

    const LOG: &str = "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20";

    #[test]
    fn a_name_that_is_not_there_may_be_mistyped() {
        let mut seen = well();
        seen.space = Look::Seen(None);
        (seen.name, seen.namespace) = ("orchid-lap".to_owned(), Look::Seen(None));
        seen.spaces = Look::Seen(vec![space()]);
        let meant = ["Problem: There is no DeveloperSpace orchid-lap: did you mean orchid-lab?", "  kubectl dspace doctor orchid-lab"];
        assert_eq!(judged(&seen), meant);
        seen.name = "team-tools".into();
        assert_eq!(judged(&seen), ["Problem: There is no DeveloperSpace team-tools.", "  kubectl dspace list"]);
        seen.namespace = well().namespace;
        let taken = "Problem: There is no DeveloperSpace team-tools. A namespace with this name exists, but it does not belong to a space.";
        assert_eq!(judged(&seen)[0], taken);
    }

    #[test]
    fn a_namespace_that_an_earlier_space_left_is_named() {
        let mut seen = well();
        (seen.space, seen.spaces) = (Look::Seen(None), Look::Seen(vec![]));
        seen.namespace = Look::Seen(Some(read(serde_json::json!({
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
        assert_eq!(judged(&seen), expected);
    }

    #[test]
    fn an_expired_space_whose_namespace_cannot_be_deleted() {
        let mut seen = ill("Expired", "failed to delete namespace orchid-lab: guard.example.com denied the request");
        let expected = [
            "Problem: DeveloperSpace orchid-lab is not ready (Expired): failed to delete namespace orchid-lab: guard.example.com denied \
            the request. Its namespace is not deleted yet; if the deletion was refused, the message contains the reason. The operator is \
            running (2 of 2 replicas are available); see its log for details.",
            LOG,
        ];
        assert_eq!(judged(&seen), expected);
        seen.namespace = Look::Seen(None);
        assert_eq!(judged(&seen)[1], "  kubectl dspace delete orchid-lab");
    }

    #[test]
    fn a_space_that_nobody_looked_at() {
        let born = |at: &str| {
            with(|space| {
                told(space, "Pending", "");
                space.metadata.creation_timestamp = read(at.into());
                space.status.as_mut().unwrap().observed_generation = Some(-1);
            })
        };
        let moment = [
            "Warning: The operator has not reconciled DeveloperSpace orchid-lab, which was created 5s ago: wait a moment.",
            "  kubectl wait dspace/orchid-lab --for=condition=Ready --timeout=60s",
        ];
        assert_eq!(judged(&born("2026-11-24T08:59:55Z")), moment);
        let mut seen = born("2026-11-24T08:00:00Z");
        seen.operator = Look::Seen(vec![read(serde_json::json!({
            "metadata": {"name": "developerspace-operator"}, "spec": {"replicas": 1, "selector": {}, "template": {}},
        }))]);
        let ill = [
            "Problem: The operator has not reconciled DeveloperSpace orchid-lab, which was created 1h ago. The operator is not running: 0 \
            of 1 replicas are available.",
            "  kubectl -n developerspace-system get pods",
            LOG,
        ];
        assert_eq!(judged(&seen), ill);
    }

    #[test]
    fn a_change_that_nobody_looked_at() {
        let seen = with(|space| space.metadata.generation = Some(6));
        let behind = [
            "Problem: The operator has not reconciled the last change of DeveloperSpace orchid-lab: status.observedGeneration is 4, and \
            metadata.generation is 6. The operator is running (2 of 2 replicas are available); see its log for details.",
            LOG,
        ];
        assert_eq!(judged(&seen), behind);
        let seen = with(|space| {
            space.metadata.generation = Some(6);
            told(space, "ApplyFailed", "no");
        });
        assert_eq!(judge(&seen, now()).len(), 2);
    }

    #[test]
    fn reasons_that_need_no_look_around() {
        let gone = |reason: &str, message: &str| {
            let mut seen = ill(reason, message);
            seen.namespace = Look::Seen(None);
            seen
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
                vec!["Problem: DeveloperSpace orchid-lab is not ready (Frobnicated).", "  kubectl describe dspace orchid-lab"],
            ),
        ] {
            assert_eq!(judged(&gone(reason, message)), expected, "{reason}");
        }
    }

    #[test]
    fn every_reason_has_an_answer() {
        for reason in crate::api::conditions::ALL_REASONS {
            let mut seen = ill(reason.as_str(), "so it is");
            seen.classes = Look::Seen(vec![class()]);
            assert!(judge(&seen, now()).iter().all(|finding| !finding.commands.is_empty()), "{reason:?}");
            assert_eq!(judge(&seen, now()).len(), 1, "{reason:?}");
        }
        assert_eq!(judged(&well()), Vec::<String>::new());
        let leaving = with(|space| space.metadata.deletion_timestamp = read("2026-11-24T08:00:00Z".into()));
        assert_eq!(judged(&leaving), Vec::<String>::new());
    }
}
