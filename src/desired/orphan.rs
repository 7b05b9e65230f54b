//! Namespaces that were made for a space which is gone. They are reported and never deleted: nobody knows whose work is in them.

use super::namespace::SeenNamespace;
use crate::api::{DeveloperSpace, names};

/// Whether a namespace was made for another space than `space`, the one of its name.
pub fn is_orphan(seen: &SeenNamespace, space: Option<&DeveloperSpace>) -> bool {
    let Some(claim) = &seen.claim else { return false };
    let is_made_for = |space: &DeveloperSpace| space.metadata.uid.as_deref().is_some_and(|uid| *claim == *uid);
    let recorded = |space: &DeveloperSpace| {
        let namespace = space.status.as_ref().and_then(|status| status.namespace.as_ref());
        namespace.is_some_and(|namespace| seen.uid == *namespace.uid)
    };
    seen.terminating.is_none() && !space.is_some_and(|space| is_made_for(space) || recorded(space))
}

/// What it is and what to do about it.
pub fn advice(name: &str, seen: &SeenNamespace) -> String {
    let uid = seen.claim.as_ref().map(ToString::to_string).unwrap_or_default();
    let adopt = names::ANNOTATION_ADOPT;
    format!(
        "was made for the DeveloperSpace of UID {uid}, which no longer exists, and is left alone: `kubectl delete namespace {name}` deletes \
         it, and the annotation {adopt}={name}/<UID> hands it to a new DeveloperSpace {name}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::metadata::SeenMetadata;

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
            version: 1,
            created: chrono::DateTime::UNIX_EPOCH,
            claim: claim.map(Into::into),
            adopt: None,
            terminating: terminating.map(Into::into),
            metadata: SeenMetadata::default(),
        }
    }

    #[test]
    fn a_namespace_is_an_orphan_when_no_space_made_it_or_records_it() {
        let claim = Some("space-1");
        for (namespace, space, expected) in [
            (namespace(claim, None), None, true),
            (namespace(claim, None), Some(space("space-2", "ns-2")), true),
            (namespace(claim, None), Some(space("space-1", "ns-2")), false),
            (namespace(claim, None), Some(space("space-2", "ns-1")), false),
            (namespace(claim, Some("a pod")), None, false),
            (namespace(None, None), None, false),
        ] {
            assert_eq!(is_orphan(&namespace, space.as_ref()), expected, "{namespace:?} {space:?}");
        }
    }
}
