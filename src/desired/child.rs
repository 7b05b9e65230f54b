//! The objects in a space's namespace: their kinds and their names.

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

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
const MAX_ROLE_NAME_BYTES: usize = 253;

/// Returns true if the operator may have created an object of that kind and name. Any other object belongs to another client, whatever its labels.
pub fn is_operator_name(kind: ChildKind, name: &str) -> bool {
    match kind {
        ChildKind::Quota | ChildKind::Limits => name == names::CHILD,
        ChildKind::Network => name == names::NETWORK_POLICY,
        ChildKind::Binding => name.strip_prefix(names::BINDING_PREFIX).is_some_and(|role| role.len() <= MAX_ROLE_NAME_BYTES),
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
