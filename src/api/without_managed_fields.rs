//! Objects that are read without their managed fields, for decisions that do not depend on them.
//!
//! Every client that may change an object may also write its `metadata.managedFields`, and the API server stores times
//! there that [`k8s_openapi`] cannot read. One such object would fail each list that contains it.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed as _, Error as _},
};

use super::{
    partial_read::{Fields, Reading},
    resource_wrapper::resource_wrapper,
};

/// An object that is read without its managed fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct WithoutManagedFields<K>(pub K);

impl<'de, K: DeserializeOwned> Deserialize<'de> for WithoutManagedFields<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields(|key| if key == "metadata" { Reading::Part(unmanaged) } else { Reading::Whole });
        K::deserialize(fields.deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

fn unmanaged(key: &str) -> Reading {
    if key == "managedFields" { Reading::Nothing } else { Reading::Whole }
}

resource_wrapper!(WithoutManagedFields);

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use kube::{
        Resource as _,
        core::{ObjectList, PartialObjectMeta},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn partial_metadata_is_requested_from_the_metadata_api() {
        assert!(WithoutManagedFields::<PartialObjectMeta<NetworkPolicy>>::metadata_api());
        assert!(!WithoutManagedFields::<NetworkPolicy>::metadata_api());
    }

    #[test]
    fn invalid_managed_fields_do_not_fail_a_list() {
        let nested = "[".repeat(1_000) + &"]".repeat(1_000);
        for managed in
            [r#"[{"manager": "x", "time": "9999-12-31T23:59:59Z"}]"#.to_owned(), nested, r#""no list""#.to_owned()]
        {
            let item = |name: &str, managed: &str| {
                format!(
                    r#"{{"metadata": {{"name": "{name}", "managedFields": {managed}}}, "spec": {{"podSelector": {{}}}}}}"#
                )
            };
            let items = format!("{}, {}", item("hostile", &managed), item("plain", "[]"));
            let list = format!(
                r#"{{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {{}}, "items": [{items}]}}"#
            );
            assert!(serde_json::from_str::<ObjectList<NetworkPolicy>>(&list).is_err(), "{managed:.40}");
            let read: ObjectList<WithoutManagedFields<NetworkPolicy>> = serde_json::from_str(&list).unwrap();
            let expected = ["hostile", "plain"].map(|name| {
                serde_json::from_value::<NetworkPolicy>(
                    json!({"metadata": {"name": name}, "spec": {"podSelector": {}}}),
                )
                .unwrap()
            });
            assert_eq!(read.items, expected.map(WithoutManagedFields));
        }
    }
}
