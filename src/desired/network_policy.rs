//! The `NetworkPolicy` that shuts a space off from its neighbours.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::{Value, json};

use super::children::child_metadata;
use crate::api::{Isolation, Network, names};

/// Ingress from the namespace itself and from the class's exceptions; none with `isolation: None`. Egress is left open.
pub(super) fn build(network: &Network, labels: &BTreeMap<String, String>) -> Option<NetworkPolicy> {
    let Network { isolation, enforced: _, allow_from_namespaces } = network;
    let itself = NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let others = allow_from_namespaces
        .iter()
        .map(|selector| NetworkPolicyPeer { namespace_selector: Some(selector.clone()), ..NetworkPolicyPeer::default() });
    match isolation {
        Isolation::None => None,
        Isolation::Namespace => Some(NetworkPolicy {
            metadata: child_metadata(names::NETWORK_POLICY, labels),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector::default()),
                policy_types: Some(vec!["Ingress".to_owned()]),
                ingress: Some(vec![NetworkPolicyIngressRule { from: Some(std::iter::once(itself).chain(others).collect()), ports: None }]),
                egress: None,
            }),
        }),
    }
}

/// (content, identity) for comparison.
pub(super) fn comparable(network: &NetworkPolicy) -> (Value, Value) {
    (json!(network.spec), Value::Null)
}
