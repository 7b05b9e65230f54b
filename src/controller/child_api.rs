//! Requests about one child of any kind. `children.rs` decides which requests are sent and what a response means.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{LimitRange, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
};
use kube::{Api, Client, Resource, api::Patch, core::Request};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::excerpt::{DeleteAnswer, Excerpt, Excerpted},
    desired::{Child, ChildKind, Uid},
    runtime::write_params::{delete_params, patch_params, post_params},
};

/// The kind and the name of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildRef<'a> {
    pub kind: ChildKind,
    pub name: &'a str,
}

impl<'a> ChildRef<'a> {
    /// Returns the kind and the name of `child`.
    pub(crate) fn of(child: &'a Child) -> Self {
        Self { kind: child.kind(), name: child.name() }
    }

    /// The child in a sentence, with the namespace that it is in.
    pub(crate) fn in_namespace(self, namespace: &str) -> String {
        format!("{} {} in {namespace}", self.kind.as_str(), self.name)
    }
}

/// Sends a GET. Returns `None` if the object does not exist.
pub(crate) async fn get(client: &Client, namespace: &str, child: ChildRef<'_>) -> Result<Option<Child>, kube::Error> {
    match child.kind {
        ChildKind::Quota => get_as::<ResourceQuota>(client, namespace, child.name).await,
        ChildKind::Limits => get_as::<LimitRange>(client, namespace, child.name).await,
        ChildKind::Network => get_as::<NetworkPolicy>(client, namespace, child.name).await,
        ChildKind::Binding => get_as::<RoleBinding>(client, namespace, child.name).await,
    }
}

/// Sends a POST.
pub(crate) async fn post(client: &Client, namespace: &str, child: &Child) -> Result<Child, kube::Error> {
    match child {
        Child::Quota(object) => post_as(client, namespace, object).await,
        Child::Limits(object) => post_as(client, namespace, object).await,
        Child::Network(object) => post_as(client, namespace, object).await,
        Child::Binding(object) => post_as(client, namespace, object).await,
    }
}

/// Sends a PATCH with JSON patch operations (RFC 6902).
pub(crate) async fn patch(
    client: &Client,
    namespace: &str,
    child: ChildRef<'_>,
    operations: Value,
) -> Result<Child, kube::Error> {
    match child.kind {
        ChildKind::Quota => patch_as::<ResourceQuota>(client, namespace, child.name, operations).await,
        ChildKind::Limits => patch_as::<LimitRange>(client, namespace, child.name, operations).await,
        ChildKind::Network => patch_as::<NetworkPolicy>(client, namespace, child.name, operations).await,
        ChildKind::Binding => patch_as::<RoleBinding>(client, namespace, child.name, operations).await,
    }
}

/// Sends a DELETE with that UID. Returns the object if a finalizer holds it.
pub(crate) async fn delete(
    client: &Client,
    namespace: &str,
    child: ChildRef<'_>,
    uid: &Uid,
) -> Result<Option<Child>, kube::Error> {
    let answer = match child.kind {
        ChildKind::Quota => delete_as::<ResourceQuota>(client, namespace, child.name, uid).await,
        ChildKind::Limits => delete_as::<LimitRange>(client, namespace, child.name, uid).await,
        ChildKind::Network => delete_as::<NetworkPolicy>(client, namespace, child.name, uid).await,
        ChildKind::Binding => delete_as::<RoleBinding>(client, namespace, child.name, uid).await,
    };
    // For some kinds the API server responds with the deleted object.
    let is_held = |child: &Child| {
        let metadata = child.metadata();
        metadata.deletion_timestamp.is_some()
            && metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
    };
    Ok(answer?.filter(is_held))
}

/// The bounds that requests about all four kinds share.
trait ChildObject:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + Excerpted + Into<Child>
{
}

impl<K> ChildObject for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + Excerpted + Into<Child>
{
}

fn api<K: ChildObject>(client: &Client, namespace: &str) -> Api<Excerpt<K>> {
    Api::namespaced(client.clone(), namespace)
}

async fn get_as<K: ChildObject>(client: &Client, namespace: &str, name: &str) -> Result<Option<Child>, kube::Error> {
    api::<K>(client, namespace).get_opt(name).await.map(|found| found.map(|Excerpt(object)| object.into()))
}

async fn post_as<K: ChildObject>(client: &Client, namespace: &str, object: &K) -> Result<Child, kube::Error> {
    let made = api::<K>(client, namespace).create(&post_params(), &Excerpt(object.clone())).await;
    made.map(|Excerpt(object)| object.into())
}

async fn patch_as<K: ChildObject>(
    client: &Client,
    namespace: &str,
    name: &str,
    operations: Value,
) -> Result<Child, kube::Error> {
    let operations = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let made = api::<K>(client, namespace).patch(name, &patch_params(), &Patch::Json::<K>(operations)).await;
    made.map(|Excerpt(object)| object.into())
}

async fn delete_as<K: ChildObject>(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &Uid,
) -> Result<Option<Child>, kube::Error> {
    let request = Request::new(K::url_path(&(), Some(namespace))).delete(name, &delete_params(uid, None));
    // `Api::delete` would read the whole object.
    let DeleteAnswer(object) = client.request::<DeleteAnswer<K>>(request.map_err(kube::Error::BuildRequest)?).await?;
    Ok(object.map(Into::into))
}
