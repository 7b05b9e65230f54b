//! The `NetworkPolicy` that isolates a space from its neighbours.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::{Value, json};

use super::metadata::child_metadata;
use crate::api::{Isolation, Network, names, syntax};

/// Ingress from the namespace itself and from the class's exceptions; none with `isolation: None`. Egress is left open.
pub(super) fn build(network: &Network, labels: &BTreeMap<String, String>) -> Option<NetworkPolicy> {
    let Network { isolation, enforced: _, allow_from_namespaces } = network;
    let itself = NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let others = allow_from_namespaces.iter().map(|selector| NetworkPolicyPeer {
        namespace_selector: Some(as_stored(selector)),
        ..NetworkPolicyPeer::default()
    });
    match isolation {
        Isolation::None => None,
        Isolation::Namespace => Some(NetworkPolicy {
            metadata: child_metadata(names::NETWORK_POLICY, labels),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector::default()),
                policy_types: Some(vec!["Ingress".to_owned()]),
                ingress: Some(vec![NetworkPolicyIngressRule {
                    from: Some(std::iter::once(itself).chain(others).collect()),
                    ports: None,
                }]),
                egress: None,
            }),
        }),
    }
}

/// Removes the empty maps and lists that the API server does not store, so that the stored object equals the one that
/// was sent.
fn as_stored(selector: &LabelSelector) -> LabelSelector {
    let LabelSelector { match_labels, match_expressions } = selector.clone();
    let expressions = match_expressions.filter(|expressions| !expressions.is_empty()).map(|mut expressions| {
        for expression in &mut expressions {
            expression.values = expression.values.take().filter(|values| !values.is_empty());
        }
        expressions
    });
    LabelSelector { match_labels: match_labels.filter(|labels| !labels.is_empty()), match_expressions: expressions }
}

/// Validates label selectors as the API server does. The error is a sentence for the administrator.
pub fn check(network: &Network) -> Result<(), String> {
    for LabelSelector { match_labels, match_expressions } in &network.allow_from_namespaces {
        let refuse = |what: String| Err(format!("network.allowFromNamespaces: {what}"));
        let labels = match_labels.iter().flatten().map(|(key, value)| (key, std::slice::from_ref(value)));
        let expressions = match_expressions.iter().flatten();
        let expressed =
            expressions.clone().map(|expression| (&expression.key, expression.values.as_deref().unwrap_or_default()));
        for (key, values) in labels.chain(expressed) {
            if !syntax::is_qualified_key(key) {
                return refuse(format!("{key:?} is not a valid key such as kubernetes.io/metadata.name"));
            }
            if let Some(value) = values.iter().find(|value| !syntax::is_label_value(value)) {
                return refuse(format!("{value:?} is not a valid label value"));
            }
        }
        for expression in expressions {
            let has_values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
            match expression.operator.as_str() {
                "In" | "NotIn" if !has_values => {
                    return refuse(format!("operator {} of {} requires values", expression.operator, expression.key));
                }
                "Exists" | "DoesNotExist" if has_values => {
                    return refuse(format!("operator {} of {} allows no values", expression.operator, expression.key));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// (content, identity) for comparison.
pub(super) fn comparable(network: &NetworkPolicy) -> (Value, Value) {
    (json!(network.spec), Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_that_is_sent_equals_the_stored_one() {
        let selector = |json: Value| serde_json::from_value::<LabelSelector>(json).unwrap();
        for (given, stored) in [
            (json!({"matchLabels": {}}), json!({})),
            (json!({"matchExpressions": []}), json!({})),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "Exists", "values": []}]}),
                json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            ),
            (json!({"matchLabels": {"tier": "web"}}), json!({"matchLabels": {"tier": "web"}})),
        ] {
            assert_eq!(json!(as_stored(&selector(given))), stored);
        }
    }
}
