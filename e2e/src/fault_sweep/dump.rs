//! Owns the basis of comparison for two runs: the state of a space without names, identities and times.

use serde_json::{Value, json};

use super::cluster_view::Objects;
use crate::fixtures::{essence, is_observed, text, uid_of};

/// The annotation that names the previous namespace. It records how the current namespace was created, and is not part
/// of the end state.
const REPLACES: &str = "developerspace.dev/replaces";

/// The annotation that names a deleted space, whose UID differs in each run.
const RELEASED_FROM: &str = "developerspace.dev/released-from";

/// Returns the state of the space `name`. It is equal for any two runs with the same end state.
pub fn dump(name: &str, objects: &Objects) -> Value {
    let uid = |key: &str| objects.get(key).map(|object| uid_of(object).to_owned());
    let last = || objects.get("DeveloperSpace").map(|space| text(space, "/status/namespace/uid").to_owned());
    let namespace = uid("Namespace").or_else(last);
    let known = [(Some(name.to_owned()), "NAME"), (uid("DeveloperSpace"), "SPACE-UID"), (namespace, "NAMESPACE-UID")];
    let all: serde_json::Map<String, Value> = objects.iter().map(|(key, object)| (key.clone(), one(object, objects))).collect();
    let mut all = Value::Object(all);
    visit(&mut all, &|text: &str| {
        let mut text = hide_times(text);
        for (known, instead) in &known {
            if let Some(known) = known.as_ref().filter(|known| !known.is_empty()) {
                text = text.replace(known.as_str(), instead);
            }
        }
        text
    });
    all
}

fn one(object: &Value, all: &Objects) -> Value {
    let mut essence = essence(object);
    // Items of a list have no apiVersion.
    if let Some(fields) = essence.as_object_mut() {
        fields.remove("apiVersion");
    }
    if let Some(metadata) = essence["metadata"].as_object_mut() {
        metadata.remove("deletionGracePeriodSeconds");
    }
    match object["kind"].as_str().unwrap_or_default() {
        "DeveloperSpace" => {
            let mut status = object["status"].clone();
            status["observedGeneration"] = if is_observed(object) { json!("current") } else { json!("old") };
            conditions(&mut status, &object["metadata"]["generation"]);
            essence["status"] = status;
            essence["deleting"] = (!object["metadata"]["deletionTimestamp"].is_null()).into();
            essence["told in the namespace"] = agrees(object, all).into();
        }
        "Namespace" => {
            essence["status"] = json!({"phase": object["status"]["phase"]});
            if let Some(annotations) = essence["metadata"]["annotations"].as_object_mut() {
                annotations.remove(REPLACES);
                if let Some(from) = annotations.get_mut(RELEASED_FROM) {
                    *from = "NAME/UID".into();
                }
            }
            essence["claims its space"] = (text(object, "/metadata/annotations/developerspace.dev~1space-uid")
                == all.get("DeveloperSpace").map(uid_of).unwrap_or_default())
            .into();
        }
        "SpaceClass" => {
            let mut status = object["status"].clone();
            status["observedGeneration"] = if is_observed(object) { json!("current") } else { json!("old") };
            conditions(&mut status, &object["metadata"]["generation"]);
            essence["status"] = status;
        }
        _ => {}
    }
    essence
}

/// Returns true if the namespace's annotation contains the same expiry as the status, to the second, or if there is no
/// namespace.
fn agrees(space: &Value, all: &Objects) -> bool {
    let told = all.get("Namespace").map(|namespace| text(namespace, "/metadata/annotations/developerspace.dev~1expires-at"));
    told.is_none_or(|told| told == text(space, "/status/expiresAt"))
}

fn conditions(status: &mut Value, generation: &Value) {
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let current = condition["observedGeneration"] == *generation;
        condition["observedGeneration"] = if current { json!("current") } else { json!("old") };
    }
}

fn visit(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, change)),
        Value::Object(map) => {
            let old = std::mem::take(map);
            for (key, mut item) in old {
                visit(&mut item, change);
                map.insert(change(&key), item);
            }
        }
        _ => {}
    }
}

const TIME: &str = "0000-00-00T00:00:00Z";

/// Replaces each RFC 3339 time in whole seconds with `TIME`.
fn hide_times(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_time = |at: usize| {
        bytes.get(at..at + TIME.len()).is_some_and(|piece| {
            piece.iter().zip(TIME.bytes()).all(|(byte, shape)| if shape == b'0' { byte.is_ascii_digit() } else { *byte == shape })
        })
    };
    let (mut hidden, mut from) = (String::new(), 0);
    while let Some(at) = (from..bytes.len()).find(|at| is_time(*at)) {
        hidden.push_str(&text[from..at]);
        hidden.push_str("TIME");
        from = at + TIME.len();
    }
    hidden.push_str(&text[from..]);
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(name: &str, uid: &str, at: &str) -> Objects {
        let space = json!({"kind": "DeveloperSpace", "metadata": {"name": name, "uid": uid, "generation": 2},
            "status": {"observedGeneration": 2, "expiresAt": at, "conditions": [{"type": "Ready", "message": format!("{name} é until {at}"), "observedGeneration": 2}]}});
        let namespace = json!({"kind": "Namespace", "metadata": {"name": name, "uid": format!("ns-{uid}"),
            "annotations": {"developerspace.dev/expires-at": at, "developerspace.dev/space-uid": uid}}});
        Objects::from([("DeveloperSpace".into(), space), ("Namespace".into(), namespace)])
    }

    #[test]
    fn names_uids_and_times_do_not_matter_and_all_else_does() {
        let first = dump("a-1", &objects("a-1", "111", "2026-11-24T09:00:00Z"));
        assert_eq!(first, dump("b-22", &objects("b-22", "222", "2026-11-25T09:00:00Z")));
        let mut other = objects("c", "333", "2026-11-24T09:00:00Z");
        if let Some(namespace) = other.get_mut("Namespace") {
            namespace["metadata"]["annotations"]["developerspace.dev/expires-at"] = "2026-11-24T09:00:01Z".into();
        }
        assert_ne!(first, dump("c", &other), "the annotation must agree with the status");
    }
}
