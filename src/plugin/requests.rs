//! Requests for DeveloperSpaces and SpaceClasses with the caller's credentials.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::Value;

use super::{
    api_error::ApiContext,
    args::DryRun,
    class_in_force::default_class,
    cluster::Cluster,
    pages::{PAGE_SIZE_OF_SPACES, list_all_pages},
};
use crate::api::{DeveloperSpace, SpaceClass, without_managed_fields::WithoutManagedFields};

/// Field manager of all writes of the plugin.
pub(crate) const FIELD_MANAGER: &str = "kubectl-dspace";

pub(crate) fn space_api(cluster: &Cluster) -> Api<WithoutManagedFields<DeveloperSpace>> {
    Api::all(cluster.client.clone())
}

/// Reads a space. Returns an error if it does not exist.
pub(crate) async fn get_space(cluster: &Cluster, name: &str) -> anyhow::Result<DeveloperSpace> {
    let WithoutManagedFields(space) =
        space_api(cluster).get(name).await.context_api(|| format!("read DeveloperSpace {name}"))?;
    Ok(space)
}

/// Reads a space; `None` if the API server responds with 404 for any reason.
pub(crate) async fn try_find_space(cluster: &Cluster, name: &str) -> Result<Option<DeveloperSpace>, kube::Error> {
    let found = space_api(cluster).get_opt(name).await?;
    Ok(found.map(|WithoutManagedFields(space)| space))
}

/// Reads a space; `None` if it does not exist.
pub(crate) async fn find_space(cluster: &Cluster, name: &str) -> anyhow::Result<Option<DeveloperSpace>> {
    match space_api(cluster).get(name).await {
        Err(error) if is_not_found(&error, name) => Ok(None),
        found => Ok(Some(found.context_api(|| format!("read DeveloperSpace {name}"))?.0)),
    }
}

/// Returns true if the API server responded that the object does not exist. A 404 response that does not name the
/// object is another error: the cluster does not know the kind, or another server responded.
pub(crate) fn is_not_found(error: &kube::Error, name: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() && status.details.as_ref().is_some_and(|details| details.name == name))
}

/// All spaces that match a label selector, ordered by name.
pub(crate) async fn list_spaces(cluster: &Cluster, selector: Option<&str>) -> Result<Vec<DeveloperSpace>, kube::Error> {
    let params = ListParams {
        label_selector: selector.map(ToOwned::to_owned),
        ..ListParams::default().limit(PAGE_SIZE_OF_SPACES)
    };
    list_all_pages(&space_api(cluster), params).await
}

/// Reads a Namespace; `None` if it does not exist.
pub(crate) async fn find_namespace(cluster: &Cluster, name: &str) -> Result<Option<Namespace>, kube::Error> {
    let found = Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone()).get_opt(name).await?;
    Ok(found.map(|WithoutManagedFields(namespace)| namespace))
}

/// All classes, ordered by name.
pub(crate) async fn list_classes(cluster: &Cluster) -> anyhow::Result<Vec<SpaceClass>> {
    let list = Api::<SpaceClass>::all(cluster.client.clone()).list(&ListParams::default()).await;
    Ok(list.context_api(|| "list SpaceClasses".to_owned())?.items)
}

/// Reads a class; `None` if it does not exist. The caller does not need permission to list classes.
pub(crate) async fn find_class(cluster: &Cluster, name: &str) -> anyhow::Result<Option<SpaceClass>> {
    match Api::<SpaceClass>::all(cluster.client.clone()).get(name).await {
        Err(error) if is_not_found(&error, name) => Ok(None),
        found => found.map(Some).context_api(|| format!("read SpaceClass {name}")),
    }
}

/// The class with the given name, or else the default class: the oldest class that is marked as default.
pub(crate) async fn find_class_or_default(cluster: &Cluster, name: Option<&str>) -> anyhow::Result<Option<SpaceClass>> {
    match name {
        Some(name) => find_class(cluster, name).await,
        None => Ok(default_class(&list_classes(cluster).await?).cloned()),
    }
}

/// Creates a space, unless this is a client-side dry run.
pub(crate) async fn create_space(
    cluster: &Cluster,
    space: &DeveloperSpace,
    dry_run: DryRun,
) -> anyhow::Result<DeveloperSpace> {
    if dry_run == DryRun::Client {
        return Ok(space.clone());
    }
    let params = PostParams { dry_run: dry_run == DryRun::Server, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let name = space.metadata.name.as_deref().unwrap_or_default();
    let created = space_api(cluster).create(&params, &WithoutManagedFields(space.clone())).await;
    created.map(|WithoutManagedFields(space)| space).context_api(|| format!("create DeveloperSpace {name}"))
}

/// Changes a space with a JSON merge patch. If the patch contains a `resourceVersion`, a concurrent change causes a
/// conflict.
pub(crate) async fn patch_space(
    cluster: &Cluster,
    name: &str,
    patch: &Value,
    dry_run: DryRun,
) -> anyhow::Result<DeveloperSpace> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        dry_run: dry_run == DryRun::Server,
        field_validation: Some(kube::api::ValidationDirective::Strict),
        force: false,
    };
    let patched = space_api(cluster).patch(name, &params, &Patch::Merge(patch)).await;
    patched.map(|WithoutManagedFields(space)| space).context_api(|| format!("change DeveloperSpace {name}"))
}
