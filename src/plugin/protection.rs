//! The protection of a space that is in force. `spec.protected` alone is a request: the class must allow it, and the
//! operator must accept the spec.

use super::spaces::is_observed;
use crate::{
    api::{DeveloperSpace, SpaceClassSpec},
    desired::lifetime::inputs::{is_protected, rules_of},
};

/// Returns true if the protection is in force under `class`, the spec in force of the class in force. Until the
/// operator records that it accepted the current spec, the terms last accepted decide.
pub(crate) fn is_in_force(space: &DeveloperSpace, class: Option<&SpaceClassSpec>) -> bool {
    is_protected(space, rules_of(space, class).as_ref(), false)
}

/// Returns true if the space does not expire because of its protection.
pub(crate) fn is_endless(space: &DeveloperSpace, class: Option<&SpaceClassSpec>) -> bool {
    let status = space.status.as_ref();
    let has_end = status.is_some_and(|status| status.expires_at.is_some());
    // A status without terms, of an older version, does not record an accepted protection.
    let has_terms = status.is_some_and(|status| status.terms.is_some());
    is_in_force(space, class) && !has_end && (has_terms || is_observed(space))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The space orchid-lab in generation 4, which sets `spec.protected`.
    fn space(status: &Value) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "generation": 4},
            "spec": {"className": "greenhouse", "protected": true, "owner": {"kind": "User", "name": "nadia@example.com"}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_protected_space_without_an_end_does_not_expire() {
        let class = |allows: bool| -> SpaceClassSpec {
            serde_json::from_value(json!({"lifetime": {"allowProtected": allows}})).unwrap()
        };
        let (namespace, end) = (json!({"name": "orchid-lab", "uid": "ns-7"}), "2026-12-01T09:00:00Z");
        let accepted = json!({"protected": true, "allowProtected": true});
        let refused = json!({"ttl": "7d", "allowProtected": true});
        for (status, allows, in_force, endless) in [
            (json!({"observedGeneration": 4, "terms": accepted}), Some(true), true, true),
            (json!({"observedGeneration": 3, "terms": accepted}), Some(true), true, true),
            (json!({"observedGeneration": 4, "terms": accepted}), None, true, true),
            (json!({"observedGeneration": 4, "terms": accepted, "expiresAt": end}), Some(true), true, false),
            (json!({"observedGeneration": 4, "terms": accepted}), Some(false), false, false),
            (json!({"observedGeneration": 4, "terms": refused, "expiresAt": end}), Some(true), false, false),
            (json!({"observedGeneration": 4, "terms": refused}), Some(true), false, false),
            (json!({"observedGeneration": 4, "namespace": namespace}), Some(true), true, true),
            (json!({"observedGeneration": 3, "namespace": namespace}), Some(true), true, false),
            (json!({"observedGeneration": 4, "namespace": namespace, "expiresAt": end}), Some(true), true, false),
            (json!({"observedGeneration": 4}), Some(true), false, false),
        ] {
            let (space, class) = (space(&status), allows.map(class));
            let found = (is_in_force(&space, class.as_ref()), is_endless(&space, class.as_ref()));
            assert_eq!(found, (in_force, endless), "{status}, {allows:?}");
        }
        let mut plain = space(&json!({"observedGeneration": 4, "terms": accepted}));
        plain.spec.protected = false;
        assert!(!is_in_force(&plain, None) && !is_endless(&plain, None));
    }
}
