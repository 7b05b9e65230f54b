//! Objects that tenants can write, of which only the fields are read that decide something.
//!
//! An object of 1.5 MiB in etcd, which is the most that fits, can be 11 MB of JSON and hundreds of MB of maps: peers of
//! a NetworkPolicy, subjects of a RoleBinding, labels, owner references. Therefore each field is named here, and each
//! list and map is bounded. An object that exceeds a bound is read as one that lacks the field, or that has only the
//! first elements of a list. It differs from every object that the operator wants, so it is repaired like any other
//! change.

use k8s_openapi::api::{
    core::v1::{LimitRange, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed as _, Error as _},
};

use super::{
    names,
    partial_read::{Fields, Reading},
    resource_wrapper::resource_wrapper,
};

/// The most subjects of a RoleBinding that are read: more than a space can have. A binding with more of them differs
/// from every wanted one, and a wanted subject that is not read is removed with the others and added again.
pub const MAX_SUBJECTS: usize = 1_000;

/// A kind of which only some fields are read.
pub trait Excerpted: DeserializeOwned {
    /// The part of that field of the object that is read.
    fn reading(field: &str) -> Reading;
}

/// An object of which only the fields are read that [`Excerpted`] names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Excerpt<K>(pub K);

impl<'de, K: Excerpted> Deserialize<'de> for Excerpt<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::deserialize(Fields(K::reading).deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

resource_wrapper!(Excerpt);

/// The response to a DELETE: the object, if it still exists, or a status.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAnswer<K>(pub Option<K>);

impl<'de, K: Excerpted> Deserialize<'de> for DeleteAnswer<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields(|field| if field == "kind" { Reading::Whole } else { K::reading(field) });
        let read = fields.deserialize(deserializer)?;
        if read.get("kind").is_some_and(|kind| kind == "Status") {
            return Ok(Self(None));
        }
        K::deserialize(read).map(|object| Self(Some(object))).map_err(D::Error::custom)
    }
}

/// The metadata of an object in a namespace of a space. Of the labels, those that the operator reads or writes; of the
/// finalizers, the first one.
pub fn metadata(field: &str) -> Reading {
    match field {
        "name" | "namespace" | "uid" | "resourceVersion" | "creationTimestamp" | "deletionTimestamp" => Reading::Whole,
        "labels" => Reading::Part(label),
        "finalizers" => Reading::First(1),
        _ => Reading::Nothing,
    }
}

fn label(key: &str) -> Reading {
    match key {
        names::LABEL_MANAGED_BY | names::LABEL_SPACE | names::LABEL_CLASS | names::LABEL_PLATFORM_POLICY => {
            Reading::Whole
        }
        _ => Reading::Nothing,
    }
}

impl Excerpted for ResourceQuota {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(metadata),
            "spec" | "status" => Reading::Bounded,
            _ => Reading::Nothing,
        }
    }
}

impl Excerpted for LimitRange {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(metadata),
            "spec" => Reading::Bounded,
            _ => Reading::Nothing,
        }
    }
}

impl Excerpted for NetworkPolicy {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(metadata),
            // No decision depends on the rules of other policies.
            "spec" => Reading::BoundedIn(names::NETWORK_POLICY),
            _ => Reading::Nothing,
        }
    }
}

impl Excerpted for RoleBinding {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(metadata),
            "roleRef" => Reading::Bounded,
            "subjects" => Reading::First(MAX_SUBJECTS),
            _ => Reading::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The excerpt of `object`, as JSON without the API version and the kind.
    fn excerpt<K: Excerpted + Serialize>(object: &Value) -> Value {
        let Excerpt(read) = serde_json::from_str::<Excerpt<K>>(&object.to_string()).unwrap();
        let mut read = json!(read);
        let fields = read.as_object_mut().unwrap();
        fields.remove("apiVersion");
        fields.remove("kind");
        read
    }

    fn whole_metadata(name: &str) -> Value {
        json!({
            "name": name, "namespace": "orchid-lab", "uid": "u1", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-03-02T08:00:05Z", "deletionTimestamp": "2026-03-04T12:00:00Z",
            "labels": {
                "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "orchid-lab",
                "developerspace.dev/class": "greenhouse", "developerspace.dev/platform-policy": "true", "example.com/floor": "ground",
            },
            "annotations": {"example.com/note": "moist"}, "finalizers": ["example.com/a", "example.com/b"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "pot", "uid": "u2"}],
            "managedFields": [{"manager": "kubectl", "time": "9999-12-31T23:59:59Z"}],
        })
    }

    fn read_metadata(name: &str) -> Value {
        let mut read = whole_metadata(name);
        let fields = read.as_object_mut().unwrap();
        fields.retain(|field, _| {
            !["generation", "annotations", "ownerReferences", "managedFields"].contains(&field.as_str())
        });
        fields["labels"].as_object_mut().unwrap().remove("example.com/floor");
        fields["finalizers"] = json!(["example.com/a"]);
        read
    }

    #[test]
    fn the_fields_that_decide_something_are_read() {
        let metadata = whole_metadata("developerspace");
        let read = read_metadata("developerspace");
        let quota = json!({"hard": {"pods": "3"}, "scopes": ["BestEffort"]});
        let object =
            json!({"metadata": metadata, "spec": quota, "status": {"hard": {"pods": "3"}, "used": {"pods": "1"}}});
        let mut expected = object.clone();
        expected["metadata"] = read.clone();
        assert_eq!(excerpt::<ResourceQuota>(&object), expected);
        let limits = json!({"limits": [{"type": "Container", "default": {"cpu": "1"}}]});
        assert_eq!(
            excerpt::<LimitRange>(&json!({"metadata": metadata, "spec": limits})),
            json!({"metadata": read, "spec": limits})
        );
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        let subjects = json!([{"kind": "User", "name": "lea"}]);
        assert_eq!(
            excerpt::<RoleBinding>(&json!({"metadata": metadata, "roleRef": role, "subjects": subjects})),
            json!({"metadata": read, "roleRef": role, "subjects": subjects})
        );
    }

    #[test]
    fn only_the_rules_of_the_operators_policy_are_read() {
        let spec = json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}], "policyTypes": ["Ingress"]});
        for (name, is_read) in [("developerspace-isolation", true), ("open", false)] {
            let read = excerpt::<NetworkPolicy>(&json!({"metadata": whole_metadata(name), "spec": spec}));
            let mut expected = json!({"metadata": read_metadata(name)});
            if is_read {
                expected["spec"] = spec.clone();
            }
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_policy_that_does_not_fit_has_no_rules_and_a_binding_has_its_first_subjects() {
        let policy = json!({"podSelector": {}, "ingress": [{"from": vec![json!({"podSelector": {}}); 100_000]}]});
        let read = excerpt::<NetworkPolicy>(&json!({"metadata": {"name": "developerspace-isolation"}, "spec": policy}));
        assert_eq!(read, json!({"metadata": {"name": "developerspace-isolation"}}));
        let subjects: Vec<Value> =
            (0..5_000).map(|number| json!({"kind": "User", "name": format!("user-{number}")})).collect();
        let read = excerpt::<RoleBinding>(&json!({"metadata": {"name": "developerspace-view"}, "subjects": subjects}));
        assert_eq!(read["subjects"], json!(subjects[..MAX_SUBJECTS]));
    }

    #[test]
    fn the_response_to_a_deletion_is_the_object_or_a_status() {
        let read = |text: &Value| serde_json::from_str::<DeleteAnswer<RoleBinding>>(&text.to_string()).unwrap();
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"name": "x"}});
        assert_eq!(read(&status), DeleteAnswer(None));
        let held = json!({
            "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": whole_metadata("developerspace-view"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        });
        let Excerpt(expected) = serde_json::from_value::<Excerpt<RoleBinding>>(held.clone()).unwrap();
        assert_eq!(read(&held), DeleteAnswer(Some(expected)));
    }
}
