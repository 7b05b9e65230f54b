//! Objects that are read with the managed fields of the operator's field manager, and with those of no other.
//!
//! They show which labels and annotations the operator wrote. The entries of other field managers are skipped for the reason that
//! [`super::without_managed_fields`] gives, and so is the time of each entry.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    names,
    without_managed_fields::{Fields, Reading},
};

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

/// Reads `metadata.managedFields`: the entries of the operator's field manager.
pub(super) struct OwnEntries;

impl<'de> DeserializeSeed<'de> for OwnEntries {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OwnEntries {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of managed fields")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element_seed(OwnEntry)? {
            entries.extend(entry);
        }
        Ok(Value::Array(entries))
    }
}

/// Reads one entry: manager and fields, if the manager is the operator's.
struct OwnEntry;

impl<'de> DeserializeSeed<'de> for OwnEntry {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OwnEntry {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an entry of the managed fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<Value>, A::Error> {
        let (mut entry, mut is_ours) = (Map::new(), None);
        while let Some(key) = access.next_key::<String>()? {
            match key.as_str() {
                "manager" => {
                    let manager: String = access.next_value()?;
                    is_ours = Some(manager == names::FIELD_MANAGER);
                    entry.insert(key, manager.into());
                }
                // The API server writes the manager first.
                "fieldsV1" if is_ours != Some(false) => {
                    entry.insert(key, access.next_value()?);
                }
                _ => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(is_ours.unwrap_or_default().then_some(Value::Object(entry)))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operators_entries_are_kept_and_no_entry_fails_the_object() {
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
