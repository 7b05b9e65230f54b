//! Owns kubeconfig files: the user, the API server, and the credential.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::retry_once;

/// The credential of a user.
#[derive(Clone, Debug)]
pub enum Credential<'a> {
    /// A client certificate and its key, as files.
    Certificate {
        /// The certificate.
        certificate: &'a Path,
        /// Its private key.
        key: &'a Path,
    },
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig with one context. `authority` is the CA's file; a plain HTTP server (a proxy) has none.
pub fn write(
    file: &Path,
    server: &str,
    authority: Option<&Path>,
    user: &str,
    credential: &Credential<'_>,
) -> Result<()> {
    let cluster = authority.map_or_else(
        || json!({"server": server}),
        |authority| json!({"server": server, "certificate-authority": authority}),
    );
    let text = serde_saphyr::to_string(&document(user, &cluster, credential))
        .context("a kubeconfig could not be written as YAML")?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} could not be made", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("{} could not be written", file.display()))
}

fn document(user: &str, cluster: &Value, credential: &Credential<'_>) -> Value {
    let credential = match credential {
        Credential::Certificate { certificate, key } => json!({"client-certificate": certificate, "client-key": key}),
        Credential::Token(token) => json!({"token": token}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "developerspace", "cluster": cluster}],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": user, "context": {"cluster": "developerspace", "user": user}}],
        "current-context": user,
    })
}

/// Writes a kubeconfig for the same cluster as `source`'s current context, with a token in place of its credentials.
pub fn write_with_token(source: &Path, file: &Path, user: &str, token: &str) -> Result<()> {
    let unusable = || format!("the kubeconfig {} has no current context with a cluster", source.display());
    let mut config = Kubeconfig::read_from(source).with_context(unusable)?;
    let current = config.current_context.clone().with_context(unusable)?;
    let context = config.contexts.iter().find(|context| context.name == current);
    let cluster = context
        .and_then(|context| context.context.as_ref())
        .map(|context| context.cluster.clone())
        .with_context(unusable)?;
    config.clusters.retain(|entry| entry.name == cluster);
    let mut document = document(user, &json!({}), &Credential::Token(token));
    document["clusters"] = serde_json::to_value(&config.clusters).context("the cluster's entry cannot be copied")?;
    document["contexts"][0]["context"]["cluster"] = cluster.into();
    let text = serde_saphyr::to_string(&document).context("a kubeconfig could not be written as YAML")?;
    fs::write(file, text).with_context(|| format!("{} could not be written", file.display()))
}

/// A client configuration from a kubeconfig file.
pub async fn config(file: &Path) -> Result<Config> {
    install_crypto();
    let kubeconfig =
        Kubeconfig::read_from(file).with_context(|| format!("the kubeconfig {} cannot be read", file.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("the kubeconfig {} cannot be used", file.display()))
}

/// Creates a client from a kubeconfig file. Each call creates a new one: a client belongs to the async runtime on which
/// it was created.
pub async fn client(file: &Path) -> Result<Client> {
    retry_once::client(config(file).await?)
}

/// Selects ring as the TLS crypto provider. Only the first call has an effect, which is sufficient.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
