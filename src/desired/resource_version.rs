//! The resourceVersion of an object as the number that it is in etcd.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// An object's resourceVersion as a number; 0 if it has none.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
