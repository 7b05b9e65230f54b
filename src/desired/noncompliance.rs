//! The rules that an existing space does not comply with: a new space that broke them would be refused, and this one
//! keeps what it has or loses it after a notice. A metric counts such spaces and `doctor` explains them. This module
//! refuses nothing.

use super::{
    contact, ledger,
    lifetime::inputs::{is_never, is_sealed},
};
use crate::api::{DeletionPolicy, DeveloperSpace, SpaceClassSpec};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `protected` needs `lifetime.allowProtected`.
    Protected,
    /// `ttl: never` needs `lifetime.allowNever`.
    Never,
    /// `deletionPolicy: Retain` needs `allowRetain`.
    Retain,
    /// `metadata.requiredContact`.
    Contact,
    /// The names that the class allows, and those that are reserved.
    Name,
    /// The size of `spec.labels` and `spec.annotations`.
    Size,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Protected, Self::Never, Self::Retain, Self::Contact, Self::Name, Self::Size];

    /// The label in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Never => "never",
            Self::Retain => "retain",
            Self::Contact => "contact",
            Self::Name => "name",
            Self::Size => "size",
        }
    }
}

/// Returns true if the rules apply to the space: it is neither sealed nor being deleted.
pub(crate) fn is_subject(space: &DeveloperSpace) -> bool {
    !is_sealed(space) && space.metadata.deletion_timestamp.is_none()
}

/// The rules that `space` does not comply with. While its class is missing, consent and contact are not checked.
pub fn broken(space: &DeveloperSpace, class: Option<&SpaceClassSpec>, is_name_refused: bool) -> Vec<Rule> {
    if !is_subject(space) {
        return Vec::new();
    }
    let spec = &space.spec;
    // A space without a namespace gets none with such a name, and its condition reports it.
    let keeps_name = space.status.as_ref().is_some_and(|status| status.namespace.is_some());
    let asks_for_never = spec.expires_at.is_none() && is_never(spec.ttl.as_ref());
    let is_broken = |rule: &Rule| match rule {
        Rule::Protected => spec.protected && class.is_some_and(|class| !ledger::allows_protected(class)),
        Rule::Never => asks_for_never && class.is_some_and(|class| !ledger::allows_never(class)),
        Rule::Retain => {
            spec.deletion_policy == DeletionPolicy::Retain && class.is_some_and(|class| !class.allow_retain)
        }
        Rule::Contact => {
            class.is_some_and(|class| !contact::missing(spec.contact.as_ref(), contact::required(class)).is_empty())
        }
        Rule::Name => keeps_name && is_name_refused,
        Rule::Size => ledger::bytes(spec) > ledger::MAX_METADATA_BYTES,
    };
    Rule::ALL.into_iter().filter(is_broken).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The broken rules of a space with a namespace, after `change`.
    fn violations(change: &Value, class: Option<&Value>, is_name_refused: bool) -> Vec<Rule> {
        let mut space = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "space-1"},
            "spec": {"owner": {"kind": "User", "name": "ada@example.com"}, "contact": {"team": "botany"}},
            "status": {"namespace": {"name": "orchid-lab", "uid": "ns-1"}},
        });
        json_patch::merge(&mut space, change);
        let class = class.map(|class| serde_json::from_value::<SpaceClassSpec>(class.clone()).unwrap());
        broken(&serde_json::from_value(space).unwrap(), class.as_ref(), is_name_refused)
    }

    #[test]
    fn every_rule_that_an_existing_space_breaks_is_found() {
        let strict = json!({"metadata": {"requiredContact": ["team"]}});
        let consents = json!({"lifetime": {"allowProtected": true, "allowNever": true}, "allowRetain": true});
        let large = json!({"spec": {"labels": {"example.com/a": "a".repeat(8 * 1024)}, "annotations": {"example.com/a": "a".repeat(8 * 1024)}}});
        for (change, refused, under_strict, under_consent, without_class) in [
            (json!({}), false, vec![], vec![], vec![]),
            (json!({"spec": {"protected": true}}), false, vec![Rule::Protected], vec![], vec![]),
            (json!({"spec": {"ttl": "never"}}), false, vec![Rule::Never], vec![], vec![]),
            (json!({"spec": {"ttl": "forever", "expiresAt": "2026-03-09T08:00:00Z"}}), false, vec![], vec![], vec![]),
            (json!({"spec": {"ttl": "7d"}}), false, vec![], vec![], vec![]),
            (json!({"spec": {"deletionPolicy": "Retain"}}), false, vec![Rule::Retain], vec![], vec![]),
            (json!({"spec": {"contact": {"team": " "}}}), false, vec![Rule::Contact], vec![], vec![]),
            (json!({}), true, vec![Rule::Name], vec![Rule::Name], vec![Rule::Name]),
            (json!({"status": null}), true, vec![], vec![], vec![]),
            (large, false, vec![Rule::Size], vec![Rule::Size], vec![Rule::Size]),
            (
                json!({"spec": {"protected": true, "ttl": "never", "deletionPolicy": "Retain", "contact": null}}),
                true,
                vec![Rule::Protected, Rule::Never, Rule::Retain, Rule::Contact, Rule::Name],
                vec![Rule::Name],
                vec![Rule::Name],
            ),
        ] {
            let found = [Some(&strict), Some(&consents), None].map(|class| violations(&change, class, refused));
            assert_eq!(found, [under_strict, under_consent, without_class], "{change}");
        }
    }

    #[test]
    fn no_rule_applies_to_a_space_that_is_sealed_or_deleted() {
        let protected = json!({"spec": {"protected": true}});
        let expired = json!([{"type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": "2026-03-09T08:00:00Z"}]);
        for going in [
            json!({"metadata": {"deletionTimestamp": "2026-03-09T08:00:00Z"}}),
            json!({"status": {"conditions": expired}}),
        ] {
            let mut change = protected.clone();
            json_patch::merge(&mut change, &going);
            assert_eq!(violations(&change, Some(&json!({})), true), [], "{going}");
        }
    }
}
