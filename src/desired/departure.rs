//! The fate of the namespace of a space that is being deleted, and the marks of a released namespace.
//!
//! A release removes the marks of ownership. Everything that protects the cluster from the workloads stays.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::{
    lifetime::inputs::{created, is_sealed},
    metadata::owns_annotation,
    ownership::{Ownership, is_half_adopted, is_released_from, ownership},
    seen_namespace::SeenNamespace,
};
use crate::api::{
    DeletionPolicy, DeveloperSpace, Subject, names,
    time::{from_k8s, rfc3339},
};

/// The fate of the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It is left alone: it is not the space's.
    Nothing,
    Delete,
    /// It stays, and belongs to no space.
    Release,
    /// It is restored: its adoption was not completed.
    HandBack,
    /// The deletion waits: `Retain` promised that the namespace stays, and the class does not allow a release.
    Wait,
}

/// Decides for `space`; `allows_retain` is the consent of the class in force.
pub(crate) fn departure(space: &DeveloperSpace, allows_retain: bool, namespace: &SeenNamespace) -> Departure {
    if is_half_adopted(space, namespace) {
        return Departure::HandBack;
    }
    // The release was not completed: its last requests are still to be sent.
    if is_released_from(space, namespace) {
        return Departure::Release;
    }
    if ownership(space, namespace) != Ownership::Ours {
        return Departure::Nothing;
    }
    // The namespace of a space that expired is deleted, `Retain` or not.
    if space.spec.deletion_policy == DeletionPolicy::Delete || is_sealed(space) || namespace.terminating.is_some() {
        return Departure::Delete;
    }
    if allows_retain { Departure::Release } else { Departure::Wait }
}

/// The merge patch (RFC 7386) that releases the namespace `live` of `space`; `None` if an earlier request, whose
/// response was lost, did so.
pub fn release(space: &DeveloperSpace, live: &ObjectMeta, now: DateTime<Utc>) -> Option<Value> {
    let name = space.metadata.name.as_deref().unwrap_or_default();
    let from = format!("{name}/{}", space.metadata.uid.as_deref().unwrap_or_default());
    let is_released = |key| live.annotations.as_ref().and_then(|annotations| annotations.get(key)) == Some(&from);
    if is_released(names::ANNOTATION_RELEASED_FROM) {
        return None;
    }
    let status = space.status.as_ref();
    let owner = status.and_then(|status| status.owner.as_ref()).map_or_else(|| space.spec.owner.clone(), Subject::from);
    let (mut labels, mut annotations) = without_marks(live);
    labels.insert(names::LABEL_RELEASED.to_owned(), json!("true"));
    for (key, value) in [
        (names::ANNOTATION_RELEASED_FROM, Some(from.clone())),
        (names::ANNOTATION_RELEASED_CLASS, status.and_then(|status| status.class_name.clone())),
        (names::ANNOTATION_RELEASED_OWNER, Some(owner.to_string())),
        (names::ANNOTATION_RELEASED_AT, Some(rfc3339(now))),
    ] {
        annotations.extend(value.map(|value| (key.to_owned(), json!(value))));
    }
    Some(patch(live, &labels, &annotations))
}

/// Returns true if the object existed before `space`: it protected a released namespace before its adoption, and stays
/// if the adoption is undone.
pub(crate) fn is_older(object: &ObjectMeta, space: &DeveloperSpace) -> bool {
    object.creation_timestamp.as_ref().and_then(from_k8s).is_some_and(|at| at < created(space))
}

/// The merge patch that removes the operator's marks from the half adopted namespace `live`. The mark of enforced
/// isolation stays only if the operator's policy stays, which is decided first. The offer, the raised Pod Security
/// level and the marks of an earlier release stay.
pub(crate) fn hand_back(live: &ObjectMeta, keeps_policy: bool) -> Value {
    let (mut labels, mut annotations) = without_marks(live);
    labels.retain(|key, _| !names::records_release(key));
    annotations.retain(|key, _| !names::records_release(key));
    if !keeps_policy && live.labels.as_ref().is_some_and(|labels| labels.contains_key(names::LABEL_NETWORK_ENFORCED)) {
        labels.insert(names::LABEL_NETWORK_ENFORCED.to_owned(), Value::Null);
    }
    patch(live, &labels, &annotations)
}

fn patch(live: &ObjectMeta, labels: &Map<String, Value>, annotations: &Map<String, Value>) -> Value {
    json!({"metadata": {"uid": live.uid, "labels": labels, "annotations": annotations}})
}

/// Removes the marks of ownership. Pod Security labels and the keys of class and space stay: other tools protect the
/// cluster by them.
fn without_marks(live: &ObjectMeta) -> (Map<String, Value>, Map<String, Value>) {
    let openshift = [
        names::ANNOTATION_OPENSHIFT_REQUESTER,
        names::ANNOTATION_OPENSHIFT_DISPLAY_NAME,
        names::ANNOTATION_OPENSHIFT_DESCRIPTION,
    ];
    let is_mark = |key: &str| names::is_reserved(key) && key != names::LABEL_NETWORK_ENFORCED;
    let labels = live.labels.iter().flatten();
    let ours =
        labels.filter(|(key, value)| is_mark(key) || (*key == names::LABEL_MANAGED_BY && *value == names::OPERATOR));
    let annotations = live.annotations.iter().flat_map(|annotations| annotations.keys());
    let our_annotations =
        annotations.filter(|key| is_mark(key) || (openshift.contains(&key.as_str()) && owns_annotation(live, key)));
    (
        ours.map(|(key, _)| (key.clone(), Value::Null)).collect(),
        our_annotations.map(|key| (key.clone(), Value::Null)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn space(spec: &Value, status: &Value) -> DeveloperSpace {
        let mut whole = json!({"owner": {"kind": "User", "name": "ada@example.com"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        read(&json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "uid-of-the-space"},
            "spec": whole, "status": status,
        }))
    }

    #[test]
    fn retain_requires_consent_and_applies_until_the_space_is_sealed() {
        let recorded = json!({"name": "orchid-lab", "uid": "uid-recorded"});
        let expired = json!([{"type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": "2026-03-09T08:00:00Z"}]);
        let (bare, sealed) = (json!({"namespace": recorded}), json!({"namespace": recorded, "conditions": expired}));
        let (retain, delete) = (json!({"deletionPolicy": "Retain"}), json!({}));
        let standing = SeenNamespace { uid: "uid-recorded".into(), ..SeenNamespace::default() };
        let going = SeenNamespace { terminating: Some(String::new()), ..standing.clone() };
        let foreign = SeenNamespace { uid: "uid-of-another".into(), ..SeenNamespace::default() };
        for (spec, status, allows, namespace, expected) in [
            (&delete, &bare, true, &standing, Departure::Delete),
            (&retain, &bare, true, &standing, Departure::Release),
            (&retain, &bare, false, &standing, Departure::Wait),
            (&retain, &sealed, true, &standing, Departure::Delete),
            (&retain, &bare, false, &going, Departure::Delete),
            (&retain, &bare, false, &foreign, Departure::Nothing),
        ] {
            assert_eq!(departure(&space(spec, status), allows, namespace), expected, "{spec}, {allows}, with {status}");
        }
    }

    #[test]
    fn an_adoption_that_was_never_recorded_is_undone() {
        let mut namespace = SeenNamespace { uid: "uid-legacy".into(), ..SeenNamespace::default() };
        namespace.adopt = Some("orchid-lab/User:ada@example.com".into());
        assert_eq!(
            departure(&space(&json!({}), &json!({})), true, &namespace),
            Departure::Nothing,
            "nothing was written to it yet"
        );
        namespace.claim = Some("uid-of-the-space".into());
        let mut late = space(&json!({"deletionPolicy": "Retain"}), &json!({}));
        late.metadata.creation_timestamp = read(&json!("2026-03-02T08:00:00Z"));
        assert_eq!(departure(&late, true, &namespace), Departure::HandBack);
    }

    fn live() -> ObjectMeta {
        read(&json!({
            "uid": "uid-recorded",
            "labels": {
                "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "orchid-lab", "developerspace.dev/team": "botany",
                "developerspace.dev/network-enforced": "true", "pod-security.kubernetes.io/enforce": "baseline", "example.com/floor": "ground",
                "kubernetes.io/metadata.name": "orchid-lab", "theirs": "x",
            },
            "annotations": {
                "developerspace.dev/space-uid": "uid-of-the-space", "developerspace.dev/adopted-pod-security": "enforce=baseline",
                "developerspace.dev/ttl": "1d", "openshift.io/requester": "ada@example.com", "openshift.io/description": "theirs", "theirs": "x",
            },
            "managedFields": [{"manager": "developerspace-operator", "fieldsV1": {"f:metadata": {
                "f:labels": {"f:pod-security.kubernetes.io/enforce": {}, "f:example.com/floor": {}, "f:kubernetes.io/metadata.name": {}},
                "f:annotations": {"f:openshift.io/requester": {}},
            }}}],
        }))
    }

    #[test]
    fn a_release_removes_the_marks_of_ownership_and_keeps_the_protection() {
        let status = json!({"className": "greenhouse", "owner": {"kind": "Group", "name": "gardeners"}});
        let now = "2026-03-04T12:00:00.5Z".parse().unwrap();
        let patch = release(&space(&json!({}), &status), &live(), now).unwrap();
        let labels = json!({
            "app.kubernetes.io/managed-by": null, "developerspace.dev/space": null, "developerspace.dev/team": null,
            "developerspace.dev/released": "true",
        });
        let annotations = json!({
            "developerspace.dev/space-uid": null, "developerspace.dev/adopted-pod-security": null, "openshift.io/requester": null,
            "developerspace.dev/released-from": "orchid-lab/uid-of-the-space", "developerspace.dev/released-class": "greenhouse",
            "developerspace.dev/released-owner": "Group:gardeners", "developerspace.dev/released-at": "2026-03-04T12:00:00Z",
        });
        assert_eq!(patch, json!({"metadata": {"uid": "uid-recorded", "labels": labels, "annotations": annotations}}));

        let mut released: Value = serde_json::to_value(live()).unwrap();
        json_patch::merge(&mut released, &patch["metadata"]);
        assert_eq!(
            release(&space(&json!({}), &status), &read(&released), "2026-03-04T12:05:00Z".parse().unwrap()),
            None,
            "once is enough"
        );
    }

    #[test]
    fn a_namespace_that_is_handed_back_has_no_released_mark() {
        let patch = hand_back(&live(), false);
        assert_eq!(patch["metadata"]["labels"].as_object().unwrap().get("developerspace.dev/released"), None);
        let mark = patch["metadata"]["labels"].as_object().unwrap().get("developerspace.dev/network-enforced");
        assert_eq!(mark, Some(&Value::Null), "the operator's policy is removed as well");
        assert_eq!(patch["metadata"]["annotations"]["developerspace.dev/space-uid"], Value::Null);
        assert!(patch["metadata"]["annotations"].as_object().unwrap().values().all(Value::is_null));
        let patch = hand_back(&live(), true);
        let mark = patch["metadata"]["labels"].as_object().unwrap().get("developerspace.dev/network-enforced");
        assert_eq!(mark, None, "the operator's policy stays");
    }

    #[test]
    fn a_released_namespace_that_is_handed_back_is_released_again() {
        let mut marked = live();
        marked.labels.get_or_insert_default().insert("developerspace.dev/released".into(), "true".into());
        let marks = [
            ("developerspace.dev/released-from", "orchid-lab/uid-before"),
            ("developerspace.dev/released-class", "greenhouse"),
            ("developerspace.dev/released-owner", "User:bea@example.com"),
            ("developerspace.dev/released-at", "2026-03-04T12:00:00Z"),
        ];
        marked.annotations.get_or_insert_default().extend(marks.map(|(key, value)| (key.into(), value.into())));
        assert_eq!(hand_back(&marked, false), hand_back(&live(), false));
        let released = release(&space(&json!({}), &json!({})), &marked, "2026-03-05T12:00:00Z".parse().unwrap());
        let from = &released.unwrap()["metadata"]["annotations"]["developerspace.dev/released-from"];
        assert_eq!(from, "orchid-lab/uid-of-the-space", "a release of this space replaces them");
    }

    #[test]
    fn an_object_that_existed_before_the_space_is_older() {
        let mut space = space(&json!({}), &json!({}));
        space.metadata.creation_timestamp = read(&json!("2026-03-02T08:00:00Z"));
        for (at, expected) in
            [("2026-03-02T07:59:59Z", true), ("2026-03-02T08:00:00Z", false), ("2026-03-02T08:00:05Z", false)]
        {
            assert_eq!(is_older(&read(&json!({"creationTimestamp": at})), &space), expected, "{at}");
        }
        assert!(!is_older(&ObjectMeta::default(), &space));
    }
}
