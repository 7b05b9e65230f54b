//! The part of an existing child that is kept in memory.

use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{
    child::{Child, ChildKind},
    fingerprint::Fingerprint,
    hash::hash,
    quota,
    resource_version::version,
    role_bindings::subject_key,
    uid::Uid,
};
use crate::api::excerpt::MAX_SUBJECTS;

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

/// The hashes of a binding's subjects, of which no more are kept than are read.
fn subject_hashes(binding: &RoleBinding) -> Box<[u64]> {
    binding.subjects.iter().flatten().take(MAX_SUBJECTS).map(|subject| hash(&subject_key(subject))).collect()
}

impl Child {
    /// The part to keep of an object that the API server returned.
    pub fn seen(&self) -> SeenChild {
        let metadata = self.metadata();
        SeenChild {
            kind: self.kind(),
            name: self.name().into(),
            uid: Uid::from_metadata(metadata),
            version: version(metadata),
            fingerprint: self.fingerprint(),
            in_force: if let Self::Quota(quota) = self { quota::is_in_force(quota) } else { true },
            going: metadata.deletion_timestamp.is_some(),
            subjects: if let Self::Binding(binding) = self { subject_hashes(binding) } else { Box::default() },
        }
    }
}
