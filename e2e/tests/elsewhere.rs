//! The operator in a namespace of another name, as a kustomization with `namespace:` sets it: the policies recognize
//! the operator by its rights.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    binaries,
    cluster::{Cluster, Options},
    eventually,
    fixtures::{Actor, SOON, a_namespace, a_space, binding, holds, namespace, refusal, service_account, space, user},
    kubeconfig::{self, Credential},
    operator::{self, Operator, SERVICE_ACCOUNT},
};
use serde_json::json;

const OPERATOR_NAMESPACE: &str = "platform-dspace";

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_works_in_another_namespace() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = Actor::new(cluster.client().await?);
    install(&cluster).await?;
    let kubeconfig_file = write_kubeconfig(&cluster).await?;
    let token = kubeconfig_file.to_string_lossy().into_owned();
    let env = vec![("KUBECONFIG".to_owned(), token), ("POD_NAMESPACE".to_owned(), OPERATOR_NAMESPACE.to_owned())];
    // In the usual namespace, the ServiceAccount of that name is an account like any other.
    admin.create(&namespace(operator::NAMESPACE, json!({}), json!({}))).await?;
    admin.create(&service_account(operator::NAMESPACE, SERVICE_ACCOUNT)).await?;
    let _operator = Operator::start_with(&cluster, &operator::Options { env, ..operator::Options::default() }).await?;

    admin.create(&binding("Group", "payments", "developerspace-self-service")).await?;
    let alice = Actor::new(cluster.client_as("alice@example.com").await?);
    let contact = json!({"team": "payments", "email": "payments@example.com"});
    alice
        .create(&space(
            "alice-api",
            json!({"className": "standard", "owner": user("alice@example.com"), "contact": contact}),
        ))
        .await?;
    eventually("alice-api to be ready", SOON, || async {
        let space = admin.get(a_space("alice-api")).await?;
        ensure!(holds(&space, "Ready"), "its status is {}", space["status"]);
        Ok(Some(()))
    })
    .await?;
    let token_holder = Actor::new(kubeconfig::client(&kubeconfig_file).await?);
    let sentence = refusal(token_holder.create(&namespace("not-ours", json!({}), json!({}))).await)?;
    ensure!(sentence.contains("does not belong to a DeveloperSpace"), "{sentence}");
    let sentence = refusal(
        token_holder.patch(a_namespace(OPERATOR_NAMESPACE), json!({"metadata": {"labels": {"seen": "yes"}}})).await,
    )?;
    ensure!(sentence.contains("belongs to the cluster"), "{sentence}");
    alice.delete(a_space("alice-api")).await
}

/// Installs the operator as an administrator does, with an overlay of three lines.
async fn install(cluster: &Cluster) -> Result<()> {
    let config = binaries::repository().join("config").canonicalize()?;
    let overlay = cluster.dir().join("overlay");
    fs::create_dir_all(&overlay)?;
    let lines = format!(
        "namespace: {OPERATOR_NAMESPACE}\nresources:\n  - {}\n",
        relative(&overlay.canonicalize()?, &config.join("default"))?
    );
    fs::write(overlay.join("kustomization.yaml"), lines)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let manifests = cluster.kubectl(&["kustomize", &text(&overlay)]).await?.ok()?;
    let fixed_lines: Vec<&str> = manifests.lines().filter(|line| line.contains(operator::NAMESPACE)).collect();
    ensure!(
        fixed_lines.is_empty(),
        "the manifests name the namespace where kustomize does not see it: {fixed_lines:?}"
    );
    cluster.kubectl(&["apply", "-k", &text(&overlay)]).await?.ok()?;
    cluster
        .kubectl(&["scale", "-n", OPERATOR_NAMESPACE, "--replicas=0", "deployment/developerspace-operator"])
        .await?
        .ok()?;
    let crds = ["crd/developerspaces.developerspace.dev", "crd/spaceclasses.developerspace.dev"];
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", crds[0], crds[1]]).await?.ok()?;
    cluster.kubectl(&["apply", "-k", &text(&config.join("classes"))]).await?.ok()?;
    operator::until_policies_in_force(cluster.client().await?).await
}

/// The path of `to` relative to `from`: a kustomization takes no absolute path.
fn relative(from: &Path, to: &Path) -> Result<String> {
    let up = "../".repeat(from.components().count() - 1);
    let down = to.strip_prefix("/").context("it is absolute")?;
    Ok(format!("{up}{}", down.display()))
}

async fn write_kubeconfig(cluster: &Cluster) -> Result<PathBuf> {
    let token = cluster
        .kubectl(&["create", "token", SERVICE_ACCOUNT, "--namespace", OPERATOR_NAMESPACE, "--duration", "2h"])
        .await?
        .ok()?;
    let file = cluster.dir().join("elsewhere.kubeconfig");
    kubeconfig::write(
        &file,
        cluster.server(),
        Some(&cluster.authority()),
        SERVICE_ACCOUNT,
        &Credential::Token(token.trim()),
    )?;
    Ok(file)
}
