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
    let all: serde_json::Map<String, Value> =
        objects.iter().map(|(key, object)| (key.clone(), normalized(object, objects))).collect();
    let mut all = Value::Object(all);
    change_texts(&mut all, &|text: &str| {
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

fn normalized(object: &Value, all: &Objects) -> Value {
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
            essence["status"] = normalized_status(object);
            essence["deleting"] = (!object["metadata"]["deletionTimestamp"].is_null()).into();
            essence["the namespace has the same expiry"] = has_same_expiry(object, all).into();
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
        "SpaceClass" => essence["status"] = normalized_status(object),
        _ => {}
    }
    essence
}

/// Returns true if the namespace's annotation contains the same expiry as the status, to the second, or if there is no
/// namespace.
fn has_same_expiry(space: &Value, all: &Objects) -> bool {
    let annotation =
        all.get("Namespace").map(|namespace| text(namespace, "/metadata/annotations/developerspace.dev~1expires-at"));
    annotation.is_none_or(|annotation| annotation == text(space, "/status/expiresAt"))
}

/// The status, with generations only as current or old.
fn normalized_status(object: &Value) -> Value {
    let mut status = object["status"].clone();
    status["observedGeneration"] = if is_observed(object) { json!("current") } else { json!("old") };
    let generation = &object["metadata"]["generation"];
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let current = condition["observedGeneration"] == *generation;
        condition["observedGeneration"] = if current { json!("current") } else { json!("old") };
    }
    status
}

fn change_texts(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| change_texts(item, change)),
        Value::Object(map) => {
            let old = std::mem::take(map);
            for (key, mut item) in old {
                change_texts(&mut item, change);
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
            piece
                .iter()
                .zip(TIME.bytes())
                .all(|(byte, shape)| if shape == b'0' { byte.is_ascii_digit() } else { *byte == shape })
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
    fn states_that_differ_in_names_uids_and_times_only_are_equal() {
        let first = dump("a-1", &objects("a-1", "111", "2026-11-24T09:00:00Z"));
        assert_eq!(first, dump("b-22", &objects("b-22", "222", "2026-11-25T09:00:00Z")));
        let mut other = objects("c", "333", "2026-11-24T09:00:00Z");
        if let Some(namespace) = other.get_mut("Namespace") {
            namespace["metadata"]["annotations"]["developerspace.dev/expires-at"] = "2026-11-24T09:00:01Z".into();
        }
        assert_ne!(first, dump("c", &other), "the annotation must agree with the status");
    }
}
