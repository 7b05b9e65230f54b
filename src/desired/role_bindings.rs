//! The `RoleBindings`: one for the owner, one for each role that members have.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject as K8sSubject};
use serde_json::{Value, json};

use super::{metadata::child_metadata, spec_refusal::SpecRefusal};
use crate::api::{DeveloperSpaceSpec, Member, SpaceClassSpec, Subject, SubjectKind, conditions::Reason, names, syntax};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Role name to ClusterRole, for the owner and for each role that a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The owner's ClusterRole.
    pub owner: String,
    /// ClusterRoles by role name, those in use only.
    pub members: BTreeMap<String, String>,
}

/// The roles that `space` uses and `class` names, and an objection to each other one.
pub(crate) fn roles(space: &DeveloperSpaceSpec, class: &SpaceClassSpec) -> (Roles, Vec<SpecRefusal>) {
    let (mut members, mut refusals) = (BTreeMap::new(), Vec::new());
    for member in &space.members {
        // `check_subjects` validates the subject.
        let Member { kind: _, name: _, namespace: _, role } = member;
        match class.roles.iter().find(|of_class| of_class.name == *role) {
            Some(role) => {
                members.insert(role.name.clone(), role.cluster_role.clone());
            }
            None => refusals.push(unknown_role(member, class)),
        }
    }
    (Roles { owner: owner_role(class).to_owned(), members }, refusals)
}

fn unknown_role(member: &Member, class: &SpaceClassSpec) -> SpecRefusal {
    let allowed: Vec<_> = class.roles.iter().map(|role| role.name.as_str()).collect();
    let choice = if allowed.is_empty() {
        "the class has no roles for members".to_owned()
    } else {
        format!("choose one of {}", allowed.join(", "))
    };
    let message =
        format!("spec.members: role {:?} of {} is not a role of the class: {choice}", member.role, member.subject());
    SpecRefusal::new(Reason::RoleNotAllowed, message)
}

/// The ClusterRole of owners: by role name if the class has one of that name, else a ClusterRole itself.
pub(crate) fn owner_role(class: &SpaceClassSpec) -> &str {
    let named = class.roles.iter().find(|role| role.name == class.owner_role);
    named.map_or(class.owner_role.as_str(), |role| role.cluster_role.as_str())
}

/// All bindings of a space; subjects sorted and each named once.
pub(super) fn build(space: &DeveloperSpaceSpec, roles: &Roles, labels: &BTreeMap<String, String>) -> Vec<RoleBinding> {
    let owner = binding(names::OWNER_BINDING, &roles.owner, [space.owner.clone()].into(), labels);
    let members = roles.members.iter().map(|(role, cluster_role)| {
        binding(&format!("{}{role}", names::BINDING_PREFIX), cluster_role, members_with_role(space, role), labels)
    });
    std::iter::once(owner).chain(members).collect()
}

/// The bindings of a space by its spec alone, without ClusterRoles and labels: those of the existing bindings stay
/// unchanged.
pub(crate) fn named(space: &DeveloperSpaceSpec) -> Vec<RoleBinding> {
    let roles = space.members.iter().map(|member| member.role.as_str()).filter(|role| is_role(role));
    let roles: BTreeSet<&str> = roles.collect();
    let members =
        roles.into_iter().map(|role| (format!("{}{role}", names::BINDING_PREFIX), members_with_role(space, role)));
    let all = std::iter::once((names::OWNER_BINDING.to_owned(), [space.owner.clone()].into())).chain(members);
    let bare = |(name, subjects): (String, BTreeSet<Subject>)| {
        let mut bare = binding(&name, "", subjects, &BTreeMap::new());
        bare.metadata.labels = None;
        bare
    };
    all.map(bare).collect()
}

/// Returns true for a name that a class can give a role, see [`crate::api::Role`]. A member may name any role, and the
/// name becomes part of the name of a binding.
fn is_role(name: &str) -> bool {
    name != "owner" && syntax::is_dns_label(name)
}

fn members_with_role(space: &DeveloperSpaceSpec, role: &str) -> BTreeSet<Subject> {
    space.members.iter().filter(|member| member.role == *role).map(Member::subject).collect()
}

fn binding(
    name: &str,
    cluster_role: &str,
    subjects: BTreeSet<Subject>,
    labels: &BTreeMap<String, String>,
) -> RoleBinding {
    RoleBinding {
        metadata: child_metadata(name, labels),
        role_ref: RoleRef {
            api_group: Some(RBAC.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: cluster_role.to_owned(),
        },
        subjects: Some(subjects.into_iter().map(subject).collect()),
    }
}

fn subject(Subject { kind, name, namespace }: Subject) -> K8sSubject {
    let api_group = match kind {
        SubjectKind::User | SubjectKind::Group => Some(RBAC.to_owned()),
        SubjectKind::ServiceAccount => None,
    };
    K8sSubject { api_group, kind: kind.as_str().to_owned(), name, namespace }
}

/// (content, identity) for comparison: the subjects, and the roleRef, which is immutable.
pub(super) fn comparable(binding: &RoleBinding) -> (Value, Value) {
    let subjects = binding.subjects.iter().flatten().map(subject_key);
    let RoleRef { api_group, kind, name } = &binding.role_ref;
    (subjects.collect(), json!([api_group, kind, name]))
}

/// A subject in the form in which subjects are compared.
pub(super) fn subject_key(subject: &K8sSubject) -> Value {
    let K8sSubject { api_group, kind, name, namespace } = subject;
    json!([api_group.as_deref().unwrap_or_default(), kind, name, namespace.as_deref().unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_the_class_does_not_have_are_refused() {
        let class = serde_json::from_value(json!({
            "ownerRole": "grower", "roles": [{"name": "grower", "clusterRole": "edit"}, {"name": "helper", "clusterRole": "view"}],
        }))
        .unwrap();
        let space = serde_json::from_value(json!({
            "owner": {"kind": "User", "name": "ada@example.com"},
            "members": [
                {"kind": "Group", "name": "botany", "role": "helper"},
                {"kind": "User", "name": "bo@example.com", "role": "root"},
                {"kind": "User", "name": "cy@example.com", "role": "admin"},
            ],
        }))
        .unwrap();
        let (roles, refusals) = roles(&space, &class);
        assert_eq!(roles, Roles { owner: "edit".into(), members: [("helper".to_owned(), "view".to_owned())].into() });
        let said: Vec<_> = refusals.iter().map(|refusal| (refusal.reason, refusal.message.as_str())).collect();
        let expected = [
            r#"spec.members: role "root" of User:bo@example.com is not a role of the class: choose one of grower, helper"#,
            r#"spec.members: role "admin" of User:cy@example.com is not a role of the class: choose one of grower, helper"#,
        ];
        assert_eq!(said, expected.map(|message| (Reason::RoleNotAllowed, message)));
    }
}
