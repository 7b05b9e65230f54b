//! Adoption of a namespace that an administrator hands over: the write, and the values of others that it replaces.
//!
//! A Pod Security level is never lowered: the stricter of the level found and the level of the class holds from then
//! on. The marks of an earlier release stay until the status records the UID of the namespace: if the adoption is
//! undone, the namespace is a released one again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::{metadata::WantedMetadata, namespace::NamespaceMetadata, pod_security};
use crate::api::{DeveloperSpace, PodSecurity, names};

/// The write that adopts a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The merge patch (RFC 7386), refused if the namespace has changed since it was read; `None` if an earlier attempt
    /// wrote all of it.
    pub patch: Option<Value>,
    /// The labels and annotations of others that it replaces or removes, as a sentence; empty if there are none.
    pub replaced: String,
}

/// Adopts the namespace `live` for `space`.
pub fn adopt(space: &DeveloperSpace, metadata: NamespaceMetadata, live: &ObjectMeta) -> Adoption {
    let mut wanted = metadata.at_least(found(space, live)).granted();
    let stays = |key: &str| names::records_release(key) || key == names::LABEL_NETWORK_ENFORCED;
    wanted.kept = wanted.kept.and_existing(live, stays);
    let mut patch = wanted.patch(live);
    patch["metadata"]["resourceVersion"] = json!(live.resource_version);
    for version in pod_security::MODES.map(pod_security::version_label) {
        // A level without a version label is that of the cluster's version, which is at least as strict.
        if live.labels.as_ref().is_some_and(|labels| labels.contains_key(&version)) {
            patch["metadata"]["labels"][version] = Value::Null;
        }
    }
    let replaced = replaced(&patch, &wanted, live);
    let is_empty = |section: &str| patch["metadata"][section].as_object().is_none_or(Map::is_empty);
    Adoption { patch: Some(patch.clone()).filter(|_| !is_empty("labels") || !is_empty("annotations")), replaced }
}

/// The levels that the namespace had before. An earlier attempt that raised them recorded these.
fn found(space: &DeveloperSpace, live: &ObjectMeta) -> PodSecurity {
    let annotation = |key| live.annotations.as_ref().and_then(|annotations| annotations.get(key));
    let is_second_try =
        annotation(names::ANNOTATION_SPACE_UID).is_some_and(|claim| space.metadata.uid.as_ref() == Some(claim));
    if is_second_try {
        return annotation(names::ANNOTATION_ADOPTED_POD_SECURITY)
            .map(|text| pod_security::from_annotation(text))
            .unwrap_or_default();
    }
    pod_security::from_labels(live.labels.as_ref())
}

/// Every label with its former value; of annotations, which may be long, the keys.
fn replaced(patch: &Value, wanted: &WantedMetadata, live: &ObjectMeta) -> String {
    let changes = |section: &str| patch["metadata"][section].as_object().cloned().unwrap_or_default();
    let was = |key: &String| live.labels.as_ref().and_then(|labels| labels.get(key));
    let label = |key: &String| {
        let before = was(key)?;
        Some(match wanted.written.labels.get(key) {
            Some(now) => format!("label {key} was {before:?} and is {now:?}"),
            None => format!("label {key} was {before:?} and is removed"),
        })
    };
    let had = |key: &&String| live.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(*key));
    let labels: Vec<String> = changes("labels").keys().filter_map(label).collect();
    let annotations = changes("annotations");
    let annotations: Vec<String> = annotations.keys().filter(had).map(|key| format!("annotation {key}")).collect();
    labels.into_iter().chain(annotations).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::SpaceClassSpec,
        desired::{desire, resolve},
    };

    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn space() -> DeveloperSpace {
        read(&json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "vault-lab", "uid": "uid-of-the-space"},
            "spec": {"owner": {"kind": "User", "name": "kim@example.com"}},
        }))
    }

    fn adopted(labels: &Value, annotations: &Value) -> Adoption {
        let class: SpaceClassSpec = read(&json!({"podSecurity": {"enforce": "baseline", "warn": "restricted"}}));
        let resolved = resolve(&space(), "standard", &class).resolved;
        let metadata = desire(&space(), &resolved, None).namespace;
        let live = json!({"name": "vault-lab", "uid": "uid-legacy", "resourceVersion": "30", "labels": labels, "annotations": annotations});
        adopt(&space(), metadata, &read(&live))
    }

    fn ours(security: &Value, remembered: Option<&str>) -> Value {
        let mut labels = json!({
            "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "vault-lab", "developerspace.dev/class": "standard",
        });
        labels.as_object_mut().unwrap().extend(security.as_object().unwrap().clone());
        let mut annotations = json!({
            "developerspace.dev/space-uid": "uid-of-the-space", "developerspace.dev/owner": "User:kim@example.com", "openshift.io/requester": "kim@example.com",
        });
        if let Some(remembered) = remembered {
            annotations["developerspace.dev/adopted-pod-security"] = json!(remembered);
        }
        json!({"metadata": {"uid": "uid-legacy", "resourceVersion": "30", "labels": labels, "annotations": annotations}})
    }

    #[test]
    fn adoption_keeps_a_stricter_level_and_removes_its_version() {
        let found = json!({
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.33",
            "app.kubernetes.io/managed-by": "Helm",
        });
        let security = json!({"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/enforce-version": null});
        let Adoption { patch, replaced } = adopted(&found, &json!({}));
        assert_eq!(patch.unwrap(), ours(&security, Some("enforce=restricted")));
        assert_eq!(
            replaced,
            r#"label app.kubernetes.io/managed-by was "Helm" and is "developerspace-operator", label pod-security.kubernetes.io/enforce-version was "v1.33" and is removed"#
        );
    }

    #[test]
    fn adoption_raises_a_looser_level_and_reports_the_change() {
        let found = json!({"pod-security.kubernetes.io/enforce": "privileged"});
        let security =
            json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"});
        let Adoption { patch, replaced } =
            adopted(&found, &json!({"openshift.io/requester": "omar@example.com", "note": "stays"}));
        assert_eq!(patch.unwrap(), ours(&security, Some("enforce=privileged")));
        assert_eq!(
            replaced,
            r#"label pod-security.kubernetes.io/enforce was "privileged" and is "baseline", annotation openshift.io/requester"#
        );
    }

    #[test]
    fn a_second_attempt_uses_the_levels_that_the_first_one_recorded() {
        let labels =
            json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"});
        let claim = json!({"developerspace.dev/space-uid": "uid-of-the-space", "developerspace.dev/adopted-pod-security": "enforce=privileged"});
        let security = adopted(&labels, &claim).patch.unwrap();
        assert_eq!(
            security["metadata"]["labels"].get("pod-security.kubernetes.io/enforce"),
            None,
            "it is right already"
        );
        assert_eq!(security["metadata"]["annotations"].get("developerspace.dev/adopted-pod-security"), None);
        let unmarked = adopted(&labels, &json!({"developerspace.dev/space-uid": "uid-of-the-space"})).patch.unwrap();
        assert_eq!(
            unmarked["metadata"]["annotations"].get("developerspace.dev/adopted-pod-security"),
            None,
            "it had no level of its own"
        );
    }

    #[test]
    fn adoption_keeps_the_marks_of_a_release_until_the_uid_is_recorded() {
        let labels = json!({"developerspace.dev/released": "true", "developerspace.dev/network-enforced": "true", "developerspace.dev/team": "forged"});
        let marks = json!({
            "developerspace.dev/released-from": "vault-lab/uid-before", "developerspace.dev/released-class": "greenhouse",
            "developerspace.dev/released-owner": "User:omar@example.com", "developerspace.dev/released-at": "2026-03-04T12:00:00Z",
            "developerspace.dev/adopt": "vault-lab/uid-of-the-space",
        });
        let mut expected =
            json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"});
        expected["developerspace.dev/team"] = Value::Null;
        let Adoption { patch, replaced } = adopted(&labels, &marks);
        assert_eq!(patch.unwrap(), ours(&expected, None));
        assert_eq!(replaced, r#"label developerspace.dev/team was "forged" and is removed"#);
    }
}
