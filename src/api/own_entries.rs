//! The entries of `metadata.managedFields` that belong to the operator's field manager. The entries of other managers
//! are skipped unread.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::names;

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
