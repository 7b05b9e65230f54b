//! The configuration of a space under its class: the rules of the class, and the overrides of the space as far as the
//! class allows them.

use super::{
    admitted::Admitted,
    class_quota, keys, limit_bounds,
    metadata::Metadata,
    quota::{self, Hard},
    role_bindings::{self, Roles},
    spec_refusal::SpecRefusal,
};
use crate::api::{
    ClassMetadata, DeveloperSpace, LimitRangeItem, Network, PodSecurity, SpaceClassSpec, SubjectKind,
    conditions::Reason, protected_namespaces::ProtectedNamespaces,
};

/// The configuration of a space: the rules of the class and the overrides of the space, cut to the limits of the class.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The class in force.
    pub class_name: String,
    /// Hard limits.
    pub quota: Hard,
    /// Limits and defaults of pods.
    pub limits: Vec<LimitRangeItem>,
    /// Isolation.
    pub network: Network,
    /// True if the namespace is labelled as one in which only the operator writes NetworkPolicies: the class in force
    /// enforces isolation, or the class to which the space asks to be admitted does.
    pub network_enforced: bool,
    /// Pod Security levels.
    pub pod_security: Option<PodSecurity>,
    /// The class's own labels and annotations.
    pub metadata: ClassMetadata,
    /// The space's own labels and annotations: those that the class allows and does not set itself.
    pub keys: Metadata,
    /// ClusterRoles in use.
    pub roles: Roles,
    /// Advice about an accepted spec: sentences for the message of a space that is Ready.
    pub notices: Vec<String>,
}

/// The configuration that a space may have, and the objections to the rest of its spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The configuration that the space may have, whatever is refused.
    pub resolved: Resolved,
    /// Every objection to the spec, in the order in which they are reported. Without any, the spec is accepted.
    pub refusals: Vec<SpecRefusal>,
}

impl Ruling {
    /// The configuration if the whole spec is accepted, else the first objection.
    pub fn accepted(self) -> Result<Resolved, SpecRefusal> {
        match self.refusals.into_iter().next() {
            None => Ok(self.resolved),
            Some(refusal) => Err(refusal),
        }
    }
}

/// Resolves `space` under `class` alone. [`super::ledger::validate_spec`] validates the whole spec.
pub fn resolve(space: &DeveloperSpace, class_name: &str, class: &SpaceClassSpec) -> Ruling {
    resolve_among(space, class_name, class, &Admitted::default())
}

/// Validates the keys, roles, quota and limits that `space` asks for under `class`, the spec in force, which an older
/// version of this operator may have accepted. `admitted` has the names and labels that the network rules of all
/// classes rely on.
pub(super) fn resolve_among(
    space: &DeveloperSpace,
    class_name: &str,
    class: &SpaceClassSpec,
    admitted: &Admitted,
) -> Ruling {
    let metadata = class.metadata.clone().unwrap_or_default();
    let (keys, refused_keys) = keys::cut(&space.spec.labels, &space.spec.annotations, &metadata, admitted);
    let (roles, refused_roles) = role_bindings::roles(&space.spec, class);
    let (quota, refused_quota) = quota::cut(class.quota.as_ref(), &space.spec.quota);
    let (quota, no_room) = class_quota::leave_room(class, &space.spec.quota, quota);
    let (limits, refused_limits) = limit_bounds::cut(class_name, class, &space.spec.limit_range, &quota);
    let refusals = refused_keys
        .into_iter()
        .chain(refused_roles)
        .chain(refused_quota)
        .chain(no_room)
        .chain(refused_limits)
        .collect();
    let resolved = Resolved {
        class_name: class_name.to_owned(),
        quota,
        limits,
        network: class.network.clone(),
        network_enforced: class.network.enforced,
        pod_security: class.pod_security,
        metadata,
        keys,
        roles,
        notices: Vec::new(),
    };
    Ruling { resolved, refusals }
}

/// Refuses subjects that get no access to any space: those that Kubernetes reserves, such as `system:authenticated` and
/// `system:masters` (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects>), and the
/// ServiceAccounts of protected namespaces other than `default`.
pub(crate) fn check_subjects(space: &DeveloperSpace, protected: &ProtectedNamespaces) -> Result<(), SpecRefusal> {
    let members = space
        .spec
        .members
        .iter()
        .enumerate()
        .map(|(number, member)| (format!("spec.members[{number}]"), member.subject()));
    for (field, subject) in std::iter::once(("spec.owner".to_owned(), space.spec.owner.clone())).chain(members) {
        let namespace = subject.namespace.as_deref().unwrap_or_default();
        let refuse = |why: &str| Err(SpecRefusal::new(Reason::InvalidSpec, format!("{field}: {subject} {why}")));
        match subject.kind {
            // Workloads in the namespace default belong to users.
            SubjectKind::ServiceAccount if namespace != "default" && protected.contains(namespace) => {
                return refuse("belongs to the cluster; use a ServiceAccount of a namespace that is not protected");
            }
            SubjectKind::User | SubjectKind::Group if is_systems(&subject.name) => {
                return refuse("belongs to Kubernetes; use a user, a group, or a ServiceAccount by kind and namespace");
            }
            SubjectKind::User | SubjectKind::Group | SubjectKind::ServiceAccount => {}
        }
    }
    Ok(())
}

/// Returns true if the name begins with `system:`, in upper or lower case and after any spaces: identity providers
/// differ in how they normalise case.
fn is_systems(name: &str) -> bool {
    name.trim_start().get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case("system:"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn subjects_that_belong_to_kubernetes_or_the_cluster_are_refused() {
        let protected = ProtectedNamespaces::new("dspace-home", &["istio-*".into()]);
        let account = |namespace: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": "robot"});
        let named = |kind: &str, name: &str| json!({"kind": kind, "name": name});
        let check = |owner: &Value, member: &Value| {
            let mut member = member.clone();
            member["role"] = "view".into();
            let space = json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
                "spec": {"owner": owner, "members": [member]},
            });
            check_subjects(&serde_json::from_value(space).unwrap(), &protected).map_err(|refusal| refusal.message)
        };
        let (ada, botany) = (named("User", "ada@example.com"), named("Group", "botany"));
        assert_eq!(check(&ada, &botany), Ok(()));
        assert_eq!(check(&account("default"), &botany), Ok(()));
        assert_eq!(check(&account("ci-runners"), &named("User", "systematic")), Ok(()));
        for subject in [
            named("Group", "system:masters"),
            named("Group", "system:authenticated"),
            named("Group", "System:Unauthenticated"),
            named("User", "system:admin"),
            named("User", "system:serviceaccount:kube-system:generic-garbage-collector"),
            named("User", " system:admin"),
            account("kube-system"),
            account("dspace-home"),
            account("istio-system"),
        ] {
            assert!(check(&subject, &botany).unwrap_err().starts_with("spec.owner: "), "{subject}");
            assert!(check(&ada, &subject).unwrap_err().starts_with("spec.members[0]: "), "{subject}");
        }
    }
}
