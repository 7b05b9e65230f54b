//! Reads and changes spaces and classes with the caller's credentials.

use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::Value;

use super::{api_error::ApiContext, args::DryRun, cluster::Cluster};
use crate::api::{DeveloperSpace, SpaceClass, SpaceClassSpec, conditions, names, without_managed_fields::WithoutManagedFields};

/// Field manager of all writes of the plugin.
pub(crate) const FIELD_MANAGER: &str = "kubectl-dspace";

/// The API for all spaces.
pub(crate) fn api(cluster: &Cluster) -> Api<WithoutManagedFields<DeveloperSpace>> {
    Api::all(cluster.client.clone())
}

/// Reads a space. Returns an error if it does not exist.
pub(crate) async fn get(cluster: &Cluster, name: &str) -> anyhow::Result<DeveloperSpace> {
    let WithoutManagedFields(space) = api(cluster).get(name).await.context_api(|| format!("read DeveloperSpace {name}"))?;
    Ok(space)
}

/// Reads a space; `None` if it does not exist.
pub(crate) async fn find(cluster: &Cluster, name: &str) -> anyhow::Result<Option<DeveloperSpace>> {
    match api(cluster).get(name).await {
        Err(error) if is_absent(&error, name) => Ok(None),
        found => Ok(Some(found.context_api(|| format!("read DeveloperSpace {name}"))?.0)),
    }
}

/// Returns true if the API server responded that the object does not exist. A 404 response that does not name the object is another error: the
/// cluster does not know the kind, or another server responded.
pub(crate) fn is_absent(error: &kube::Error, name: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() && status.details.as_ref().is_some_and(|details| details.name == name))
}

/// All spaces that match a label selector and a field selector, ordered by name.
pub(crate) async fn try_list(cluster: &Cluster, selector: Option<&str>, fields: Option<&str>) -> Result<Vec<DeveloperSpace>, kube::Error> {
    let mut params = ListParams::default().limit(500);
    params.label_selector = selector.map(ToOwned::to_owned);
    params.field_selector = fields.map(ToOwned::to_owned);
    let mut all = Vec::new();
    loop {
        let page = api(cluster).list(&params).await?;
        all.extend(page.items.into_iter().map(|WithoutManagedFields(space)| space));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// All classes, ordered by name.
pub(crate) async fn classes(cluster: &Cluster) -> anyhow::Result<Vec<SpaceClass>> {
    let list = Api::<SpaceClass>::all(cluster.client.clone()).list(&ListParams::default()).await;
    Ok(list.context_api(|| "list SpaceClasses".to_owned())?.items)
}

/// The class with the given name. The caller does not need permission to list classes.
pub(crate) async fn class(cluster: &Cluster, name: &str) -> anyhow::Result<Option<SpaceClass>> {
    match Api::<SpaceClass>::all(cluster.client.clone()).get(name).await {
        Err(error) if is_absent(&error, name) => Ok(None),
        found => found.map(Some).context_api(|| format!("read SpaceClass {name}")),
    }
}

/// The class with the given name, or else the default class: the oldest class that is marked as default.
pub(crate) async fn class_or_default(cluster: &Cluster, name: Option<&str>) -> anyhow::Result<Option<SpaceClass>> {
    match name {
        Some(name) => class(cluster, name).await,
        None => Ok(default_class(&classes(cluster).await?).cloned()),
    }
}

/// The name of a class and its spec in force.
pub(crate) type InForce<'a> = (&'a str, &'a SpaceClassSpec);

/// The name of the class and its spec in force, or its current spec if none is in force.
pub(crate) fn in_force(class: &SpaceClass) -> InForce<'_> {
    (class.metadata.name.as_deref().unwrap_or_default(), class.in_force().unwrap_or(&class.spec))
}

/// The default class: the oldest class that is marked as default.
pub(crate) fn default_class(classes: &[SpaceClass]) -> Option<&SpaceClass> {
    let age = |class: &&SpaceClass| (class.metadata.creation_timestamp.clone(), class.metadata.name.clone());
    classes.iter().filter(|class| is_default(class)).min_by_key(age)
}

/// Returns true if the class is marked as the default for spaces that name no class.
pub(crate) fn is_default(class: &SpaceClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations.and_then(|map| map.get(names::ANNOTATION_DEFAULT_CLASS)).is_some_and(|value| value == "true")
}

/// Changes a space with a JSON merge patch. If the patch contains a `resourceVersion`, a concurrent change causes a conflict.
pub(crate) async fn patch(cluster: &Cluster, name: &str, patch: &Value, dry_run: DryRun) -> anyhow::Result<DeveloperSpace> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        dry_run: dry_run == DryRun::Server,
        field_validation: Some(kube::api::ValidationDirective::Strict),
        force: false,
    };
    let patched = api(cluster).patch(name, &params, &Patch::Merge(patch)).await;
    patched.map(|WithoutManagedFields(space)| space).context_api(|| format!("change DeveloperSpace {name}"))
}

/// The note that the output of a dry run contains, as in kubectl.
pub(crate) fn dry_run_note(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}

/// Status, reason and message of `Ready`, if the condition is set.
pub(crate) fn ready(space: &DeveloperSpace) -> Option<(&str, &str, &str)> {
    condition(space, conditions::types::READY)
}

/// Status, reason and message of a condition.
pub(crate) fn condition<'a>(space: &'a DeveloperSpace, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let found = conditions::find(&space.status.as_ref()?.conditions, type_)?;
    Some((&found.status, &found.reason, &found.message))
}

/// Returns true if a condition is `True`. Does not compare generations, see [`is_observed`].
pub(crate) fn is_true(space: &DeveloperSpace, type_: &str) -> bool {
    condition(space, type_).is_some_and(|(status, ..)| status == "True")
}

/// Returns true if the operator has observed the current generation of the spec.
pub(crate) fn is_observed(space: &DeveloperSpace) -> bool {
    let observed = space.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed >= space.metadata.generation
}
