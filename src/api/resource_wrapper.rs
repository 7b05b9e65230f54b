//! The implementations that all wrappers of an object share.

/// Implements [`std::ops::Deref`] and [`kube::Resource`] for a wrapper of an object.
macro_rules! resource_wrapper {
    ($wrapper:ident) => {
        impl<K> std::ops::Deref for $wrapper<K> {
            type Target = K;

            fn deref(&self) -> &K {
                &self.0
            }
        }

        impl<K: kube::Resource> kube::Resource for $wrapper<K> {
            type DynamicType = K::DynamicType;
            type Scope = K::Scope;

            fn metadata_api() -> bool {
                K::metadata_api()
            }

            fn kind(kind: &K::DynamicType) -> std::borrow::Cow<'_, str> {
                K::kind(kind)
            }

            fn group(kind: &K::DynamicType) -> std::borrow::Cow<'_, str> {
                K::group(kind)
            }

            fn version(kind: &K::DynamicType) -> std::borrow::Cow<'_, str> {
                K::version(kind)
            }

            fn plural(kind: &K::DynamicType) -> std::borrow::Cow<'_, str> {
                K::plural(kind)
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                self.0.meta()
            }

            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                self.0.meta_mut()
            }
        }
    };
}

pub(super) use resource_wrapper;
