//! The form in which a space is kept between two reconciles: the object of the API server without the metadata that
//! `trimmed.rs` skips, compressed. There are thousands of spaces, each is reconciled several times an hour, and they
//! differ in little: `dictionary.json` contains their common text.
//!
//! A space that has neither a namespace nor a place under the owner limit counts for no user, so its owner may have any
//! number of such spaces. If its spec is long, only the fields that its expiry depends on are kept: otherwise refused
//! spaces would exceed the memory of the operator.
//!
//! The costs and savings are in `docs/adr/0004-what-is-kept-in-memory.md`.

use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde_json::Value;

use super::reserved_names::NamedAccounts;
use crate::{
    api::{DeveloperSpace, conditions::types},
    desired::Uid,
};

/// The common text of spaces, which is the dictionary of the compressor.
const DICTIONARY: &[u8] = include_bytes!("dictionary.json");

/// The most bytes of the spec that is kept of a space without a namespace and a place.
const MAX_SPEC_BYTES: usize = 4 * 1_024;

/// The fields that are kept of a longer spec: all of them are short.
///
/// `contact` is one of them, since a class can refuse a space that lacks it.
const SHORT_FIELDS: [&str; 8] =
    ["className", "owner", "contact", "ttl", "expiresAt", "renewedAt", "protected", "deletionPolicy"];

/// A space, readable or not.
#[derive(Clone, Debug)]
pub struct CompressedSpace {
    text: Arc<[u8]>,
    /// True if only a part of the spec is kept. The space is read from the API server before anything is granted to it.
    pub is_cut: bool,
    /// Its UID: a namespace is an orphan when no space has the UID that it was created for.
    pub uid: Uid,
    /// The value of `spec.className`, which is read for all spaces whenever a class changes.
    pub class_name: Option<Arc<str>>,
    /// The ServiceAccounts that it names: their namespaces are reserved.
    pub accounts: Option<Arc<NamedAccounts>>,
    /// The class in force, if the spec names another one.
    pub admitted_to: Option<Arc<str>>,
}

/// A stored space, readable or not.
pub(crate) type Guarded = DeserializeGuard<DeveloperSpace>;

impl CompressedSpace {
    pub(crate) fn compress(space: &Value) -> Self {
        let cut = cut(space);
        let whole = cut.as_ref().unwrap_or(space).to_string();
        let text = lz4_flex::block::compress_prepend_size_with_dict(whole.as_bytes(), DICTIONARY).into();
        let said = |at: &str| space.pointer(at).and_then(Value::as_str);
        let class_name = said("/spec/className");
        let admitted_to =
            said("/status/className").filter(|admitted_to| class_name.is_some_and(|name| name != *admitted_to));
        Self {
            text,
            is_cut: cut.is_some(),
            uid: Uid::from(said("/metadata/uid").unwrap_or_default()),
            class_name: class_name.map(Arc::from),
            admitted_to: admitted_to.map(Arc::from),
            accounts: NamedAccounts::of(space).map(Arc::new),
        }
    }

    /// Returns the space, or the part of it that is kept. An error means that the content does not come from
    /// [`Self::compress`].
    pub(crate) fn unpack(&self) -> Result<Guarded, serde_json::Error> {
        let text = lz4_flex::block::decompress_size_prepended_with_dict(&self.text, DICTIONARY)
            .map_err(serde::de::Error::custom)?;
        // For a space that cannot be read, the guard reports the error and the metadata, which takes longer.
        serde_json::from_slice(&text)
            .map(|space| DeserializeGuard(Ok(space)))
            .or_else(|_| serde_json::from_slice(&text))
    }
}

/// The kept part of a space without a namespace and a place whose spec is long; `None` for other spaces.
fn cut(space: &Value) -> Option<Value> {
    if has_place(space) || space.get("spec")?.to_string().len() <= MAX_SPEC_BYTES {
        return None;
    }
    let mut cut = space.clone();
    cut.get_mut("spec")?.as_object_mut()?.retain(|field, _| SHORT_FIELDS.contains(&field.as_str()));
    Some(cut)
}

/// Returns true if the status of the space records a namespace, or that the space was admitted and has not expired.
fn has_place(space: &Value) -> bool {
    let has = |at: &str| space.pointer(at).is_some_and(|value| !value.is_null());
    let mut conditions = space.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    has("/status/namespace")
        || (has("/status/className")
            && !conditions.any(|condition| condition["type"] == types::EXPIRED && condition["status"] == "True"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(owner: &Value) -> Value {
        json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "orchid-lab", "uid": "u1", "resourceVersion": "7", "generation": 2, "annotations": {"note": "Ünï\n\"x\""}},
            "spec": {"className": "greenhouse", "owner": owner, "contact": {"team": "botany"}, "ttl": "7d"},
            "status": {"observedGeneration": 2, "className": "greenhouse", "namespace": {"name": "orchid-lab", "uid": "n1"}, "conditions": []},
        })
    }

    #[test]
    fn a_space_comes_out_as_it_went_in() {
        let stored = stored(&json!({"kind": "User", "name": "ada@example.com"}));
        let packed = CompressedSpace::compress(&stored);
        let space: DeveloperSpace = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(packed.unpack().unwrap().0.unwrap(), space);
        assert_eq!((packed.class_name.as_deref(), packed.admitted_to.as_deref()), (Some("greenhouse"), None));
        let (kept, whole) = (packed.text.len(), stored.to_string().len());
        assert!(kept * 2 < whole, "{kept} bytes of {whole}");
    }

    #[test]
    fn a_change_of_the_class_in_force_concerns_a_space_that_names_another() {
        let mut stored = stored(&json!({"kind": "User", "name": "ada@example.com"}));
        stored["spec"]["className"] = "walled".into();
        let packed = CompressedSpace::compress(&stored);
        assert_eq!((packed.class_name.as_deref(), packed.admitted_to.as_deref()), (Some("walled"), Some("greenhouse")));
    }

    #[test]
    fn one_that_cannot_be_read_still_says_which_it_is() {
        let packed = CompressedSpace::compress(&stored(&json!(["nobody"])));
        let broken = packed.unpack().unwrap().0.unwrap_err();
        assert_eq!((broken.metadata.name.as_deref(), broken.metadata.uid.as_deref()), (Some("orchid-lab"), Some("u1")));
    }

    /// A spec of the most members and limits that the schema allows, in characters that LZ4 does not compress.
    fn largest() -> Value {
        let mut seed = 1_u32;
        let mut text = |length: usize| -> String {
            let mut letter = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from_u32(0x2_0000 + (seed >> 16)).unwrap()
            };
            (0..length).map(|_| letter()).collect()
        };
        let members: Vec<Value> =
            (0..100).map(|_| json!({"kind": "User", "name": text(253), "role": text(253)})).collect();
        let mut bounds =
            || -> Value { (0..8).map(|_| (text(128), json!("1"))).collect::<serde_json::Map<_, _>>().into() };
        let mut item = || json!({"type": "Container", "default": bounds(), "defaultRequest": bounds(), "max": bounds(), "min": bounds()});
        let items: Vec<Value> = (0..8).map(|_| item()).collect();
        json!({
            "className": "greenhouse", "owner": {"kind": "User", "name": "ada@example.com"}, "members": members, "limitRange": items,
            "ttl": "9999w", "renewedAt": "2026-11-24T09:00:00Z", "protected": true, "deletionPolicy": "Retain",
            "description": "x".repeat(1_024),
        })
    }

    #[test]
    fn of_a_space_without_a_place_a_bounded_part_is_kept() {
        let spec = largest();
        assert!(spec.to_string().len() > 300_000);
        let with_status = |status: Value| {
            let mut space = stored(&json!({"kind": "User", "name": "ada@example.com"}));
            space["spec"] = spec.clone();
            space["status"] = status;
            space
        };
        let expired = |status: &str| {
            let since = "2026-11-24T09:00:00Z";
            json!([{"type": "Expired", "status": status, "reason": "TimeIsUp", "message": "", "lastTransitionTime": since}])
        };
        for (status, is_cut) in [
            (json!({"conditions": []}), true),
            (json!({"className": null, "namespace": null, "conditions": expired("False")}), true),
            (json!({"className": "greenhouse", "conditions": expired("True")}), true),
            (json!({"className": "greenhouse", "conditions": expired("False")}), false),
            (json!({"namespace": {"name": "orchid-lab", "uid": "n1"}, "conditions": expired("True")}), false),
        ] {
            let space = with_status(status.clone());
            let packed = CompressedSpace::compress(&space);
            let mut expected = space;
            if is_cut {
                let long = ["members", "limitRange", "description"];
                expected["spec"].as_object_mut().unwrap().retain(|field, _| !long.contains(&field.as_str()));
            }
            let expected: DeveloperSpace = serde_json::from_value(expected).unwrap();
            assert_eq!((packed.is_cut, packed.unpack().unwrap().0.unwrap()), (is_cut, expected), "{status}");
            assert!(!is_cut || packed.text.len() <= 4 * 1_024, "{} bytes with {status}", packed.text.len());
        }
    }

    #[test]
    fn a_usual_spec_is_kept_whole() {
        let mut space = stored(&json!({"kind": "User", "name": "ada@example.com"}));
        space["status"] = json!({"conditions": []});
        let member =
            |number: u32| json!({"kind": "User", "name": format!("user-{number}@example.com"), "role": "view"});
        space["spec"]["members"] = (0..40).map(member).collect();
        let whole: DeveloperSpace = serde_json::from_value(space.clone()).unwrap();
        let packed = CompressedSpace::compress(&space);
        assert_eq!((packed.is_cut, packed.unpack().unwrap().0.unwrap()), (false, whole));
    }
}
