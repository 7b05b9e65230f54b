//! Whether a kubeconfig works, found out by real requests with it.

use anyhow::{Context as _, anyhow, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{cluster::whoami, issue::BINDINGS_WITHIN, progress::Progress, told::sentence};
use crate::client::{self, Listeners};

/// Asks the cluster who the holder is, and has it judge a Deployment in the space, which is not stored.
///
/// `must_create`: whether it is a mistake if the holder may not make one, as a member with a lesser role may not.
pub(crate) async fn works(
    document: &Value,
    namespace: &str,
    (user, must_create): (&str, bool),
    progress: &mut Progress,
) -> anyhow::Result<()> {
    progress.now("checking the kubeconfig");
    let client = client_of(document).await?;
    let found = whoami(&client).await.context("the new credential does not work")?.username.unwrap_or_default();
    ensure!(found == user, "the new credential is taken for {found:?} and not for {user:?}: nothing was written");
    match may_create(&client, namespace).await {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 && !must_create => {
            progress.say(&format!("warning: {user} cannot make Deployments in {namespace}: {}", status.message));
            Ok(())
        }
        Err(error) => {
            bail!("the new credential works, and {user} cannot make a Deployment in {namespace}: {}; nothing was written", sentence(&error))
        }
    }
}

async fn client_of(document: &Value) -> anyhow::Result<Client> {
    let kubeconfig: Kubeconfig = serde_json::from_value(document.clone())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| anyhow!("the new kubeconfig cannot be used: {error}"))?;
    Ok(client::for_config(config, Listeners::default(), concat!("kubectl-dspace/", env!("CARGO_PKG_VERSION")))?)
}

/// A binding that is new is waited for.
async fn may_create(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let labels = json!({"app": "hello"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"generateName": "hello-", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "hello", "image": "nginx"}]}},
        },
    });
    let deployment: Deployment = serde_json::from_value(deployment).map_err(kube::Error::SerdeError)?;
    let begun = tokio::time::Instant::now();
    loop {
        match api.create(&params, &deployment).await {
            Err(kube::Error::Api(status)) if status.code == 403 && begun.elapsed() < BINDINGS_WITHIN => {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            result => return result.map(drop),
        }
    }
}
