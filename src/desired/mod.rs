//! Pure decisions: plain data and `now` in, plain data out. No async, no clock, no client, no environment.
//!
//! [`resolve()`] turns a space and its class into the configuration of the space and the objections to the rest of its
//! spec. [`desire()`] builds the objects. [`diff`] compares them with the existing ones. [`lifetime`] computes the
//! expiry and the warnings. [`status`] builds the status and its Events.

pub mod admitted;
pub mod adoption;
pub(crate) mod annotation_expiry;
pub(crate) mod binding_changes;
pub mod change;
pub mod child;
mod child_patch;
pub mod class;
pub(crate) mod class_quota;
pub(crate) mod class_validation;
pub mod contact;
pub(crate) mod credential_lifetime;
pub(crate) mod deletion_limit;
pub mod departure;
pub mod desire;
pub mod diff;
pub mod expiry;
pub(crate) mod finalizers;
pub(crate) mod fingerprint;
pub mod foreign_bindings;
pub(crate) mod foreign_ttl;
pub mod grant;
pub mod hash;
pub mod isolation;
pub mod keys;
pub mod ledger;
pub mod lifetime;
pub(crate) mod limit_bounds;
pub mod limit_range;
pub mod metadata;
pub(crate) mod missing_roles;
pub mod namespace;
pub mod network_policy;
pub(crate) mod network_selectors;
pub mod noncompliance;
pub mod orphan;
pub mod owner_limit;
pub mod ownership;
pub mod plan;
pub mod pod_security;
pub mod quota;
pub(crate) mod reserved_keys;
pub mod resolve;
pub mod resource_version;
pub(crate) mod role_bindings;
pub(crate) mod seen_child;
pub(crate) mod seen_namespace;
pub mod space_name;
pub(crate) mod spec_refusal;
pub mod standing;
pub mod status;
pub mod uid;
pub mod usage;
pub mod waiting_limit;
pub mod wording;
pub(crate) mod write_limiter;

pub use child::{Child, ChildKind, Children};
pub use desire::{Desired, desire};
pub use fingerprint::Fingerprint;
pub use grant::Grant;
pub use resolve::{Resolved, Ruling, resolve};
pub use seen_child::SeenChild;
pub use spec_refusal::SpecRefusal;
pub use uid::Uid;
