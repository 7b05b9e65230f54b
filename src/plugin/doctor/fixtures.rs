//! Fixtures for tests: a healthy space, and functions that break it.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{diagnosis::Diagnosis, fetched::Fetched, snapshot::ClusterSnapshot};
use crate::{
    api::{DeveloperSpace, SpaceClass, names},
    desired::{desire, resolve},
};

pub(super) fn now() -> DateTime<Utc> {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

pub(super) fn parse<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// The space orchid-lab of the owner nadia and the class greenhouse, which ends in a week.
pub(super) fn space() -> DeveloperSpace {
    parse(json!({
        "apiVersion": format!("{}/v1alpha1", names::GROUP),
        "kind": "DeveloperSpace",
        "metadata": {
            "name": "orchid-lab", "uid": "space-3", "generation": 4, "creationTimestamp": "2026-11-20T09:00:00Z",
            "finalizers": [names::FINALIZER],
        },
        "spec": {
            "className": "greenhouse",
            "owner": {"kind": "User", "name": "nadia@example.com"},
            "members": [{"kind": "Group", "name": "zoology", "role": "view"}],
            "contact": {"team": "botany"},
        },
        "status": {
            "observedGeneration": 4,
            "className": "greenhouse",
            "namespace": {"name": "orchid-lab", "uid": "ns-7"},
            "expiresAt": "2026-12-01T09:00:00Z",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Provisioned", "message": "namespace orchid-lab is ready",
                "lastTransitionTime": "2026-11-20T09:00:02Z", "observedGeneration": 4,
            }],
        },
    }))
}

/// [`space`] with another name and UID, after `change`.
pub(super) fn named_space(name: &str, change: impl FnOnce(&mut DeveloperSpace)) -> DeveloperSpace {
    let mut named = space();
    (named.metadata.name, named.metadata.uid) = (Some(name.to_owned()), Some(format!("uid-of-{name}")));
    change(&mut named);
    named
}

/// A namespace with these annotations.
pub(super) fn namespace(name: &str, annotations: &Value) -> Namespace {
    parse(json!({"metadata": {"name": name, "annotations": annotations}}))
}

pub(super) fn class() -> SpaceClass {
    parse(json!({
        "apiVersion": format!("{}/v1alpha1", names::GROUP),
        "kind": "SpaceClass",
        "metadata": {"name": "greenhouse", "annotations": {(names::ANNOTATION_DEFAULT_CLASS): "true"}},
        "spec": {
            "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
            "quota": {"hard": {"requests.cpu": "10", "pods": "40"}, "max": {"requests.cpu": "20"}},
            "network": {"allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": "ingress-front"}}]},
            "podSecurity": {"enforce": "baseline"},
            "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "maxLifetime": "180d"},
            "maxSpacesPerOwner": 2,
        },
    }))
}

/// [`class`] in its fourth generation, with the result for that generation and the spec that was accepted last.
pub(super) fn class_validated_in(generation: i64, accepted: &Value) -> SpaceClass {
    let mut class = class();
    class.metadata.generation = Some(4);
    class.status = parse(json!({"observedGeneration": generation, "accepted": accepted, "conditions": [{
        "type": "Accepted", "status": "True", "reason": "Valid", "message": "", "observedGeneration": generation,
        "lastTransitionTime": "2026-11-20T09:00:00Z",
    }]}));
    class
}

/// All objects are readable and in their desired state.
pub(super) fn healthy() -> ClusterSnapshot {
    let (space, class) = (space(), class());
    let resolved = resolve(&space, "greenhouse", &class.spec).accepted().unwrap();
    let children = desire(&space, &resolved, space.status.as_ref().unwrap().expires_at).children;
    ClusterSnapshot {
        name: "orchid-lab".to_owned(),
        space: Fetched::Found(Some(space)),
        spaces: Fetched::NotNeeded,
        classes: Fetched::Found(vec![class]),
        operator: Fetched::Found(vec![parse(json!({
            "metadata": {"name": "developerspace-operator"},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"availableReplicas": 2},
        }))]),
        namespace: Fetched::Found(Some(parse(json!({
            "metadata": {"name": "orchid-lab", "uid": "ns-7", "creationTimestamp": "2026-11-20T09:00:01Z"},
            "status": {"phase": "Active"},
        })))),
        quotas: Fetched::Found(children.quota.into_iter().collect()),
        limits: Fetched::Found(children.limits.into_iter().collect()),
        policies: Fetched::Found(children.network.into_iter().collect()),
        bindings: Fetched::Found(children.bindings),
        replica_sets: Fetched::Found(vec![]),
        stateful_sets: Fetched::Found(vec![]),
        jobs: Fetched::Found(vec![]),
        pods: Fetched::Found(vec![]),
        events: Fetched::Found(vec![]),
    }
}

pub(super) fn healthy_with(change: impl FnOnce(&mut DeveloperSpace)) -> ClusterSnapshot {
    let mut snapshot = healthy();
    let mut changed = space();
    change(&mut changed);
    snapshot.space = Fetched::Found(Some(changed));
    snapshot
}

/// [`healthy`], but `Ready` is false.
pub(super) fn unready(reason: &str, message: &str) -> ClusterSnapshot {
    healthy_with(|space| set_unready(space, reason, message))
}

/// `Ready` is false for the given reason, with the message "so it is", and `change` is applied to the space.
pub(super) fn unready_with(reason: &str, change: impl FnOnce(&mut DeveloperSpace)) -> ClusterSnapshot {
    healthy_with(|space| {
        set_unready(space, reason, "so it is");
        change(space);
    })
}

/// The advice about a space that is [`unready_with`], without the operator's own message, and the commands.
pub(super) fn advice_lines(snapshot: &ClusterSnapshot) -> Vec<String> {
    let all = lines(&super::not_ready::diagnose(snapshot, now()));
    let first = all[0].split_once("so it is. ").map_or(all[0].as_str(), |(_, rest)| rest).to_owned();
    std::iter::once(first).chain(all[1..].iter().cloned()).collect()
}

/// Sets `Ready` to false.
pub(super) fn set_unready(space: &mut DeveloperSpace, reason: &str, message: &str) {
    let ready = &mut space.status.as_mut().unwrap().conditions[0];
    (ready.status, ready.reason, ready.message) = ("False".to_owned(), reason.to_owned(), message.to_owned());
}

/// Sets a namespace that has been terminating since `since`, with these conditions: (type, message).
pub(super) fn set_terminating(snapshot: &mut ClusterSnapshot, since: &str, conditions: &[(&str, &str)]) {
    let condition = |(type_, message): &(&str, &str)| json!({"type": type_, "status": "True", "message": message});
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    snapshot.namespace = Fetched::Found(Some(parse(json!({
        "metadata": {"name": "orchid-lab", "uid": "ns-7", "deletionTimestamp": since},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating", "conditions": conditions},
    }))));
}

/// Sentences and commands, one per line, commands indented.
pub(super) fn lines(diagnoses: &[Diagnosis]) -> Vec<String> {
    let both = |diagnosis: &Diagnosis| {
        let commands = diagnosis.commands.iter().map(|command| format!("  {command}"));
        std::iter::once(format!("{:?}: {}", diagnosis.severity, diagnosis.sentence)).chain(commands).collect::<Vec<_>>()
    };
    diagnoses.iter().flat_map(both).collect()
}
