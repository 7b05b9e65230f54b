//! The fingerprints by which children are compared without being kept.

use k8s_openapi::{api::rbac::v1::RoleBinding, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::Value;

use super::{child::Child, hash::hash, limit_range, network_policy, quota, role_bindings};
use crate::api::names;

/// The content of a child, normalised and hashed. Equal fingerprints mean that there is nothing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The part that can be repaired in place: the operator's labels and the content.
    pub content: u64,
    /// The part that the server refuses to change (a roleRef, a quota's scopes): another value needs another object.
    pub identity: u64,
}

impl Fingerprint {
    fn new(metadata: &ObjectMeta, content: &Value, identity: &Value) -> Self {
        let labels = metadata.labels.as_ref();
        let ours = [names::LABEL_MANAGED_BY, names::LABEL_SPACE, names::LABEL_CLASS]
            .map(|key| labels.and_then(|labels| labels.get(key)));
        Self { content: hash(&(ours, content)), identity: hash(identity) }
    }
}

impl From<&RoleBinding> for Fingerprint {
    fn from(binding: &RoleBinding) -> Self {
        let (content, identity) = role_bindings::comparable(binding);
        Self::new(&binding.metadata, &content, &identity)
    }
}

impl Child {
    /// The fingerprint by which desired and existing children are compared.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let (content, identity) = match self {
            Self::Quota(quota) => quota::comparable(quota),
            Self::Limits(limits) => limit_range::comparable(limits),
            Self::Network(network) => network_policy::comparable(network),
            Self::Binding(binding) => role_bindings::comparable(binding),
        };
        Fingerprint::new(self.metadata(), &content, &identity)
    }
}
