//! The settings that a sweep shares with the controller. A sweep by hand has neither the flag nor the variable of the CronJob, and must not delete
//! namespaces that the controller protects: it reads the ConfigMap that both use.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    api::names::{self, ProtectedNamespaces},
    cli::CommonArgs,
};

/// The most ConfigMaps of that name that are read in other namespaces.
const MOST: u32 = 20;

/// Returns the protected names of the flag or the variable. If neither is set, not even to an empty value, returns those of the ConfigMap. The error
/// is the message of a refusal: the operator is installed in another namespace than the one that was named.
pub async fn protected(client: &Client, args: &CommonArgs) -> Result<ProtectedNamespaces, String> {
    let namespace = &args.operator_namespace;
    if !args.protected_namespaces.is_empty() {
        return Ok(ProtectedNamespaces::new(namespace, &args.protected_namespaces));
    }
    let settings = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(names::SETTINGS).await;
    let patterns = match settings {
        Ok(Some(settings)) => patterns(settings),
        Ok(None) => {
            refuse_others(client, namespace).await?;
            tracing::warn!(
                namespace,
                configmap = names::SETTINGS,
                "the settings of the operator were not found, so only the names that are always protected are excluded; set --operator-namespace or --protected-namespaces"
            );
            Vec::new()
        }
        Err(error) => {
            tracing::warn!(%error, namespace, configmap = names::SETTINGS, "failed to read the protected namespaces of the operator; set --protected-namespaces");
            Vec::new()
        }
    };
    Ok(ProtectedNamespaces::new(namespace, &patterns))
}

fn patterns(settings: ConfigMap) -> Vec<String> {
    let data = settings.data.unwrap_or_default();
    data.get(names::PROTECTED_NAMESPACES).into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect()
}

/// Refuses a sweep if another namespace has the settings of an operator.
async fn refuse_others(client: &Client, named: &str) -> Result<(), String> {
    let params = ListParams::default().fields(&format!("metadata.name={}", names::SETTINGS)).limit(MOST);
    let found = Api::<ConfigMap>::all(client.clone()).list_metadata(&params).await;
    let found = found.inspect_err(|error| tracing::debug!(%error, "failed to look for the settings in other namespaces"));
    for settings in found.into_iter().flat_map(|found| found.items) {
        let namespace = settings.namespace().unwrap_or_default();
        if !is_of_a_space(client, &namespace).await {
            return Err(format!(
                "ConfigMap {} with the protected namespaces is in namespace {namespace}, and namespace {named} has none: set --operator-namespace {namespace}, \
                 or --protected-namespaces to the names that this sweep must not delete",
                names::SETTINGS
            ));
        }
    }
    Ok(())
}

/// Returns true for the namespace of a space: its members can create a ConfigMap of any name.
async fn is_of_a_space(client: &Client, namespace: &str) -> bool {
    let found = Api::<Namespace>::all(client.clone()).get_metadata_opt(namespace).await.ok().flatten();
    found.is_some_and(|found| found.labels().get(names::LABEL_MANAGED_BY).is_some_and(|value| value == names::OPERATOR))
}
