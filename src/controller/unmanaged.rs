//! An object without its managed fields. They are most of it and nothing is decided by them, so they are skipped while it is read.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// An object as the server sent it, but for managed fields.
#[derive(Debug, PartialEq)]
pub struct Unmanaged(pub Value);

impl<'de> Deserialize<'de> for Unmanaged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(|key| if key == "metadata" { Reading::Metadata } else { Reading::Whole })).map(Self)
    }
}

/// Metadata without managed fields.
struct Metadata(Value);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(|key| if key == "managedFields" { Reading::Nothing } else { Reading::Whole })).map(Self)
    }
}

/// How much of a field is read.
enum Reading {
    Whole,
    Metadata,
    Nothing,
}

/// Reads a map, of each field as much as this says.
struct Fields(fn(&str) -> Reading);

impl<'de> Visitor<'de> for Fields {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of the Kubernetes API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = match self.0(&key) {
                Reading::Whole => access.next_value()?,
                Reading::Metadata => access.next_value::<Metadata>()?.0,
                Reading::Nothing => {
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_managed_fields_of_the_object_itself_are_left_out() {
        let whole = json!({
            "kind": "DeveloperSpace", "spec": {"managedFields": "a field of that name elsewhere", "metadata": {"managedFields": [1]}},
            "metadata": {"name": "orchid-lab", "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}], "labels": {"a": "b"}},
        });
        let mut expected = whole.clone();
        expected["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert_eq!(serde_json::from_value::<Unmanaged>(whole.clone()).unwrap(), Unmanaged(expected.clone()));
        assert_eq!(serde_json::from_str::<Unmanaged>(&whole.to_string()).unwrap(), Unmanaged(expected));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for broken in ["[]", "7", r#"{"metadata": []}"#] {
            let error = serde_json::from_str::<Unmanaged>(broken).unwrap_err();
            assert!(error.to_string().contains("expected an object of the Kubernetes API"), "{error}");
        }
    }
}
