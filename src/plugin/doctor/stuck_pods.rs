//! Pods that exist but do not run: they cannot be scheduled, or a container does not start.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::{
    diagnosis::{Diagnosis, with_period},
    snapshot::ClusterSnapshot,
};

/// The reason why a pod is stuck.
struct StuckPod {
    /// The common key of pods of one controller that are stuck for the same reason.
    cause: String,
    /// One or two sentences.
    sentence: String,
    /// Commands that print details.
    commands: Vec<String>,
}

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    // The pods of one controller usually fail for the same reason, so one diagnosis represents all of them.
    let mut groups: BTreeMap<(String, String), (StuckPod, usize)> = BTreeMap::new();
    for pod in snapshot.pods.items() {
        if let Some(stuck) = stuck_pod(&snapshot.name, pod) {
            let key = (controller(pod), stuck.cause.clone());
            groups.entry(key).and_modify(|(_, others)| *others += 1).or_insert((stuck, 0));
        }
    }
    let diagnoses = groups.into_iter().map(|((controller, _), (StuckPod { sentence, commands, .. }, others))| {
        let sentence = match others {
            0 => sentence,
            1 => format!("{sentence} Another pod of {controller} has the same problem."),
            _ => format!("{sentence} {others} other pods of {controller} have the same problem."),
        };
        Diagnosis::problem(sentence).with_commands(commands)
    });
    diagnoses.collect()
}

/// `ReplicaSet web-5d9c`, or the pod itself.
fn controller(pod: &Pod) -> String {
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    owner.map_or_else(|| format!("Pod {}", pod.name_any()), |owner| format!("{} {}", owner.kind, owner.name))
}

fn stuck_pod(namespace: &str, pod: &Pod) -> Option<StuckPod> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let name = pod.name_any();
    let describe = format!("kubectl -n {namespace} describe pod {name}");
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let reason = condition.reason.clone().unwrap_or_default();
        let why = condition.message.as_deref().unwrap_or("the cause is not reported");
        let sentence = with_period(&format!("Pod {name} is not scheduled ({reason}): {why}"));
        return Some(StuckPod { cause: reason, sentence, commands: vec![describe] });
    }
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let (container, waiting, reason) =
        containers.find_map(|container| waiting(container).map(|(waiting, reason)| (container, waiting, reason)))?;
    let logs = (reason == "CrashLoopBackOff")
        .then(|| format!("kubectl -n {namespace} logs {name} -c {} --previous", container.name));
    Some(StuckPod {
        cause: format!("{} {reason}", container.name),
        sentence: container_sentence(&name, container, waiting, reason),
        commands: logs.into_iter().chain([describe]).collect(),
    })
}

/// The waiting state of a container, if it is not part of a normal start.
fn waiting(container: &ContainerStatus) -> Option<(&ContainerStateWaiting, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason =
        waiting.reason.as_deref().filter(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing"))?;
    Some((waiting, reason))
}

fn container_sentence(pod: &str, container: &ContainerStatus, waiting: &ContainerStateWaiting, reason: &str) -> String {
    let ContainerStatus { name, image, last_state, restart_count, .. } = container;
    let message = waiting.message.as_deref().unwrap_or("the cause is not reported");
    match reason {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
            let sentence = with_period(&format!(
                "Container {name} of pod {pod} does not start, because its image {image} cannot be pulled ({reason}): {message}"
            ));
            format!("{sentence} Check the image name and the pull secret.")
        }
        "CrashLoopBackOff" => {
            let last = last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let code = last.map(|last| format!(", last with exit code {}", last.exit_code)).unwrap_or_default();
            let ends = format!("Container {name} of pod {pod} exits repeatedly ({restart_count} restarts){code}.");
            let is_out_of_memory = last.is_some_and(|last| last.reason.as_deref() == Some("OOMKilled"));
            if is_out_of_memory {
                format!("{ends} It exceeded its memory limit: raise the limit, or reduce its memory usage.")
            } else {
                ends
            }
        }
        _ => with_period(&format!("Container {name} of pod {pod} does not start ({reason}): {message}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, lines, now, parse},
    };

    fn pod(name: &str, status: &Value) -> Pod {
        parse(json!({
            "metadata": {
                "name": name,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c", "uid": "r-1", "controller": true}],
            },
            "status": status,
        }))
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "web", "image": "registry.example.com/web:2", "imageID": "", "ready": false, "restartCount": 7, "state": state, "lastState": last,
        }]})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    fn diagnosis_lines(pods: Vec<Pod>) -> Vec<String> {
        let mut snapshot = healthy();
        snapshot.pods = Fetched::Found(pods);
        lines(&diagnose(&snapshot, now()))
    }

    const DESCRIBE: &str = "  kubectl -n orchid-lab describe pod web-1";
    const LOGS: &str = "  kubectl -n orchid-lab logs web-1 -c web --previous";

    #[test]
    fn each_cause_of_a_stuck_pod() {
        let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."},
        ]});
        let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
        for (status, expected) in [
            (
                unscheduled,
                vec![
                    "Problem: Pod web-1 is not scheduled (Unschedulable): 0/3 nodes are available: 3 Insufficient cpu.",
                    DESCRIBE,
                ],
            ),
            (
                container(&waiting("ImagePullBackOff", "Back-off pulling image"), &json!({})),
                vec![
                    "Problem: Container web of pod web-1 does not start, because its image registry.example.com/web:2 cannot be pulled \
                    (ImagePullBackOff): Back-off pulling image. Check the image name and the pull secret.",
                    DESCRIBE,
                ],
            ),
            (
                container(&waiting("CrashLoopBackOff", "back-off 5m0s"), &ended(1, "Error")),
                vec![
                    "Problem: Container web of pod web-1 exits repeatedly (7 restarts), last with exit code 1.",
                    LOGS,
                    DESCRIBE,
                ],
            ),
            (
                container(&waiting("CrashLoopBackOff", "back-off 5m0s"), &ended(137, "OOMKilled")),
                vec![
                    "Problem: Container web of pod web-1 exits repeatedly (7 restarts), last with exit code 137. It exceeded its memory \
                    limit: raise the limit, or reduce its memory usage.",
                    LOGS,
                    DESCRIBE,
                ],
            ),
            (
                container(&waiting("CreateContainerConfigError", "secret \"keys\" not found"), &json!({})),
                vec![
                    "Problem: Container web of pod web-1 does not start (CreateContainerConfigError): secret \"keys\" not found.",
                    DESCRIBE,
                ],
            ),
            (container(&waiting("ContainerCreating", ""), &json!({})), vec![]),
            (container(&json!({"running": {}}), &ended(1, "Error")), vec![]),
            (json!({"phase": "Succeeded"}), vec![]),
        ] {
            assert_eq!(diagnosis_lines(vec![pod("web-1", &status)]), expected, "{status}");
        }
    }

    #[test]
    fn pods_with_the_same_problem_are_reported_once() {
        let broken = container(&waiting("CrashLoopBackOff", "back-off 5m0s"), &json!({}));
        let pods = ["web-1", "web-2", "web-3"].map(|name| pod(name, &broken));
        let expected = "Problem: Container web of pod web-1 exits repeatedly (7 restarts).";
        assert_eq!(diagnosis_lines(pods[..1].to_vec())[0], expected);
        assert_eq!(
            diagnosis_lines(pods[..2].to_vec())[0],
            format!("{expected} Another pod of ReplicaSet web-5d9c has the same problem.")
        );
        let all = format!("{expected} 2 other pods of ReplicaSet web-5d9c have the same problem.");
        assert_eq!(diagnosis_lines(pods.to_vec()), [all.as_str(), LOGS, DESCRIBE]);
    }

    #[test]
    fn a_terminating_pod_is_not_reported() {
        let mut leaving = pod("web-1", &container(&waiting("CrashLoopBackOff", ""), &json!({})));
        leaving.metadata.deletion_timestamp = parse("2026-11-24T08:59:00Z".into());
        assert!(diagnosis_lines(vec![leaving]).is_empty());
    }
}
