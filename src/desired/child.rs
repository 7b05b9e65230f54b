//! The objects in a space's namespace: their kinds and their names.

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::api::{names, syntax};

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

/// Returns true if the operator may have created an object of that kind and name. Any other object belongs to another
/// client, whatever its labels.
///
/// The name of a binding ends with the name of a role, see [`crate::api::Role`]. Other clients may create bindings with
/// names that cannot be part of the path of a request, such as `developerspace-x y`.
pub(crate) fn is_operator_name(kind: ChildKind, name: &str) -> bool {
    match kind {
        ChildKind::Quota | ChildKind::Limits => name == names::CHILD,
        ChildKind::Network => name == names::NETWORK_POLICY,
        ChildKind::Binding => name.strip_prefix(names::BINDING_PREFIX).is_some_and(syntax::is_dns_label),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_ours_only_if_its_name_ends_with_the_name_of_a_role() {
        let (longest, too_long) = ("x".repeat(63), "x".repeat(64));
        for (role, ours) in [
            ("owner", true),
            ("view", true),
            ("data-scientist-2", true),
            (longest.as_str(), true),
            ("", false),
            ("-view", false),
            ("view-", false),
            ("View", false),
            ("x y", false),
            ("x?dryRun=All", false),
            ("x#", false),
            ("x/../y", false),
            ("system:view", false),
            (too_long.as_str(), false),
        ] {
            assert_eq!(is_operator_name(ChildKind::Binding, &format!("developerspace-{role}")), ours, "{role:?}");
        }
        assert!(!is_operator_name(ChildKind::Binding, "view"));
        assert!(
            is_operator_name(ChildKind::Quota, "developerspace")
                && !is_operator_name(ChildKind::Limits, "developerspace-view")
        );
    }
}
