//! The settings that a sweep shares with the controller. A sweep by hand has neither the flag nor the variable of the CronJob, and must
//! not delete what the controller protects: it reads the ConfigMap of both.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::{
    api::names::{self, ProtectedNamespaces},
    cli::CommonArgs,
};

/// The protected names of the flag or the variable; where neither is set, even to nothing, those of the ConfigMap.
pub async fn protected(client: &Client, args: &CommonArgs) -> ProtectedNamespaces {
    let namespace = &args.operator_namespace;
    if !args.protected_namespaces.is_empty() {
        return ProtectedNamespaces::new(namespace, &args.protected_namespaces);
    }
    let patterns = configured(client, namespace).await.unwrap_or_else(|error| {
        tracing::warn!(%error, namespace, configmap = names::SETTINGS, "the protected namespaces of the operator cannot be read; set --protected-namespaces");
        Vec::new()
    });
    ProtectedNamespaces::new(namespace, &patterns)
}

async fn configured(client: &Client, namespace: &str) -> kube::Result<Vec<String>> {
    let settings = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(names::SETTINGS).await?;
    if settings.is_none() {
        tracing::warn!(
            namespace,
            configmap = names::SETTINGS,
            "the settings of the operator are not there, so only the names that are always protected are spared; set --operator-namespace or --protected-namespaces"
        );
    }
    let data = settings.and_then(|settings| settings.data).unwrap_or_default();
    Ok(data.get(names::PROTECTED_NAMESPACES).into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect())
}
