//! Enforced isolation: the owner of a `NetworkPolicy`, and the refusals that policies of others cause.

use k8s_openapi::{api::networking::v1::NetworkPolicy, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::spec_refusal::SpecRefusal;
use crate::api::{conditions::Reason, names};

/// The number of policies that a sentence names.
const MAX_NAMED_POLICIES: usize = 5;

/// The number of policies of one namespace that are kept by name.
pub(crate) const MAX_KEPT_NAMES: usize = 20;

/// The foreign policies of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// The names of some of them.
    pub named: Vec<String>,
    /// The number of the others.
    pub others: usize,
}

impl Foreign {
    /// Adds a policy.
    pub fn add(&mut self, name: String) {
        if self.named.len() < MAX_KEPT_NAMES {
            self.named.push(name);
        } else {
            self.others = self.others.saturating_add(1);
        }
    }

    /// The number of all policies.
    pub fn number(&self) -> usize {
        self.named.len().saturating_add(self.others)
    }

    fn is_empty(&self) -> bool {
        self.number() == 0
    }
}

/// The owner of a `NetworkPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyOwner {
    /// The operator.
    Ours,
    /// The platform, by the label; or a policy with the operator's name and without its label, which is repaired like
    /// any child.
    Exempt,
    /// Another client. Policies add up, so this one can allow traffic that the class denies.
    Foreign,
}

/// The owner of the policy with that metadata.
pub(crate) fn policy_owner(metadata: &ObjectMeta) -> PolicyOwner {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let is_managed = label(names::LABEL_MANAGED_BY) == Some(names::OPERATOR);
    match metadata.name.as_deref() {
        Some(names::NETWORK_POLICY) if is_managed => PolicyOwner::Ours,
        Some(names::NETWORK_POLICY) => PolicyOwner::Exempt,
        _ if label(names::LABEL_PLATFORM_POLICY) == Some("true") => PolicyOwner::Exempt,
        _ => PolicyOwner::Foreign,
    }
}

/// The operator's own policy in the namespace of a space that is to be admitted to a class that enforces isolation.
#[derive(Clone, Debug, Default)]
pub struct OwnPolicy {
    /// The policy before the admission; `None` if there is none.
    pub before: Option<NetworkPolicy>,
    /// The policy after the admission; `None` if there is none.
    pub after: Option<NetworkPolicy>,
}

impl OwnPolicy {
    /// Returns true if `found` has the name of the operator's policy, and not its rules: it can allow more traffic than
    /// any class.
    pub(crate) fn is_altered(&self, found: &NetworkPolicy) -> bool {
        let mut wanted = [&self.before, &self.after].into_iter().flatten();
        found.metadata.name.as_deref() == Some(names::NETWORK_POLICY) && wanted.all(|wanted| wanted.spec != found.spec)
    }
}

/// The refusal of a space in a class that enforces isolation, because of policies of others in its namespace.
pub(crate) fn breach(class_name: &str, namespace: &str, foreign: &Foreign) -> Option<SpecRefusal> {
    let message = || {
        format!(
            "class {class_name} enforces the isolation of namespace {namespace}, and {} can allow more traffic, so no new access is granted: {}",
            listed(foreign),
            remedy(namespace, foreign)
        )
    };
    (!foreign.is_empty()).then(|| SpecRefusal::new(Reason::IsolationBreached, message()))
}

/// The refusal to admit a space to a class that enforces isolation, because of policies of others in its namespace.
pub(crate) fn not_admitted(class_name: &str, namespace: &str, foreign: &Foreign) -> Option<SpecRefusal> {
    let message = || {
        format!(
            "class {class_name} enforces isolation, and the space is not admitted to it while {} can allow more traffic in namespace \
             {namespace}; its current class stays in force: {}",
            listed(foreign),
            remedy(namespace, foreign)
        )
    };
    (!foreign.is_empty()).then(|| SpecRefusal::new(Reason::IsolationBreached, message()))
}

fn listed(foreign: &Foreign) -> String {
    let named: Vec<&str> = foreign.named.iter().take(MAX_NAMED_POLICIES).map(String::as_str).collect();
    match (foreign.number(), foreign.number() - named.len()) {
        _ if named.is_empty() => "NetworkPolicies of other clients".to_owned(),
        (1, _) => format!("NetworkPolicy {}", named.join(", ")),
        (_, 0) => format!("NetworkPolicies {}", named.join(", ")),
        (_, more) => format!("NetworkPolicies {} and {more} more", named.join(", ")),
    }
}

fn remedy(namespace: &str, foreign: &Foreign) -> String {
    let names: Vec<&str> = foreign.named.iter().take(MAX_NAMED_POLICIES).map(String::as_str).collect();
    let deletion = if names.is_empty() {
        format!("delete the policies that kubectl -n {namespace} get networkpolicies shows")
    } else {
        format!("delete the policies with kubectl -n {namespace} delete networkpolicy {}", names.join(" "))
    };
    format!(
        "{deletion}, or have an administrator set the label {}=true on those that are needed",
        names::LABEL_PLATFORM_POLICY
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_of_another_client_is_foreign_even_with_the_operators_label() {
        let managed = json!({"app.kubernetes.io/managed-by": "developerspace-operator"});
        for (name, labels, expected) in [
            ("developerspace-isolation", managed.clone(), PolicyOwner::Ours),
            ("developerspace-isolation", json!({}), PolicyOwner::Exempt),
            ("open", json!({}), PolicyOwner::Foreign),
            ("open", managed, PolicyOwner::Foreign),
            ("open", json!({"developerspace.dev/platform-policy": "yes"}), PolicyOwner::Foreign),
            ("dns", json!({"developerspace.dev/platform-policy": "true"}), PolicyOwner::Exempt),
        ] {
            let metadata = serde_json::from_value(json!({"name": name, "labels": labels})).unwrap();
            assert_eq!(policy_owner(&metadata), expected, "{name} {labels}");
        }
    }

    #[test]
    fn a_policy_of_the_operators_name_has_the_rules_of_either_class_or_is_altered() {
        let policy = |name: &str, spec: serde_json::Value| -> NetworkPolicy {
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        };
        let from = |namespace: &str| {
            let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
            json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": selector}]}]})
        };
        let own = |before: Option<&str>, after: Option<&str>| {
            let wanted = |namespace: &str| policy("developerspace-isolation", from(namespace));
            OwnPolicy { before: before.map(wanted), after: after.map(wanted) }
        };
        let open = json!({"podSelector": {}, "ingress": [{}]});
        for (own, name, spec, expected) in [
            (own(Some("front-door"), Some("back-door")), "developerspace-isolation", from("front-door"), false),
            (own(Some("front-door"), Some("back-door")), "developerspace-isolation", from("back-door"), false),
            (own(Some("front-door"), Some("back-door")), "developerspace-isolation", open.clone(), true),
            (own(None, Some("back-door")), "developerspace-isolation", from("front-door"), true),
            (own(None, None), "developerspace-isolation", from("front-door"), true),
            // Rules that were too large to be read.
            (own(Some("front-door"), None), "developerspace-isolation", serde_json::Value::Null, true),
            (own(Some("front-door"), None), "open", open, false),
        ] {
            assert_eq!(own.is_altered(&policy(name, spec.clone())), expected, "{name} {spec} with {own:?}");
        }
    }

    #[test]
    fn a_breach_names_the_policies_and_the_correction() {
        let foreign = |count: usize| {
            let mut foreign = Foreign::default();
            (1..=count).for_each(|number| foreign.add(format!("open-{number}")));
            foreign
        };
        assert_eq!(breach("walled", "orchid-lab", &foreign(0)), None);
        assert_eq!(not_admitted("walled", "orchid-lab", &foreign(0)), None);
        let message = breach("walled", "orchid-lab", &foreign(1)).unwrap().message;
        assert_eq!(
            message,
            "class walled enforces the isolation of namespace orchid-lab, and NetworkPolicy open-1 can allow more traffic, so no new access \
             is granted: delete the policies with kubectl -n orchid-lab delete networkpolicy open-1, or have an administrator set the label \
             developerspace.dev/platform-policy=true on those that are needed"
        );
        let unnamed = Foreign { named: vec![], others: 3 };
        for (foreign, listed) in [
            (foreign(2), "NetworkPolicies open-1, open-2 can"),
            (foreign(7), "NetworkPolicies open-1, open-2, open-3, open-4, open-5 and 2 more can"),
            (foreign(30), "NetworkPolicies open-1, open-2, open-3, open-4, open-5 and 25 more can"),
            (unnamed.clone(), "NetworkPolicies of other clients can"),
            (
                unnamed,
                "delete the policies that kubectl -n orchid-lab get networkpolicies shows, or have an administrator set the label",
            ),
        ] {
            let refusal = not_admitted("walled", "orchid-lab", &foreign).unwrap();
            assert_eq!(refusal.reason, Reason::IsolationBreached);
            assert!(refusal.message.contains(listed), "{}", refusal.message);
        }
    }
}
