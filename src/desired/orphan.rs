//! Namespaces that were created for a space that no longer exists. They are reported: their contents may be in use.

use super::{seen_namespace::SeenNamespace, uid::Uid};
use crate::api::{DeveloperSpace, names};

/// Returns true if a namespace was created for a space that no longer exists, and `space`, which has its name, does not
/// record it.
pub(crate) fn is_orphan(
    seen: &SeenNamespace,
    space: Option<&DeveloperSpace>,
    exists: impl FnOnce(&Uid) -> bool,
) -> bool {
    let Some(claim) = &seen.claim else { return false };
    let recorded = space.and_then(|space| space.status.as_ref()?.namespace.as_ref());
    seen.terminating.is_none() && !exists(claim) && recorded.is_none_or(|recorded| seen.uid != *recorded.uid)
}

/// The sentence about an orphan: its origin, and the commands for an administrator.
pub(crate) fn advice(name: &str, seen: &SeenNamespace) -> String {
    let uid = seen.claim.as_ref().map(ToString::to_string).unwrap_or_default();
    let adopt = names::ANNOTATION_ADOPT;
    format!(
        "was created for the DeveloperSpace with UID {uid}, which no longer exists, and is left unchanged: delete it with `kubectl delete \
         namespace {name}`, or offer it to a new DeveloperSpace {name} with the annotation {adopt}={name}/<UID>"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space(uid: &str, recorded: &str) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "heath-lab", "uid": uid},
            "spec": {"owner": {"kind": "User", "name": "ines@example.com"}},
            "status": {"namespace": {"name": "heath-lab", "uid": recorded}},
        }))
        .unwrap()
    }

    fn namespace(claim: Option<&str>, terminating: Option<&str>) -> SeenNamespace {
        SeenNamespace {
            uid: "ns-1".into(),
            claim: claim.map(Into::into),
            terminating: terminating.map(Into::into),
            ..SeenNamespace::default()
        }
    }

    #[test]
    fn a_namespace_is_an_orphan_if_its_space_is_deleted_and_no_other_space_records_it() {
        let claim = Some("space-1");
        for (namespace, space, exists, expected) in [
            (namespace(claim, None), None, false, true),
            (namespace(claim, None), None, true, false),
            (namespace(claim, None), Some(space("space-2", "ns-2")), false, true),
            (namespace(claim, None), Some(space("space-2", "ns-1")), false, false),
            (namespace(claim, Some("a pod")), None, false, false),
            (namespace(None, None), None, false, false),
        ] {
            let made_for = |uid: &Uid| exists && *uid == *"space-1";
            assert_eq!(is_orphan(&namespace, space.as_ref(), made_for), expected, "{namespace:?} {space:?} {exists}");
        }
    }
}
