//! The desired state of a space's namespace, composed from its parts.

use chrono::{DateTime, Utc};

use super::{
    child::Children, limit_range, metadata::child_labels, namespace::NamespaceMetadata, network_policy, quota,
    resolve::Resolved, role_bindings,
};
use crate::api::DeveloperSpace;

/// The desired state of a space's namespace.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Labels and annotations of the namespace.
    pub namespace: NamespaceMetadata,
    /// The objects in it.
    pub children: Children,
}

/// Builds the desired state that `resolved` describes, for a namespace that is deleted at `expires_at`.
pub fn desire(space: &DeveloperSpace, resolved: &Resolved, expires_at: Option<DateTime<Utc>>) -> Desired {
    let labels = child_labels(space, &resolved.class_name);
    Desired {
        namespace: NamespaceMetadata::new(space, resolved, expires_at),
        children: Children {
            quota: quota::build(&resolved.quota, &labels),
            limits: limit_range::build(&resolved.limits, &labels),
            network: network_policy::build(&resolved.network, &labels),
            bindings: role_bindings::build(&space.spec, &resolved.roles, &labels),
        },
    }
}
