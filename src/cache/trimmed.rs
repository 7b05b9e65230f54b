//! An object without the metadata on which no decision depends. That metadata is skipped while the object is read:
//! managed fields, which are most of any object, and the labels, annotations and owner references of a space, to which
//! other clients may write any amount.

use serde::{Deserialize, Deserializer, de::DeserializeSeed};
use serde_json::Value;

use crate::api::partial_read::{Fields, Reading};

/// An object as the API server sent it, without the managed fields, labels, annotations and owner references of its own
/// metadata.
#[derive(Debug, PartialEq)]
pub struct Trimmed(pub Value);

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields(|key| if key == "metadata" { Reading::Part(unadorned) } else { Reading::Whole })
            .deserialize(deserializer)
            .map(Self)
    }
}

fn unadorned(key: &str) -> Reading {
    if ["managedFields", "labels", "annotations", "ownerReferences"].contains(&key) {
        Reading::Nothing
    } else {
        Reading::Whole
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_spaces_metadata_only_what_decides_something_is_read() {
        let whole = json!({
            "kind": "DeveloperSpace", "spec": {"labels": {"kept": "yes"}, "managedFields": "elsewhere", "metadata": {"managedFields": [1]}},
            "metadata": {
                "name": "orchid-lab", "uid": "u1", "finalizers": ["developerspace.dev/namespace"], "managedFields": [{"manager": "kubectl"}],
                "labels": {"a": "b"}, "annotations": {"c": "d"}, "ownerReferences": [{"kind": "Node"}],
            },
        });
        let mut expected = whole.clone();
        expected["metadata"] =
            json!({"name": "orchid-lab", "uid": "u1", "finalizers": ["developerspace.dev/namespace"]});
        assert_eq!(serde_json::from_value::<Trimmed>(whole.clone()).unwrap(), Trimmed(expected.clone()));
        assert_eq!(serde_json::from_str::<Trimmed>(&whole.to_string()).unwrap(), Trimmed(expected));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for broken in ["[]", "7", r#"{"metadata": []}"#] {
            let error = serde_json::from_str::<Trimmed>(broken).unwrap_err();
            assert!(error.to_string().contains("expected an object of the Kubernetes API"), "{error}");
        }
    }
}
