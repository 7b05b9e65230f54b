//! The form in which a space is kept between two reconciles: the object of the API server without the metadata that `unadorned.rs` skips,
//! compressed. There are thousands of spaces, each is reconciled several times an hour, and they differ in little: `packed.json` contains their
//! common text.
//!
//! The costs and savings are in `docs/adr/0004-what-is-kept-in-memory.md`.

use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde_json::Value;

use super::reserved::NamedAccounts;
use crate::{api::DeveloperSpace, desired::Uid};

/// The common text of spaces, which is the dictionary of the compressor.
const USUAL: &[u8] = include_bytes!("packed.json");

/// A space, readable or not.
#[derive(Clone, Debug)]
pub struct Packed {
    text: Arc<[u8]>,
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
pub type Guarded = DeserializeGuard<DeveloperSpace>;

impl Packed {
    /// Packs a space.
    pub fn of(space: &Value) -> Self {
        let text = lz4_flex::block::compress_prepend_size_with_dict(space.to_string().as_bytes(), USUAL).into();
        let said = |at: &str| space.pointer(at).and_then(Value::as_str);
        let class_name = said("/spec/className");
        let admitted_to = said("/status/className").filter(|admitted_to| class_name.is_some_and(|name| name != *admitted_to));
        Self {
            text,
            uid: Uid::from(said("/metadata/uid").unwrap_or_default()),
            class_name: class_name.map(Arc::from),
            admitted_to: admitted_to.map(Arc::from),
            accounts: NamedAccounts::of(space).map(Arc::new),
        }
    }

    /// Returns the space. An error means that the content does not come from [`Self::of`].
    pub fn unpack(&self) -> Result<Guarded, serde_json::Error> {
        let text = lz4_flex::block::decompress_size_prepended_with_dict(&self.text, USUAL).map_err(serde::de::Error::custom)?;
        // For a space that cannot be read, the guard reports the error and the metadata, which takes longer.
        serde_json::from_slice(&text).map(|space| DeserializeGuard(Ok(space))).or_else(|_| serde_json::from_slice(&text))
    }
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
        let packed = Packed::of(&stored);
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
        let packed = Packed::of(&stored);
        assert_eq!((packed.class_name.as_deref(), packed.admitted_to.as_deref()), (Some("walled"), Some("greenhouse")));
    }

    #[test]
    fn one_that_cannot_be_read_still_says_which_it_is() {
        let packed = Packed::of(&stored(&json!(["nobody"])));
        let broken = packed.unpack().unwrap().0.unwrap_err();
        assert_eq!((broken.metadata.name.as_deref(), broken.metadata.uid.as_deref()), (Some("orchid-lab"), Some("u1")));
    }
}
