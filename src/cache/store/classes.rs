//! The cache of `SpaceClass`es, of the ClusterRoles that they name, and of the errors of their validation. Makes no
//! request.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use tokio::time::Instant;

use super::state::Store;
use crate::{
    api::{SpaceClass, SpaceClassSpec, is_default_class, time},
    desired::{
        class::cluster_roles,
        plan::{ClassVerdict, class_verdict},
        wording::is_same_message,
    },
};

/// The time for which a class that was removed before its spec was validated still holds seals back: `kubectl replace
/// --force` deletes a class and creates it again.
const REMOVED_CLASS_TTL: Duration = Duration::from_secs(300);

impl Store {
    /// The class of that name, if it can be read.
    pub fn class(&self, name: &str) -> Option<Arc<SpaceClass>> {
        self.read().classes.readable.get(name).cloned()
    }

    /// A class that was removed recently and whose spec was not validated, and the time for which it still holds seals
    /// back.
    pub(crate) fn removed_class(&self, name: &str) -> Option<(Arc<SpaceClass>, Duration)> {
        let inner = self.read();
        let (class, removed) = inner.classes.removed.get(name)?;
        let left = REMOVED_CLASS_TTL.checked_sub(removed.elapsed()).filter(|left| !left.is_zero())?;
        Some((class.clone(), left))
    }

    /// Returns true if a class of that name is stored and cannot be read.
    pub(crate) fn is_unreadable_class(&self, name: &str) -> bool {
        self.read().classes.unreadable.contains_key(name)
    }

    /// All classes that can be read, by name.
    pub fn classes(&self) -> Vec<Arc<SpaceClass>> {
        let mut all: Vec<Arc<SpaceClass>> = self.read().classes.readable.values().cloned().collect();
        all.sort_by_key(|class| class.name_any());
        all
    }

    /// The names of all classes, readable or not.
    pub(crate) fn class_names(&self) -> Vec<String> {
        let inner = self.read();
        inner.classes.readable.keys().chain(inner.classes.unreadable.keys()).cloned().collect()
    }

    /// The classes that are annotated as the default, the oldest first. The oldest is the class of spaces that name
    /// none.
    pub(crate) fn default_classes(&self) -> Vec<String> {
        let inner = self.read();
        let readable = inner.classes.readable.values().map(|class| &class.metadata);
        let annotated = readable.chain(inner.classes.unreadable.values()).filter(|metadata| is_default_class(metadata));
        let mut by_age: Vec<(Option<DateTime<Utc>>, String)> = annotated.map(age_and_name).collect();
        by_age.sort();
        by_age.into_iter().map(|(_, name)| name).collect()
    }

    /// The class of spaces that name none: the oldest class that is annotated as the default.
    pub(crate) fn default_class(&self) -> Option<String> {
        self.default_classes().into_iter().next()
    }

    /// Returns true if the class of that name is annotated as the default.
    pub(crate) fn is_default_class(&self, name: &str) -> bool {
        let inner = self.read();
        let readable = inner.classes.readable.get(name).map(|class| &class.metadata);
        readable.or_else(|| inner.classes.unreadable.get(name)).is_some_and(is_default_class)
    }

    /// Keeps a class.
    pub fn put_class(&self, class: SpaceClass) {
        let (mut inner, name) = (self.write(), class.name_any());
        inner.classes.unreadable.remove(&name);
        inner.classes.removed.remove(&name);
        inner.classes.readable.insert(name, Arc::new(class));
    }

    /// Records that a class exists and cannot be read.
    pub fn put_unreadable_class(&self, metadata: ObjectMeta) {
        let ObjectMeta { name, annotations, creation_timestamp, .. } = metadata;
        let (mut inner, key) = (self.write(), name.clone().unwrap_or_default());
        inner.classes.readable.remove(&key);
        inner.classes.validation_errors.remove(&key);
        inner
            .classes
            .unreadable
            .insert(key, ObjectMeta { name, annotations, creation_timestamp, ..ObjectMeta::default() });
    }

    /// Forgets a class.
    pub fn remove_class(&self, name: &str) {
        let mut inner = self.write();
        inner.classes.removed.retain(|_, (_, removed)| removed.elapsed() < REMOVED_CLASS_TTL);
        let removed = inner.classes.readable.remove(name);
        if let Some(class) = removed.filter(|class| class_verdict(class) == ClassVerdict::Pending) {
            inner.classes.removed.insert(name.to_owned(), (class, Instant::now()));
        }
        inner.classes.unreadable.remove(name);
        inner.classes.validation_errors.remove(name);
    }

    /// The error because of which the class of that name is not validated, if the error lasts.
    pub fn validation_error(&self, class: &str) -> Option<Arc<str>> {
        self.read().classes.validation_errors.get(class).cloned()
    }

    /// Records an error that lasts and because of which a class is not validated, unless the class no longer exists.
    /// Returns true if that is a change. An error that differs only in parts that change at each attempt is no change.
    pub fn put_validation_error(&self, class: String, error: &str) -> bool {
        let mut inner = self.write();
        let is_known = inner.classes.validation_errors.get(&class).is_some_and(|known| is_same_message(known, error));
        if is_known || !inner.classes.readable.contains_key(&class) {
            return false;
        }
        inner.classes.validation_errors.insert(class, error.into());
        true
    }

    /// Records that a class was validated.
    pub fn clear_validation_error(&self, class: &str) {
        self.write().classes.validation_errors.remove(class);
    }

    /// The number of classes that are not validated because of an error that lasts.
    pub fn failing_classes(&self) -> usize {
        self.read().classes.validation_errors.len()
    }

    /// Records whether a ClusterRole exists. Returns true if that is a change. A ClusterRole that was not looked up
    /// counted as existing.
    pub fn put_role(&self, name: String, exists: bool) -> bool {
        self.write().classes.roles.insert(name, exists).unwrap_or(true) != exists
    }

    /// Forgets the ClusterRoles that are not in `named`.
    pub(crate) fn retain_roles(&self, named: &BTreeSet<String>) {
        self.write().classes.roles.retain(|name, _| named.contains(name));
    }

    /// The ClusterRoles that `class` names and that do not exist. One that could not be looked up counts as existing.
    pub(crate) fn missing_roles(&self, class: &SpaceClassSpec) -> BTreeSet<String> {
        self.missing_of(cluster_roles(class))
    }

    /// The ClusterRoles among `roles` that do not exist.
    pub(crate) fn missing_of(&self, roles: BTreeSet<String>) -> BTreeSet<String> {
        let inner = self.read();
        roles.into_iter().filter(|role| inner.classes.roles.get(role) == Some(&false)).collect()
    }
}

fn age_and_name(metadata: &ObjectMeta) -> (Option<DateTime<Utc>>, String) {
    let created = metadata.creation_timestamp.as_ref().and_then(time::from_k8s);
    (created, metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::names;

    fn metadata(name: &str, created: &str, default: &str) -> Value {
        let annotations = json!({(names::ANNOTATION_DEFAULT_CLASS): default});
        json!({"name": name, "creationTimestamp": created, "annotations": annotations})
    }

    fn class(metadata: &Value, spec: &Value) -> SpaceClass {
        let object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": metadata, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn of_several_default_classes_the_oldest_holds_readable_or_not() {
        let store = Store::default();
        assert_eq!(store.default_class(), None);
        for (name, created, default) in [
            ("orchard", "2026-03-01T00:00:00Z", "true"),
            ("meadow", "2026-02-01T00:00:00Z", "true"),
            ("bog", "2026-02-01T00:00:00Z", "true"),
            ("attic", "2026-01-01T00:00:00Z", "false"),
        ] {
            store.put_class(class(&metadata(name, created, default), &json!({})));
        }
        assert_eq!(store.default_classes(), ["bog", "meadow", "orchard"]);
        store.put_unreadable_class(serde_json::from_value(metadata("swamp", "2025-12-31T00:00:00Z", "true")).unwrap());
        assert_eq!(store.default_class().as_deref(), Some("swamp"));
        assert!(
            store.is_default_class("swamp") && store.is_unreadable_class("swamp") && store.class("swamp").is_none()
        );
        store.remove_class("swamp");
        assert_eq!(store.default_class().as_deref(), Some("bog"));
    }

    #[test]
    fn a_role_is_missing_once_it_was_looked_for() {
        let store = Store::default();
        let spec = json!({"ownerRole": "grower", "roles": [{"name": "grower", "clusterRole": "edit"}, {"name": "buyer", "clusterRole": "buyers"}]});
        let spec = class(&json!({"name": "orchard"}), &spec).spec;
        assert_eq!(store.missing_roles(&spec), [].into());
        assert!(!store.put_role("edit".into(), true), "it counted as existing before");
        assert!(store.put_role("buyers".into(), false) && !store.put_role("buyers".into(), false));
        assert_eq!(store.missing_roles(&spec), ["buyers".to_owned()].into());
        assert!(store.put_role("buyers".into(), true) && store.put_role("buyers".into(), false));
        store.retain_roles(&["edit".to_owned()].into());
        assert_eq!(store.missing_roles(&spec), [].into());
    }

    #[test]
    fn an_error_of_a_validation_is_kept_until_the_class_is_validated_or_no_longer_exists() {
        let (store, orchard) = (Store::default(), || "orchard".to_owned());
        let stored = || store.put_class(class(&json!({"name": "orchard"}), &json!({})));
        let error = |port: u16| {
            format!("failed to write the status of SpaceClass orchard: dial tcp 10.0.0.9:{port}: connection refused")
        };
        assert!(!store.put_validation_error(orchard(), &error(1)), "there is no class of that name");
        stored();
        assert!(store.put_validation_error(orchard(), &error(1)) && !store.put_validation_error(orchard(), &error(2)));
        stored();
        assert_eq!(
            (store.validation_error("orchard").as_deref(), store.failing_classes()),
            (Some(error(1).as_str()), 1)
        );
        assert!(
            store.put_validation_error(orchard(), "failed to write the status of SpaceClass orchard: it is frozen")
        );
        store.clear_validation_error("orchard");
        assert_eq!((store.validation_error("orchard"), store.failing_classes()), (None, 0));
        assert!(store.put_validation_error(orchard(), &error(1)));
        store.remove_class("orchard");
        stored();
        assert!(store.validation_error("orchard").is_none() && store.put_validation_error(orchard(), &error(1)));
        store.put_unreadable_class(serde_json::from_value(json!({"name": "orchard"})).unwrap());
        assert_eq!(store.failing_classes(), 0);
    }
}
