//! The objects in a space's namespace, and the fingerprints by which they are compared without being kept.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::{Value, json};

use super::{access, limit_range, network_policy, quota, role_bindings, uid::Uid};
use crate::api::names;

/// The kinds of object that the operator creates in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// `ResourceQuota`.
    Quota,
    /// `LimitRange`.
    Limits,
    /// `NetworkPolicy`.
    Network,
    /// `RoleBinding`.
    Binding,
}

impl ChildKind {
    /// The kind as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "ResourceQuota",
            Self::Limits => "LimitRange",
            Self::Network => "NetworkPolicy",
            Self::Binding => "RoleBinding",
        }
    }
}

/// The most bytes of a role's name: a member may name any role, see [`crate::api::Member`].
const LONGEST_ROLE: usize = 253;

/// Returns true if the operator may have created an object of that kind and name. Any other object belongs to another client, whatever its labels.
pub fn is_name_of_ours(kind: ChildKind, name: &str) -> bool {
    match kind {
        ChildKind::Quota | ChildKind::Limits => name == names::CHILD,
        ChildKind::Network => name == names::NETWORK_POLICY,
        ChildKind::Binding => name.strip_prefix(names::BINDING_PREFIX).is_some_and(|role| role.len() <= LONGEST_ROLE),
    }
}

/// All children of one space.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// Limits on the resource usage of the namespace; `None` if the class has no quota.
    pub quota: Option<ResourceQuota>,
    /// Limits and defaults of its pods; `None` if nothing is limited.
    pub limits: Option<LimitRange>,
    /// Its isolation; none with `isolation: None`.
    pub network: Option<NetworkPolicy>,
    /// The access of the owner and the members, one binding for each role.
    pub bindings: Vec<RoleBinding>,
}

/// One child, whatever its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    /// `ResourceQuota`.
    Quota(ResourceQuota),
    /// `LimitRange`.
    Limits(LimitRange),
    /// `NetworkPolicy`.
    Network(NetworkPolicy),
    /// `RoleBinding`.
    Binding(RoleBinding),
}

/// The content of a child, normalised and hashed. Equal fingerprints mean that there is nothing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The part that can be repaired in place: the operator's labels and the content.
    pub content: u64,
    /// The part that the server refuses to change (a roleRef, a quota's scopes): another value needs another object.
    pub identity: u64,
}

impl Fingerprint {
    fn of(metadata: &ObjectMeta, content: &Value, identity: &Value) -> Self {
        let labels = metadata.labels.as_ref();
        let ours: Vec<_> =
            [names::LABEL_MANAGED_BY, names::LABEL_SPACE, names::LABEL_CLASS].map(|key| labels.and_then(|labels| labels.get(key))).into();
        Self { content: hash(&json!([ours, content])), identity: hash(identity) }
    }
}

impl From<&RoleBinding> for Fingerprint {
    fn from(binding: &RoleBinding) -> Self {
        let (content, identity) = role_bindings::comparable(binding);
        Self::of(&binding.metadata, &content, &identity)
    }
}

/// The part of an existing child that is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenChild {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Uid,
    /// Its resourceVersion, as the number that it is in etcd.
    pub version: u64,
    /// The fingerprint of its content.
    pub fingerprint: Fingerprint,
    /// For a quota, true if admission enforces it; always true for other kinds.
    pub in_force: bool,
    /// True if it is terminating: deleted, and held by a finalizer.
    pub going: bool,
    /// The hashes of a binding's subjects; empty for other kinds.
    pub subjects: Box<[u64]>,
}

impl Child {
    /// The kind.
    pub fn kind(&self) -> ChildKind {
        match self {
            Self::Quota(_) => ChildKind::Quota,
            Self::Limits(_) => ChildKind::Limits,
            Self::Network(_) => ChildKind::Network,
            Self::Binding(_) => ChildKind::Binding,
        }
    }

    /// The metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Quota(quota) => &quota.metadata,
            Self::Limits(limits) => &limits.metadata,
            Self::Network(network) => &network.metadata,
            Self::Binding(binding) => &binding.metadata,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The fingerprint by which desired and existing children are compared.
    pub fn fingerprint(&self) -> Fingerprint {
        let (content, identity) = match self {
            Self::Quota(quota) => quota::comparable(quota),
            Self::Limits(limits) => limit_range::comparable(limits),
            Self::Network(network) => network_policy::comparable(network),
            Self::Binding(binding) => role_bindings::comparable(binding),
        };
        Fingerprint::of(self.metadata(), &content, &identity)
    }

    /// The JSON patch (RFC 6902) that gives an existing object with that UID the content of this one; the API server refuses it for any other UID.
    /// Labels and annotations of other clients stay. An object that is not `labelled` has no map to add a label to, so the patch creates the map.
    pub fn repair(&self, uid: &Uid, labelled: bool) -> Value {
        let (path, content) = match self {
            Self::Quota(quota) => ("/spec/hard", json!(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()))),
            Self::Limits(limits) => ("/spec", json!(limits.spec)),
            Self::Network(network) => ("/spec", json!(network.spec)),
            Self::Binding(binding) => ("/subjects", json!(binding.subjects)),
        };
        let mut patch = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": uid.to_string()}),
            json!({"op": "add", "path": path, "value": content}),
        ];
        if !labelled {
            patch.push(json!({"op": "add", "path": "/metadata/labels", "value": self.metadata().labels}));
            return Value::Array(patch);
        }
        for (key, value) in self.metadata().labels.iter().flatten() {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            patch.push(json!({"op": "add", "path": format!("/metadata/labels/{escaped}"), "value": value}));
        }
        Value::Array(patch)
    }

    /// The part to keep of an object that the API server returned.
    pub fn seen(&self) -> SeenChild {
        let metadata = self.metadata();
        SeenChild {
            kind: self.kind(),
            name: self.name().into(),
            uid: Uid::of(metadata),
            version: version(metadata),
            fingerprint: self.fingerprint(),
            in_force: if let Self::Quota(quota) = self { quota::is_in_force(quota) } else { true },
            going: metadata.deletion_timestamp.is_some(),
            subjects: if let Self::Binding(binding) = self { access::subjects(binding) } else { Box::default() },
        }
    }
}

/// An object's resourceVersion as a number; 0 if it has none.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Metadata of a child.
pub(super) fn child_metadata(name: &str, labels: &BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..ObjectMeta::default() }
}

/// A hash that is stable within a process; objects are compared in memory only.
pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

macro_rules! child_from {
    ($($object:ident => $variant:ident),*) => {$(
        impl From<$object> for Child {
            fn from(object: $object) -> Self {
                Self::$variant(object)
            }
        }
    )*};
}

child_from!(ResourceQuota => Quota, LimitRange => Limits, NetworkPolicy => Network, RoleBinding => Binding);
