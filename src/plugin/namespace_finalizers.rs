//! The finalizers that block the deletion of a Namespace.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

/// The finalizers on the Namespace itself. `kubernetes` is omitted, since it represents the content of the namespace.
pub(crate) fn namespace_finalizers(namespace: &Namespace) -> Vec<String> {
    let in_spec = namespace
        .spec
        .iter()
        .flat_map(|spec| spec.finalizers.iter().flatten())
        .filter(|finalizer| *finalizer != "kubernetes");
    in_spec.chain(namespace.finalizers()).cloned().collect()
}
