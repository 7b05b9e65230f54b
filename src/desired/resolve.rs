//! What a space may have under its class, or why not.

use super::{
    Refusal, class,
    limit_range::complete,
    quota::{self, Hard},
    role_bindings::{self, Roles},
};
use crate::api::{
    ClassMetadata, DeveloperSpace, LimitRangeItem, Network, PodSecurity, SpaceClassSpec, SubjectKind,
    conditions::Reason,
    names::{self, ProtectedNamespaces},
};

/// What a space has: the class's word and the space's overrides, checked.
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
    /// Pod Security levels.
    pub pod_security: Option<PodSecurity>,
    /// The class's own labels and annotations.
    pub metadata: ClassMetadata,
    /// ClusterRoles in use.
    pub roles: Roles,
}

/// Judges `space` under `class`. Nothing of an invalid spec is carried out.
pub fn resolve(space: &DeveloperSpace, class_name: &str, class: &SpaceClassSpec) -> Result<Resolved, Refusal> {
    let invalid = |message: String| Refusal::new(Reason::InvalidSpec, message);
    class::check(class)
        .map_err(|problem| invalid(format!("SpaceClass {class_name} is not accepted, and its administrator must mend it: {problem}")))?;
    check_keys(space, class.metadata.as_ref())?;
    let roles = role_bindings::roles(&space.spec, class)?;
    let quota = quota::merge(class.quota.as_ref(), &space.spec.quota)?;
    let limits = if space.spec.limit_range.is_empty() {
        let told = |problem| format!("SpaceClass {class_name}, {problem} (or set spec.limitRange)");
        complete(&class.limit_range, &quota).map_err(|problem| invalid(told(problem)))?
    } else {
        complete(&space.spec.limit_range, &quota).map_err(|problem| invalid(format!("spec.{problem}")))?
    };
    Ok(Resolved {
        class_name: class_name.to_owned(),
        quota,
        limits,
        network: class.network.clone(),
        pod_security: class.pod_security,
        metadata: class.metadata.clone().unwrap_or_default(),
        roles,
    })
}

/// Names that no space may have, whoever asks.
pub fn check_name(name: &str, protected: &ProtectedNamespaces) -> Result<(), Refusal> {
    if protected.contains(name) {
        let message = format!("namespace {name} is protected on this cluster: delete this DeveloperSpace and choose another name");
        return Err(Refusal::new(Reason::NamespaceConflict, message));
    }
    Ok(())
}

/// Subjects that nobody gets access for: those that Kubernetes itself speaks for, `system:authenticated` and `system:masters` among them
/// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects>), and the accounts of the cluster's own namespaces.
pub fn check_subjects(space: &DeveloperSpace, protected: &ProtectedNamespaces) -> Result<(), Refusal> {
    let members = space.spec.members.iter().enumerate().map(|(number, member)| (format!("spec.members[{number}]"), member.subject()));
    for (field, subject) in std::iter::once(("spec.owner".to_owned(), space.spec.owner.clone())).chain(members) {
        let namespace = subject.namespace.as_deref().unwrap_or_default();
        let refuse = |why: &str| Err(Refusal::new(Reason::InvalidSpec, format!("{field}: {subject} {why}")));
        match subject.kind {
            // What runs in the namespace default is people's own.
            SubjectKind::ServiceAccount if namespace != "default" && protected.contains(namespace) => {
                return refuse("belongs to the cluster; name an account of a namespace that is not protected");
            }
            SubjectKind::User | SubjectKind::Group if is_systems(&subject.name) => {
                return refuse("is Kubernetes' own; name a person or a group of people, or a ServiceAccount by kind and namespace");
            }
            SubjectKind::User | SubjectKind::Group | SubjectKind::ServiceAccount => {}
        }
    }
    Ok(())
}

/// Names that begin with `system:`, however they are written: identity providers differ in what they do to capitals.
fn is_systems(name: &str) -> bool {
    name.trim_start().get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case("system:"))
}

fn check_keys(space: &DeveloperSpace, metadata: Option<&ClassMetadata>) -> Result<(), Refusal> {
    let allowed = metadata.map(|metadata| metadata.allowed_keys.as_slice()).unwrap_or_default();
    for (field, map) in [("labels", &space.spec.labels), ("annotations", &space.spec.annotations)] {
        for (key, value) in map {
            let refuse = |why: &str| Refusal::new(Reason::InvalidSpec, format!("spec.{field} {key:?}: {why}"));
            if !names::is_qualified_key(key) {
                return Err(refuse("not a key; write for example example.com/tier"));
            }
            if class::is_reserved(key) || key == names::LABEL_MANAGED_BY {
                return Err(refuse("this key belongs to Kubernetes, to the platform or to this operator and cannot be set by a space"));
            }
            if !allowed.iter().any(|pattern| names::matches_pattern(pattern, key)) {
                let choice = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                return Err(refuse(&format!("the class does not allow this key; it allows {choice}")));
            }
            if field == "labels" && !names::is_label_value(value) {
                return Err(refuse("the value is not a label value: at most 63 letters, digits, dashes, dots and underscores"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nobody_gets_in_by_a_name_that_is_kubernetes_own() {
        let protected = ProtectedNamespaces::new("dspace-home", &["istio-*".into()]);
        let account = |namespace: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": "robot"});
        let named = |kind: &str, name: &str| json!({"kind": kind, "name": name});
        let judge = |owner: &Value, member: &Value| {
            let mut member = member.clone();
            member["role"] = "view".into();
            let space = json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
                "spec": {"owner": owner, "members": [member]},
            });
            check_subjects(&serde_json::from_value(space).unwrap(), &protected).map_err(|refusal| refusal.message)
        };
        let (ada, botany) = (named("User", "ada@example.com"), named("Group", "botany"));
        assert_eq!(judge(&ada, &botany), Ok(()));
        assert_eq!(judge(&account("default"), &botany), Ok(()));
        assert_eq!(judge(&account("ci-runners"), &named("User", "systematic")), Ok(()));
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
            assert!(judge(&subject, &botany).unwrap_err().starts_with("spec.owner: "), "{subject}");
            assert!(judge(&ada, &subject).unwrap_err().starts_with("spec.members[0]: "), "{subject}");
        }
    }
}
