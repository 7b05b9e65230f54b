//! Explains why the API server rejects pods of controllers, and what to change.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    diagnosis::{Diagnosis, and_list, patch_command, with_period},
    failed_creates::{Workload, last_rejections},
    limit_ranges,
    pod_rejection::{ExceededResource, PodRejection},
    snapshot::ClusterSnapshot,
};
use crate::api::{PodSecurityLevel, names, quantity::Quantity};

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    // A terminating namespace accepts no new objects, and another check reports it.
    if snapshot.is_namespace_terminating() {
        return vec![];
    }
    last_rejections(snapshot, now)
        .iter()
        .map(|(workload, rejection)| diagnosis(snapshot, workload, rejection))
        .collect()
}

fn diagnosis(snapshot: &ClusterSnapshot, workload: &Workload, rejection: &PodRejection) -> Diagnosis {
    let Workload { kind, name } = workload;
    let namespace = &snapshot.name;
    let rejected = format!("Pods of {kind} {name} are rejected");
    // The pod template of a Job is immutable, and that of an unknown kind may be immutable too.
    let verb = if matches!(kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "CronJob") {
        "edit"
    } else {
        "describe"
    };
    let edit = format!("kubectl -n {namespace} {verb} {} {name}", kind.to_lowercase());
    match rejection {
        PodRejection::QuotaExceeded { quota, exceeded } if quota == names::CHILD => {
            let usage = format!("kubectl dspace usage {namespace}");
            let (advice, raise) = quota_advice(snapshot, exceeded);
            let sentence = format!(
                "{rejected}, because they exceed the quota of DeveloperSpace {namespace}: {}. {advice}",
                describe_amounts(exceeded)
            );
            Diagnosis::problem(sentence).with_commands([usage, edit].into_iter().chain(raise))
        }
        PodRejection::QuotaExceeded { quota, exceeded } => {
            let foreign =
                format!("ResourceQuota {quota}, which the operator does not manage: {}", describe_amounts(exceeded));
            let sentence = format!(
                "{rejected}, because they exceed {foreign}. Request less, or ask the owner of the quota to raise it."
            );
            Diagnosis::problem(sentence)
                .with_commands([format!("kubectl -n {namespace} describe resourcequota {quota}"), edit])
        }
        PodRejection::Unspecified { quota, what } => {
            let is_ours = quota == names::CHILD;
            let whose = if is_ours { "" } else { ", which the operator does not manage," };
            let sentence = format!(
                "{rejected}, because ResourceQuota {quota}{whose} limits resources that they do not set; they must specify {what}"
            );
            let advice = "Set resources.requests and resources.limits for each container";
            let also = if is_ours {
                "."
            } else {
                ", or ask the owner of the quota to change it; no field of the space changes it."
            };
            Diagnosis::problem(format!("{} {advice}{also}", with_period(&sentence)))
                .with_commands([edit, format!("kubectl -n {namespace} describe limitrange")])
        }
        PodRejection::OutOfLimits(why) => out_of_limits(snapshot, &rejected, why, edit),
        PodRejection::PodSecurity { level, violations } => {
            let from = pod_security_source(snapshot, level);
            let sentence = with_period(&format!("{rejected}, because they violate {from}: {violations}"));
            Diagnosis::problem(format!("{sentence} Correct the pod template.")).with_commands([edit])
        }
        PodRejection::Other(why) if why.contains("must be less than or equal to") && why.contains(" limit") => {
            let sentence = with_period(&format!("{rejected}: {why}"));
            let advice =
                "A container that requests more than the default limit needs its own limit: set resources.limits.";
            Diagnosis::problem(format!("{sentence} {advice}"))
                .with_commands([edit, format!("kubectl -n {namespace} describe limitrange")])
        }
        PodRejection::Other(why) => {
            let events = format!("kubectl -n {namespace} get events --field-selector=reason=FailedCreate");
            Diagnosis::problem(with_period(&format!("{rejected}: {why}"))).with_commands([edit, events])
        }
    }
}

/// The diagnosis about pods outside the bounds of a LimitRange, which is either the space's own or that of another
/// user.
fn out_of_limits(snapshot: &ClusterSnapshot, rejected: &str, why: &str, edit: String) -> Diagnosis {
    let namespace = &snapshot.name;
    let violated = limit_ranges::violated_ranges(snapshot.limits.items(), why);
    let foreign: Vec<String> = violated.iter().filter(|name| *name != names::CHILD).cloned().collect();
    if foreign.is_empty() || foreign.len() < violated.len() {
        let sentence =
            with_period(&format!("{rejected}, because they are outside the limits for a container or pod: {why}"));
        let advice = "Change their requests and limits; spec.limitRange of the space changes the defaults within the bounds of the class.";
        return Diagnosis::problem(format!("{sentence} {advice}"))
            .with_commands([format!("kubectl -n {namespace} describe limitrange"), edit]);
    }
    let sentence = with_period(&format!(
        "{rejected} by LimitRange {}, which the operator does not manage: {why}",
        and_list(&foreign)
    ));
    let advice = "Containers without limits get the defaults of all LimitRanges in the namespace: set resources.requests and \
        resources.limits within all bounds, or ask the owner of the LimitRange to change it. No field of the space raises this bound.";
    let commands = foreign.iter().map(|name| format!("kubectl -n {namespace} describe limitrange {name}"));
    Diagnosis::problem(format!("{sentence} {advice}")).with_commands(commands.chain([edit]))
}

/// Describes the requested amounts and the usage of the quota.
fn describe_amounts(exceeded: &[ExceededResource]) -> String {
    let each = exceeded.iter().map(|ExceededResource { resource, requested, used, hard }| {
        format!("{resource} {requested} requested, {used} of {hard} used")
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The advice about an insufficient quota, and the command that raises it as far as the class allows.
fn quota_advice(snapshot: &ClusterSnapshot, exceeded: &[ExceededResource]) -> (&'static str, Option<String>) {
    let Some(class) = snapshot.class_in_force() else {
        return ("Request less, or delete objects that are not needed.", None);
    };
    let max = class.spec.quota.as_ref().map(|quota| &quota.max);
    let mut raised = serde_json::Map::new();
    for ExceededResource { resource, hard, .. } in exceeded {
        let most = max
            .and_then(|max| max.get(resource))
            .filter(|most| most.compare(&Quantity::from(hard.as_str())).is_some_and(std::cmp::Ordering::is_gt));
        let Some(most) = most else {
            return ("Request less, or delete objects that are not needed: the class allows no larger quota.", None);
        };
        raised.insert(resource.clone(), most.0.as_str().into());
    }
    let advice = "Request less, delete objects that are not needed, or raise the quota up to the maximum of the class.";
    (advice, Some(patch_command(&snapshot.name, &json!({"spec": {"quota": raised}}))))
}

fn pod_security_source(snapshot: &ClusterSnapshot, level: &str) -> String {
    let enforced = snapshot.class_in_force().filter(|class| {
        let enforced = class.spec.pod_security.and_then(|levels| levels.enforce);
        let name = match enforced {
            Some(PodSecurityLevel::Privileged) => "privileged",
            Some(PodSecurityLevel::Baseline) => "baseline",
            Some(PodSecurityLevel::Restricted) => "restricted",
            None => "",
        };
        name == level
    });
    let from = enforced.map_or_else(
        || format!("which labels of namespace {} set", snapshot.name),
        |class| format!("which SpaceClass {} requires", class.name_any()),
    );
    format!("Pod Security level {level}, {from}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSet;

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, lines, now, parse, set_terminating},
    };

    fn set(message: &str) -> ReplicaSet {
        parse(json!({
            "metadata": {
                "name": "web-5d9c",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1", "controller": true}],
            },
            "status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]},
        }))
    }

    /// The diagnoses about a ReplicaSet whose condition `ReplicaFailure` has the given message.
    fn rejected(message: &str) -> Vec<String> {
        let mut snapshot = healthy();
        snapshot.replica_sets = Fetched::Found(vec![set(message)]);
        lines(&diagnose(&snapshot, now()))
    }

    #[test]
    fn pods_that_exceed_a_quota() {
        let expected = [
            "Problem: Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace orchid-lab: requests.cpu 5 \
            requested, 8 of 10 used. Request less, delete objects that are not needed, or raise the quota up to the maximum of the class.",
            "  kubectl dspace usage orchid-lab",
            "  kubectl -n orchid-lab edit deployment web",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"quota":{"requests.cpu":"20"}}}'"#,
        ];
        let of = |quota: &str, requested: &str, used: &str, hard: &str| {
            format!(
                "pods \"web-5d9c-x\" is forbidden: exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {hard}"
            )
        };
        assert_eq!(rejected(&of("developerspace", "requests.cpu=5", "requests.cpu=8", "requests.cpu=10")), expected);
        let full = rejected(&of(
            "developerspace",
            "pods=1,requests.cpu=1",
            "pods=40,requests.cpu=20",
            "pods=40,requests.cpu=20",
        ));
        let expected = [
            "Problem: Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace orchid-lab: pods 1 requested, \
            40 of 40 used; requests.cpu 1 requested, 20 of 20 used. Request less, or delete objects that are not needed: the class allows \
            no larger quota.",
            "  kubectl dspace usage orchid-lab",
            "  kubectl -n orchid-lab edit deployment web",
        ];
        assert_eq!(full, expected);
        let expected = [
            "Problem: Pods of Deployment web are rejected, because they exceed ResourceQuota zoology-cap, which the operator does not \
            manage: pods 1 requested, 3 of 3 used. Request less, or ask the owner of the quota to raise it.",
            "  kubectl -n orchid-lab describe resourcequota zoology-cap",
            "  kubectl -n orchid-lab edit deployment web",
        ];
        assert_eq!(rejected(&of("zoology-cap", "pods=1", "pods=3", "pods=3")), expected);
    }

    #[test]
    fn rejections_by_quotas_limits_and_pod_security_are_explained() {
        for (message, expected) in [
            (
                "pods \"w\" is forbidden: failed quota: developerspace: must specify limits.cpu for: web",
                vec![
                    "Problem: Pods of Deployment web are rejected, because ResourceQuota developerspace limits resources that they do not \
                    set; they must specify limits.cpu for: web. Set resources.requests and resources.limits for each container.",
                    "  kubectl -n orchid-lab edit deployment web",
                    "  kubectl -n orchid-lab describe limitrange",
                ],
            ),
            (
                "pods \"w\" is forbidden: maximum cpu usage per Container is 1, but limit is 2",
                vec![
                    "Problem: Pods of Deployment web are rejected, because they are outside the limits for a container or pod: maximum cpu \
                    usage per Container is 1, but limit is 2. Change their requests and limits; spec.limitRange of the space changes the \
                    defaults within the bounds of the class.",
                    "  kubectl -n orchid-lab describe limitrange",
                    "  kubectl -n orchid-lab edit deployment web",
                ],
            ),
            (
                "pods \"w\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"web\" must not set securityContext.privileged=true)",
                vec![
                    "Problem: Pods of Deployment web are rejected, because they violate Pod Security level baseline, which SpaceClass \
                    greenhouse requires: privileged (container \"web\" must not set securityContext.privileged=true). Correct the pod \
                    template.",
                    "  kubectl -n orchid-lab edit deployment web",
                ],
            ),
            (
                "pods \"w\" is forbidden: violates PodSecurity \"restricted:v1.33\": runAsNonRoot != true",
                vec![
                    "Problem: Pods of Deployment web are rejected, because they violate Pod Security level restricted, which labels of \
                    namespace orchid-lab set: runAsNonRoot != true. Correct the pod template.",
                    "  kubectl -n orchid-lab edit deployment web",
                ],
            ),
            (
                "pods \"w\" is forbidden: error looking up service account orchid-lab/robot: serviceaccount \"robot\" not found",
                vec![
                    "Problem: Pods of Deployment web are rejected: error looking up service account orchid-lab/robot: serviceaccount \
                    \"robot\" not found.",
                    "  kubectl -n orchid-lab edit deployment web",
                    "  kubectl -n orchid-lab get events --field-selector=reason=FailedCreate",
                ],
            ),
        ] {
            assert_eq!(rejected(message), expected, "{message}");
        }
    }

    #[test]
    fn limit_ranges_and_quotas_of_other_users_are_named() {
        let mut snapshot = healthy();
        let said = "pods \"w\" is forbidden: maximum cpu usage per Container is 200m, but limit is 500m";
        snapshot.replica_sets = Fetched::Found(vec![set(said)]);
        let limits = json!([{"type": "Container", "max": {"cpu": "200m"}}]);
        snapshot.limits =
            Fetched::Found(vec![parse(json!({"metadata": {"name": "cluster-baseline"}, "spec": {"limits": limits}}))]);
        let expected = [
            "Problem: Pods of Deployment web are rejected by LimitRange cluster-baseline, which the operator does not manage: maximum cpu \
            usage per Container is 200m, but limit is 500m. Containers without limits get the defaults of all LimitRanges in the \
            namespace: set resources.requests and resources.limits within all bounds, or ask the owner of the LimitRange to change it. No \
            field of the space raises this bound.",
            "  kubectl -n orchid-lab describe limitrange cluster-baseline",
            "  kubectl -n orchid-lab edit deployment web",
        ];
        assert_eq!(lines(&diagnose(&snapshot, now())), expected);
        let quota = "pods \"w\" is forbidden: failed quota: baseline: must specify limits.ephemeral-storage for: web";
        snapshot.replica_sets = Fetched::Found(vec![set(quota)]);
        let expected = [
            "Problem: Pods of Deployment web are rejected, because ResourceQuota baseline, which the operator does not manage, limits \
            resources that they do not set; they must specify limits.ephemeral-storage for: web. Set resources.requests and \
            resources.limits for each container, or ask the owner of the quota to change it; no field of the space changes it.",
            "  kubectl -n orchid-lab edit deployment web",
            "  kubectl -n orchid-lab describe limitrange",
        ];
        assert_eq!(lines(&diagnose(&snapshot, now())), expected);
    }

    #[test]
    fn a_request_above_the_default_limit_needs_a_limit() {
        let said = "Pod \"w\" is invalid: spec.containers[0].resources.requests: Invalid value: \"1Gi\": \
            must be less than or equal to memory limit of 512Mi";
        let advice = "A container that requests more than the default limit needs its own limit: set resources.limits.";
        assert!(rejected(said)[0].ends_with(advice));
    }

    #[test]
    fn rejections_in_a_terminating_namespace_are_not_reported() {
        let mut snapshot = healthy();
        snapshot.replica_sets = Fetched::Found(vec![set("no")]);
        set_terminating(&mut snapshot, "2026-11-24T08:59:00Z", &[]);
        assert_eq!(diagnose(&snapshot, now()), []);
    }
}
