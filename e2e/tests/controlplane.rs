//! The control plane itself: it has to be a real one before other tests rely on it.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Options, eventually};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams},
};

const SOON: Duration = Duration::from_secs(30);

fn namespace(name: &str) -> Namespace {
    Namespace { metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() }, ..Namespace::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_a_real_one() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    namespaces_are_created_and_deleted(&cluster).await?;
    unauthorized_requests_are_refused(&cluster).await?;
    components_restart(&cluster).await
}

async fn namespaces_are_created_and_deleted(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let mut audit = cluster.audit_from_now()?;
    namespaces.create(&PostParams::default(), &namespace("short-lived")).await?;
    namespaces.delete("short-lived", &DeleteParams::default()).await?;
    eventually("the namespace to be gone", SOON, || async {
        Ok(namespaces.get_opt("short-lived").await?.is_none().then_some(()))
    })
    .await?;
    let written = audit.mutating_by("admin")?;
    let verbs: Vec<&str> = written.iter().map(|entry| entry.verb.as_str()).collect();
    ensure!(verbs == ["create", "delete"], "the audit log has {verbs:?}");
    let sent = written[0].request_object.as_ref().and_then(|object| object.pointer("/metadata/name"));
    ensure!(sent.is_some_and(|name| name == "short-lived"), "the audit log has no body: {:?}", written[0]);
    Ok(())
}

async fn unauthorized_requests_are_refused(cluster: &Cluster) -> Result<()> {
    let alice = "alice@example.com";
    let mut audit = cluster.audit_from_now()?;
    let namespaces: Api<Namespace> = Api::all(cluster.client_as(alice).await?);
    let refused = namespaces.create(&PostParams::default(), &namespace("hers")).await;
    ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "alice got {refused:?}");

    let whoami = cluster.kubectl_as(alice, &["auth", "whoami"]).await?.ok()?;
    ensure!(whoami.contains(alice) && whoami.contains("payments"), "kubectl says {whoami}");
    let entry = eventually("alice's refusal in the audit log", SOON, || {
        let entries = audit.mutating_by(alice);
        async move { Ok(entries?.into_iter().find(|entry| entry.resource == "namespaces")) }
    })
    .await?;
    ensure!(entry.code == 403, "{}", entry.summary());
    Ok(())
}

async fn components_restart(cluster: &Cluster) -> Result<()> {
    cluster.stop_component("kube-apiserver")?;
    ensure!(cluster.kubectl(&["get", "namespaces"]).await?.code != Some(0), "a stopped API server answers");
    cluster.start_component("kube-apiserver")?;
    cluster.kubectl(&["get", "namespace", "default"]).await?.ok()?;
    ensure!(cluster.start_component("no-such-thing").is_err(), "an unknown component was started");
    Ok(())
}
