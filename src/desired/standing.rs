//! The class and the owner that a space was admitted with.

use super::spec_refusal::SpecRefusal;
use crate::api::{DeveloperSpace, Subject, conditions::Reason};

/// The class and the owner in force. They change only when the space is admitted to another class, or for another
/// owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Name of the class.
    pub class_name: String,
    /// The owner for whom the space counts.
    pub owner: Subject,
}

impl Standing {
    /// The refusal of a spec that also names another owner. Its sentence is for both owners; that of the owner limit
    /// already is.
    pub(crate) fn beside_a_transfer(&self, owner: &Subject, refusal: SpecRefusal) -> SpecRefusal {
        if self.owner == *owner || refusal.reason == Reason::OwnerLimitExceeded {
            return refusal;
        }
        let SpecRefusal { reason, message } = refusal;
        let before = &self.owner;
        SpecRefusal {
            reason,
            message: format!(
                "{message}; until then neither {owner} nor {before} has the access of the owner, and the space counts for {before}"
            ),
        }
    }
}

/// The class and the owner that the status of `space` records; `None` if it was never admitted. A status without
/// `owner` is from an older version, which recorded the class of refused spaces too: a space with a namespace was
/// admitted, for the owner that it has.
pub fn standing(space: &DeveloperSpace) -> Option<Standing> {
    let status = space.status.as_ref()?;
    let class_name = status.class_name.clone()?;
    let owner = match &status.owner {
        Some(owner) => Subject::from(owner),
        None => status.namespace.as_ref().map(|_| space.spec.owner.clone())?,
    };
    Some(Standing { class_name, owner })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn space(status: &Value) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
            "spec": {"className": "walled", "owner": {"kind": "User", "name": "bob@example.com"}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_class_and_the_owner_in_force_come_from_the_status() {
        let status = json!({"className": "standard", "owner": {"kind": "Group", "name": "botany"}});
        let owner = Subject { kind: crate::api::SubjectKind::Group, name: "botany".into(), namespace: None };
        assert_eq!(standing(&space(&status)), Some(Standing { class_name: "standard".into(), owner }));
    }

    #[test]
    fn a_refused_transfer_is_explained_to_both_owners() {
        let named = |name: &str| Subject { kind: crate::api::SubjectKind::User, name: name.into(), namespace: None };
        let standing = Standing { class_name: "standard".into(), owner: named("alice@example.com") };
        let refusal = || SpecRefusal::new(Reason::InvalidSpec, "spec.ttl is too long: shorten it");
        assert_eq!(standing.beside_a_transfer(&named("alice@example.com"), refusal()), refusal());
        let both = "spec.ttl is too long: shorten it; until then neither User:bob@example.com nor User:alice@example.com \
            has the access of the owner, and the space counts for User:alice@example.com";
        assert_eq!(
            standing.beside_a_transfer(&named("bob@example.com"), refusal()),
            SpecRefusal::new(Reason::InvalidSpec, both)
        );
        let full = SpecRefusal::new(Reason::OwnerLimitExceeded, "bob@example.com has to delete a space");
        assert_eq!(standing.beside_a_transfer(&named("bob@example.com"), full.clone()), full);
    }

    #[test]
    fn a_status_without_an_owner_was_written_by_an_older_version() {
        let namespace = json!({"name": "orchid-lab", "uid": "ns-1"});
        let admitted = Standing { class_name: "standard".into(), owner: space(&Value::Null).spec.owner };
        assert_eq!(standing(&space(&json!({"className": "standard", "namespace": namespace}))), Some(admitted));
        assert_eq!(standing(&space(&json!({"className": "standard"}))), None, "it was refused");
        assert_eq!(standing(&space(&Value::Null)), None);
    }
}
