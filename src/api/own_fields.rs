//! Objects that are read with the managed fields of the operator's field manager, and with those of no other.
//!
//! They show which labels and annotations the operator wrote. The entries of other field managers are skipped for the
//! reason that [`super::without_managed_fields`] gives, and so is the time of each entry.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed as _, Error as _},
};

use super::partial_read::{Fields, Reading};

/// An object that is read with the operator's managed fields only.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnFields<K>(pub K);

impl<'de, K: DeserializeOwned> Deserialize<'de> for OwnFields<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields(|key| if key == "metadata" { Reading::Part(own_fields) } else { Reading::Whole });
        K::deserialize(fields.deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

fn own_fields(key: &str) -> Reading {
    if key == "managedFields" { Reading::OwnEntries } else { Reading::Whole }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operators_entries_are_read_and_invalid_entries_of_others_are_ignored() {
        let nested = "[".repeat(1_000) + &"]".repeat(1_000);
        let fields = json!({"f:metadata": {"f:labels": {"f:example.com/floor": {}}}});
        let hostile = r#""time": "9999-12-31T23:59:59Z", "fieldsType": "FieldsV1""#;
        let text = format!(
            r#"{{"metadata": {{"name": "orchid-lab", "labels": {{"a": "b"}}, "managedFields": [
                {{"manager": "somebody", "operation": "Update", {hostile}, "fieldsV1": {nested}}},
                {{"manager": "developerspace-operator", "operation": "Update", {hostile}, "fieldsV1": {fields}}}
            ]}}}}"#
        );
        assert!(serde_json::from_str::<Namespace>(&text).is_err());
        let expected = json!({"metadata": {"name": "orchid-lab", "labels": {"a": "b"}, "managedFields": [
            {"manager": "developerspace-operator", "fieldsV1": fields},
        ]}});
        let OwnFields(read) = serde_json::from_str::<OwnFields<Namespace>>(&text).unwrap();
        assert_eq!(read, serde_json::from_value(expected).unwrap());
    }
}
