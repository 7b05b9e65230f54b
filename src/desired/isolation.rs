//! Enforced isolation: the owner of a `NetworkPolicy`, and the refusals that policies of others cause.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Refusal;
use crate::api::{conditions::Reason, names};

/// The number of policies that a sentence names.
const NAMED: usize = 5;

/// The owner of a `NetworkPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The operator.
    Ours,
    /// The platform, by the label; or a policy with the operator's name and without its label, which is repaired like any child.
    Exempt,
    /// Another client. Policies add up, so this one can allow traffic that the class denies.
    Foreign,
}

/// The owner of the policy with that metadata.
pub fn policy(metadata: &ObjectMeta) -> Policy {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let is_managed = label(names::LABEL_MANAGED_BY) == Some(names::OPERATOR);
    match metadata.name.as_deref() {
        Some(names::NETWORK_POLICY) if is_managed => Policy::Ours,
        Some(names::NETWORK_POLICY) => Policy::Exempt,
        _ if label(names::LABEL_PLATFORM_POLICY) == Some("true") => Policy::Exempt,
        _ => Policy::Foreign,
    }
}

/// The refusal of a space in a class that enforces isolation, because of policies of others in its namespace.
pub fn breach(class_name: &str, namespace: &str, foreign: &[String]) -> Option<Refusal> {
    let message = || {
        format!(
            "class {class_name} enforces the isolation of namespace {namespace}, and {} can allow more traffic, so no new access is granted: {}",
            listed(foreign),
            remedy(namespace, foreign)
        )
    };
    (!foreign.is_empty()).then(|| Refusal::new(Reason::IsolationBreached, message()))
}

/// The refusal to admit a space to a class that enforces isolation, because of policies of others in its namespace.
pub fn not_admitted(class_name: &str, namespace: &str, foreign: &[String]) -> Option<Refusal> {
    let message = || {
        format!(
            "class {class_name} enforces isolation, and the space is not admitted to it while {} can allow more traffic in namespace \
             {namespace}; its current class stays in force: {}",
            listed(foreign),
            remedy(namespace, foreign)
        )
    };
    (!foreign.is_empty()).then(|| Refusal::new(Reason::IsolationBreached, message()))
}

fn listed(foreign: &[String]) -> String {
    let named = foreign.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match foreign.len() {
        1 => format!("NetworkPolicy {named}"),
        2..=NAMED => format!("NetworkPolicies {named}"),
        many => format!("NetworkPolicies {named} and {} more", many - NAMED),
    }
}

fn remedy(namespace: &str, foreign: &[String]) -> String {
    let names = foreign.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" ");
    format!(
        "delete the policies with kubectl -n {namespace} delete networkpolicy {names}, or have an administrator set the label {}=true on those that are needed",
        names::LABEL_PLATFORM_POLICY
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_make_is_foreign_whatever_label_of_ours_it_has() {
        let managed = json!({"app.kubernetes.io/managed-by": "developerspace-operator"});
        for (name, labels, expected) in [
            ("developerspace-isolation", managed.clone(), Policy::Ours),
            ("developerspace-isolation", json!({}), Policy::Exempt),
            ("open", json!({}), Policy::Foreign),
            ("open", managed, Policy::Foreign),
            ("open", json!({"developerspace.dev/platform-policy": "yes"}), Policy::Foreign),
            ("dns", json!({"developerspace.dev/platform-policy": "true"}), Policy::Exempt),
        ] {
            let metadata = serde_json::from_value(json!({"name": name, "labels": labels})).unwrap();
            assert_eq!(policy(&metadata), expected, "{name} {labels}");
        }
    }

    #[test]
    fn a_breach_names_the_policies_and_what_to_do() {
        let foreign = |count: usize| (1..=count).map(|number| format!("open-{number}")).collect::<Vec<_>>();
        assert_eq!(breach("walled", "orchid-lab", &[]), None);
        assert_eq!(not_admitted("walled", "orchid-lab", &[]), None);
        let message = breach("walled", "orchid-lab", &foreign(1)).unwrap().message;
        assert_eq!(
            message,
            "class walled enforces the isolation of namespace orchid-lab, and NetworkPolicy open-1 can allow more traffic, so no new access \
             is granted: delete the policies with kubectl -n orchid-lab delete networkpolicy open-1, or have an administrator set the label \
             developerspace.dev/platform-policy=true on those that are needed"
        );
        let refusal = not_admitted("walled", "orchid-lab", &foreign(7)).unwrap();
        assert_eq!(refusal.reason, Reason::IsolationBreached);
        assert!(refusal.message.contains("NetworkPolicies open-1, open-2, open-3, open-4, open-5 and 2 more"), "{}", refusal.message);
    }
}
