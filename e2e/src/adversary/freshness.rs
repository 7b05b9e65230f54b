//! Owns the test of whether an observed state is as new as the responses of the sequence. A watch may be behind, and a
//! check of an older state shows nothing.

use serde_json::Value;

use super::trace::{ObservedState, Trace};
use crate::fixtures::{name_of, text, uid_of};

/// Returns true if the last state of the sequence contains the result of each accepted request.
pub(super) fn is_current(trace: &Trace) -> bool {
    let Some(state) = trace.states.last() else { return false };
    trace
        .accepted()
        .filter_map(|exchange| exchange.response.as_ref().ok())
        .all(|response| contains(trace, state, response))
}

/// Returns true if `state` is at least as new as `response`.
fn contains(trace: &Trace, state: &ObservedState, response: &Value) -> bool {
    if response["kind"] == "Status" {
        // The API server removed the object at once.
        let removed = text(response, "/details/uid");
        return removed.is_empty() || !state.objects.values().flatten().any(|(_, object)| uid_of(object) == removed);
    }
    match observed(state, response) {
        Some(object) => version(object) >= version(response),
        // An object that was created cannot be distinguished from one that was removed later. Of a space, the sequence
        // knows the removal.
        None => response["kind"] != "DeveloperSpace" || is_deleted(trace, uid_of(response)),
    }
}

/// The object of the state that has the kind and the name of that of the response.
fn observed<'a>(state: &'a ObservedState, response: &Value) -> Option<&'a Value> {
    let namespace = text(response, "/metadata/namespace");
    let group = if namespace.is_empty() { name_of(response) } else { namespace };
    let is_same = |object: &&Value| object["kind"] == response["kind"] && name_of(object) == name_of(response);
    state.objects.get(group)?.values().find(is_same)
}

/// The resourceVersion. The API server compares it as a number
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

/// Returns true if a response or a version of the space shows its deletion.
fn is_deleted(trace: &Trace, uid: &str) -> bool {
    let responses = trace.accepted().filter_map(|exchange| exchange.response.as_ref().ok());
    let is_removed = |object: &Value| {
        text(object, "/details/uid") == uid
            || (uid_of(object) == uid && !object["metadata"]["deletionTimestamp"].is_null())
    };
    responses.chain(trace.versions.values().flatten().map(|version| &*version.space)).any(is_removed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta};
    use serde_json::json;

    use super::*;
    use crate::{adversary::names::Names, fault_sweep::cluster_view::Objects};

    fn object(kind: &str, version: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": "lab", "uid": "1", "resourceVersion": version}})
    }

    fn is_in(objects: &[Value], response: &Value) -> bool {
        let objects: Objects =
            objects.iter().map(|object| (text(object, "/kind").to_owned(), object.clone())).collect();
        let state = ObservedState { at: DateTime::default(), objects: BTreeMap::from([("lab".to_owned(), objects)]) };
        contains(&Trace::new(Names::of_sequence(1), TimeDelta::zero()), &state, response)
    }

    #[test]
    fn a_state_is_current_from_the_version_of_the_response_on() {
        let response = object("DeveloperSpace", "100");
        assert!(!is_in(&[object("DeveloperSpace", "99")], &response));
        assert!(is_in(&[object("DeveloperSpace", "100")], &response));
        assert!(!is_in(&[object("Namespace", "101")], &response));
        assert!(is_in(&[], &object("Namespace", "100")));
    }

    #[test]
    fn an_object_that_was_removed_at_once_is_not_in_a_current_state() {
        let response = json!({"kind": "Status", "details": {"uid": "1"}});
        assert!(!is_in(&[object("SpaceClass", "99")], &response));
        assert!(is_in(&[], &response));
    }
}
