//! Labels and annotations: the wanted ones, the existing ones, and their comparison.
//!
//! Keys of other clients stay. A key that the operator wrote and no longer wants is found in the entry of its field
//! manager, see `docs/adr/0001-children-by-post-and-json-patch.md`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::hash::hash;
use crate::api::{DeveloperSpace, names};

/// Labels and annotations that the operator writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The operator's labels and annotations of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedMetadata {
    /// The keys and values to write.
    pub written: Metadata,
    /// The keys that stay unchanged, whether they exist or not.
    pub kept: Keys,
}

/// Keys without values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(BTreeSet<(Which, String)>);

/// One of the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Which {
    Labels,
    Annotations,
}

/// One key that exists, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: u64,
    value: u64,
    ours: bool,
}

/// The part of an object's labels and annotations that is kept in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenMetadata(Box<[Entry]>);

impl SeenMetadata {
    /// Keeps the needed part of `object`, whose managed fields must still be present.
    pub fn from_metadata(object: &ObjectMeta) -> Self {
        let owned = Owned::from_managed_fields(object);
        let entry = |which: Which, key: &String, value: &String| Entry {
            key: hash(&(which, key)),
            value: hash(value),
            ours: owned.has(which, key),
        };
        let labels = object.labels.iter().flatten().map(|(key, value)| entry(Which::Labels, key, value));
        let annotations = object.annotations.iter().flatten().map(|(key, value)| entry(Which::Annotations, key, value));
        Self(labels.chain(annotations).collect())
    }

    /// Returns true if the annotation has that value.
    pub(crate) fn has_annotation_value(&self, annotation: &str, value: &str) -> bool {
        let (key, value) = (hash(&(Which::Annotations, annotation)), hash(&value));
        self.0.iter().any(|entry| entry.key == key && entry.value == value)
    }

    /// Returns true if the label has that value.
    pub(crate) fn has_label(&self, label: &str, value: &str) -> bool {
        let (key, value) = (hash(&(Which::Labels, label)), hash(&value));
        self.0.iter().any(|entry| entry.key == key && entry.value == value)
    }

    /// Returns true if the annotation exists, with any value.
    pub(crate) fn has_annotation(&self, annotation: &str) -> bool {
        let key = hash(&(Which::Annotations, annotation));
        self.0.iter().any(|entry| entry.key == key)
    }

    /// Returns true if every wanted key has its value, and the operator owns no key that is neither wanted nor kept.
    pub fn matches(&self, WantedMetadata { written, kept }: &WantedMetadata) -> bool {
        let wanted: BTreeMap<u64, u64> =
            written.entries().map(|(which, key, value)| (hash(&(which, key)), hash(value))).collect();
        let present = self.0.iter().filter(|entry| wanted.get(&entry.key) == Some(&entry.value)).count();
        let may_stay = |entry: &Entry| {
            !entry.ours
                || wanted.contains_key(&entry.key)
                || kept.0.iter().any(|(which, key)| hash(&(which, key)) == entry.key)
        };
        present == wanted.len() && self.0.iter().all(may_stay)
    }
}

impl Keys {
    /// The keys of `metadata`.
    pub(crate) fn from_metadata(metadata: &Metadata) -> Self {
        Self(metadata.entries().map(|(which, key, _)| (which, key.clone())).collect())
    }

    /// Adds the keys of `object` that `stays` accepts.
    #[must_use]
    pub(crate) fn and_existing(mut self, object: &ObjectMeta, stays: impl Fn(&str) -> bool) -> Self {
        let mut add = |which: Which, present: Option<&BTreeMap<String, String>>| {
            let kept = present.into_iter().flatten().filter(|(key, _)| stays(key));
            self.0.extend(kept.map(|(key, _)| (which, key.clone())));
        };
        add(Which::Labels, object.labels.as_ref());
        add(Which::Annotations, object.annotations.as_ref());
        self
    }

    /// Adds the annotation `key`.
    #[must_use]
    pub(crate) fn and_annotation(mut self, key: &str) -> Self {
        self.0.insert((Which::Annotations, key.to_owned()));
        self
    }
}

impl Metadata {
    fn entries(&self) -> impl Iterator<Item = (Which, &String, &String)> {
        let labels = self.labels.iter().map(|(key, value)| (Which::Labels, key, value));
        labels.chain(self.annotations.iter().map(|(key, value)| (Which::Annotations, key, value)))
    }

    /// Adds `over`, whose values replace those of the same keys.
    #[must_use]
    pub(crate) fn overridden_by(mut self, over: Self) -> Self {
        self.labels.extend(over.labels);
        self.annotations.extend(over.annotations);
        self
    }
}

impl WantedMetadata {
    /// The merge patch (RFC 7386) that sets the wanted keys on `live` and removes the operator's keys that are neither
    /// wanted nor kept. It contains the UID, so the API server refuses it for another object of the same name.
    pub fn patch(&self, live: &ObjectMeta) -> Value {
        let owned = Owned::from_managed_fields(live);
        let section = |which: Which,
                       wanted: &BTreeMap<String, String>,
                       present: Option<&BTreeMap<String, String>>|
         -> Map<String, Value> {
            let may_stay = |key: &String| wanted.contains_key(key) || self.kept.0.contains(&(which, key.clone()));
            let stale = present.into_iter().flatten().filter(|(key, _)| !may_stay(key) && owned.has(which, key));
            let fresh =
                wanted.iter().filter(|(key, value)| present.and_then(|present| present.get(*key)) != Some(*value));
            stale
                .map(|(key, _)| (key.clone(), Value::Null))
                .chain(fresh.map(|(key, value)| (key.clone(), json!(value))))
                .collect()
        };
        json!({"metadata": {
            "uid": live.uid,
            "labels": section(Which::Labels, &self.written.labels, live.labels.as_ref()),
            "annotations": section(Which::Annotations, &self.written.annotations, live.annotations.as_ref()),
        }})
    }
}

/// Returns true if that annotation of `live` is the operator's: its field manager wrote it, or the key has the
/// operator's prefix.
pub(super) fn owns_annotation(live: &ObjectMeta, key: &str) -> bool {
    Owned::from_managed_fields(live).has(Which::Annotations, key)
}

/// The keys that the operator's field manager owns, from `metadata.managedFields`.
struct Owned<'a>(Vec<&'a Value>);

impl<'a> Owned<'a> {
    fn from_managed_fields(object: &'a ObjectMeta) -> Self {
        let ours = object
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.manager.as_deref() == Some(names::FIELD_MANAGER));
        Self(
            ours.filter_map(|entry| entry.fields_v1.as_ref()).filter_map(|fields| fields.0.get("f:metadata")).collect(),
        )
    }

    /// Returns true if the operator owns the key. A reserved key of its prefix counts as its own whichever client wrote
    /// it, so that a forged one is removed. The label that the API server adds never counts, although the managed
    /// fields list it under the client that created the namespace.
    fn has(&self, which: Which, key: &str) -> bool {
        if names::is_reserved(key) {
            return true;
        }
        if key == names::LABEL_NAMESPACE_NAME {
            return false;
        }
        let section = match which {
            Which::Labels => "f:labels",
            Which::Annotations => "f:annotations",
        };
        let key = format!("f:{key}");
        self.0.iter().any(|metadata| metadata.get(section).is_some_and(|section| section.get(&key).is_some()))
    }
}

/// The labels of every object that is created for a space.
pub(super) fn child_labels(space: &DeveloperSpace, class_name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::OPERATOR.to_owned()),
        (names::LABEL_SPACE.to_owned(), space.metadata.name.clone().unwrap_or_default()),
        (names::LABEL_CLASS.to_owned(), class_name.to_owned()),
    ])
}

pub(super) fn child_metadata(name: &str, labels: &BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..ObjectMeta::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn wanted() -> WantedMetadata {
        let written = Metadata {
            labels: [("team".into(), "payments".into())].into(),
            annotations: [("mail".into(), "p@example.com".into())].into(),
        };
        WantedMetadata { written, kept: Keys::default() }
    }

    /// An object on which the operator owns team, tier and mail, and another client owns colour.
    fn seen() -> ObjectMeta {
        live(json!({
            "uid": "u1", "labels": {"team": "payments", "colour": "red", "tier": "old"}, "annotations": {"mail": "p@example.com"},
            "managedFields": [
                {"manager": "developerspace-operator", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:team": {}, "f:tier": {}}, "f:annotations": {"f:mail": {}}}}},
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:colour": {}}}}},
            ],
        }))
    }

    #[test]
    fn a_stale_key_of_the_operator_is_removed_and_other_keys_stay() {
        assert!(!SeenMetadata::from_metadata(&seen()).matches(&wanted()));
        assert_eq!(
            wanted().patch(&seen()),
            json!({"metadata": {"uid": "u1", "labels": {"tier": null}, "annotations": {}}})
        );
        let mut clean = seen();
        clean.labels.as_mut().unwrap().remove("tier");
        assert!(SeenMetadata::from_metadata(&clean).matches(&wanted()));
        assert!(
            SeenMetadata::from_metadata(&clean).has_annotation_value("mail", "p@example.com")
                && !SeenMetadata::from_metadata(&clean).has_annotation_value("mail", "q@example.com")
        );
    }

    #[test]
    fn forged_keys_of_the_operators_prefix_are_removed_and_keys_of_administrators_stay() {
        let mut object = live(json!({
            "uid": "u1", "annotations": {"developerspace.dev/expires-at": "2020-01-01T00:00:00Z", "developerspace.dev/adopt": "x"},
            "labels": {"developerspace.dev/cost-center": "theirs"},
        }));
        assert!(!SeenMetadata::from_metadata(&object).matches(&WantedMetadata::default()));
        let gone = json!({"developerspace.dev/expires-at": null});
        let patch =
            json!({"metadata": {"uid": "u1", "labels": {"developerspace.dev/cost-center": null}, "annotations": gone}});
        assert_eq!(WantedMetadata::default().patch(&object), patch);
        object.labels = None;
        object.annotations.as_mut().unwrap().remove("developerspace.dev/expires-at");
        assert!(SeenMetadata::from_metadata(&object).matches(&WantedMetadata::default()));
    }

    #[test]
    fn the_label_of_the_api_server_is_never_removed() {
        let object = live(json!({
            "uid": "u1", "labels": {"kubernetes.io/metadata.name": "x"},
            "managedFields": [{"manager": "developerspace-operator", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:kubernetes.io/metadata.name": {}}}}}],
        }));
        assert!(SeenMetadata::from_metadata(&object).matches(&WantedMetadata::default()));
        assert_eq!(
            WantedMetadata::default().patch(&object),
            json!({"metadata": {"uid": "u1", "labels": {}, "annotations": {}}})
        );
    }

    #[test]
    fn a_changed_or_missing_key_is_set() {
        for change in [Some("other"), None] {
            let mut object = seen();
            let labels = object.labels.as_mut().unwrap();
            labels.remove("tier");
            match change {
                Some(value) => labels.insert("team".into(), value.into()),
                None => labels.remove("team"),
            };
            assert!(!SeenMetadata::from_metadata(&object).matches(&wanted()), "{change:?}");
            assert_eq!(wanted().patch(&object)["metadata"]["labels"], json!({"team": "payments"}));
        }
    }

    #[test]
    fn kept_keys_are_neither_written_nor_removed() {
        let kept = Metadata {
            labels: [("tier".into(), "new".into()), ("absent".into(), "x".into())].into(),
            annotations: [].into(),
        };
        let wanted = WantedMetadata {
            kept: Keys::from_metadata(&kept).and_annotation("developerspace.dev/replaces"),
            ..wanted()
        };
        let mut object = seen();
        object.annotations.as_mut().unwrap().insert("developerspace.dev/replaces".into(), "u0".into());
        assert!(SeenMetadata::from_metadata(&object).matches(&wanted));
        assert_eq!(wanted.patch(&object), json!({"metadata": {"uid": "u1", "labels": {}, "annotations": {}}}));
        // A label and an annotation of one name are two keys.
        object.annotations.as_mut().unwrap().insert("developerspace.dev/tier".into(), "x".into());
        assert!(!SeenMetadata::from_metadata(&object).matches(&wanted));
        assert_eq!(wanted.patch(&object)["metadata"]["annotations"], json!({"developerspace.dev/tier": null}));
    }
}
