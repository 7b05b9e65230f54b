//! Pure decisions: plain data and `now` in, plain data out. No async, no clock, no client, no environment.
//!
//! [`resolve()`] turns a space and its class into the configuration of the space and the objections to the rest of its spec. [`desire`] builds the
//! objects. [`diff`] compares them with the existing ones. [`lifetime`] computes the expiry and the warnings. [`status`] builds the status and its
//! Events.

pub mod access;
pub mod admitted;
pub mod adoption;
pub mod annotation_expiry;
pub mod brake;
pub mod class;
pub mod class_quota;
pub mod class_verdict;
pub mod contact;
pub mod credential_lifetime;
pub mod deletion_limit;
pub mod departure;
pub mod diff;
pub mod expiry;
pub mod foreign_bindings;
pub mod foreign_ttl;
pub mod isolation;
pub mod keys;
pub mod ledger;
pub mod lifetime;
pub mod limit_bounds;
pub mod limit_range;
pub mod metadata;
pub mod missing_roles;
pub mod namespace;
pub mod network_policy;
pub mod noncompliance;
pub mod open_door;
pub mod orphan;
pub mod owner_limit;
pub mod ownership;
pub mod pod_security;
pub mod quota;
pub mod resolve;
pub mod role_bindings;
pub mod seen_namespace;
pub mod space_name;
pub mod standing;
pub mod status;
pub mod uid;
pub mod usage;
pub mod waiting_limit;
pub mod wording;

pub mod children;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

pub use children::{Child, ChildKind, Children, Fingerprint, SeenChild};
pub use resolve::{Resolved, Ruling, resolve};
pub use uid::Uid;

use crate::api::{DeveloperSpace, conditions::Reason, names};

/// The reason why a space does not get everything that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of `Ready=False`.
    pub reason: Reason,
    /// A sentence that names the correction.
    pub message: String,
}

impl Refusal {
    /// A refusal with that reason and sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The part of a space's spec that is applied to its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The spec is accepted: all of it.
    Full,
    /// The spec is accepted, but no new subject gets access: the isolation of the namespace is breached.
    NoNewcomers,
    /// The spec is refused: nothing new is granted. Subjects, roles, keys and limits that the spec or the class in force no longer names are removed,
    /// and the class's own rules apply.
    Withheld,
}

/// The desired state of a space's namespace.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Labels and annotations of the namespace.
    pub namespace: namespace::NamespaceMetadata,
    /// The objects in it.
    pub children: Children,
}

/// Builds the desired state that `resolved` describes, for a namespace that is deleted at `expires_at`.
pub fn desire(space: &DeveloperSpace, resolved: &Resolved, expires_at: Option<DateTime<Utc>>) -> Desired {
    let labels = child_labels(space, &resolved.class_name);
    Desired {
        namespace: namespace::NamespaceMetadata::of(space, resolved, expires_at),
        children: Children {
            quota: quota::build(&resolved.quota, &labels),
            limits: limit_range::build(&resolved.limits, &labels),
            network: network_policy::build(&resolved.network, &labels),
            bindings: role_bindings::build(&space.spec, resolved, &labels),
        },
    }
}

/// The labels of every object that is created for a space.
fn child_labels(space: &DeveloperSpace, class_name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::OPERATOR.to_owned()),
        (names::LABEL_SPACE.to_owned(), space.metadata.name.clone().unwrap_or_default()),
        (names::LABEL_CLASS.to_owned(), class_name.to_owned()),
    ])
}
