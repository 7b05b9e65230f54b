//! Spaces without their objects or with a blocked deletion, and a space without problems.

use anyhow::{Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, World, a_space, at, cluster_wide, condition, namespace, space, uid_of, user},
};
use serde_json::json;

use crate::{
    ALICE, BOB, CAROL,
    findings::{
        FINDING_TIMEOUT, doctor_as_owner, doctor_as_platform_team, findings, run_advice, until_findings, until_problem,
    },
    workloads::create_space,
};

pub(crate) async fn a_ready_space_has_no_findings(world: &World) -> Result<()> {
    create_space(world, ALICE, "heron-lab", "plain").await?;
    until_findings(world, ALICE, "heron-lab", json!([])).await?;
    let output = world.cluster().kubectl_as(ALICE, &["dspace", "doctor", "heron-lab"]).await?.ok()?;
    ensure!(
        output.starts_with("No problems found with DeveloperSpace heron-lab in the objects that could be read."),
        "the output is {output}"
    );
    Ok(())
}

pub(crate) async fn the_advice_adopts_an_existing_namespace(world: &World) -> Result<()> {
    const SPACE: &str = "merlin-lab";
    world.admin().create(&namespace(SPACE, json!({}), json!({"openshift.io/requester": "mira@example.com"}))).await?;
    let created = world.admin().create(&space(SPACE, json!({"className": "plain", "owner": user(CAROL)}))).await?;
    let commands = until_problem(
        world,
        SPACE,
        &["is marked openshift.io/requester=mira@example.com", "to User:carol@example.com"],
    )
    .await?;
    let adopt =
        format!("kubectl annotate namespace merlin-lab developerspace.dev/adopt=merlin-lab/{}", uid_of(&created));
    ensure!(commands.first().is_some_and(|first| *first == adopt), "it advises {commands:?}");
    run_advice(world, world.cluster().kubeconfig(), &adopt).await?;
    world.until_ready(SPACE).await.map(drop)
}

pub(crate) async fn a_missing_class(world: &World) -> Result<()> {
    world.admin().create(&space("harrier-lab", json!({"className": "nowhere", "owner": user(CAROL)}))).await?;
    until_problem(world, "harrier-lab", &["SpaceClass nowhere does not exist"]).await.map(drop)
}

pub(crate) async fn the_advice_removes_a_finalizer_of_an_object(world: &World) -> Result<()> {
    const SPACE: &str = "bittern-lab";
    create_space(world, ALICE, SPACE, "plain").await?;
    let metadata = json!({"name": "kept", "namespace": SPACE, "finalizers": ["example.org/archive"]});
    world.actor(ALICE).await?.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await?;
    world.cluster().kubectl_as(ALICE, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let words = [
        "Namespace bittern-lab is stuck in Terminating, because it still contains configmaps (1)",
        "blocked by the finalizer example.org/archive",
    ];
    let commands = until_problem(world, SPACE, &words).await?;
    // Its bindings were deleted first, so the owner has only the operator's report.
    let output = serde_json::to_string(&findings(doctor_as_owner(world, ALICE, SPACE).await?)?)?;
    ensure!(
        output.contains("waits until its namespace is deleted") && output.contains("example.org/archive"),
        "the output is {output}"
    );
    let [inspection, removal] = commands.as_slice() else { bail!("it advises {commands:?}") };
    run_advice(world, world.cluster().kubeconfig(), inspection).await?;
    run_advice(world, world.cluster().kubeconfig(), &removal.replace("NAME", "kept")).await?;
    world.until_gone(a_space(SPACE)).await
}

pub(crate) async fn the_advice_removes_an_unavailable_api(world: &World) -> Result<()> {
    const SPACE: &str = "egret-lab";
    create_space(world, BOB, SPACE, "plain").await?;
    let unavailable = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.ponds.example.org"},
        "spec": {
            "group": "ponds.example.org", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": "default", "port": 443},
        },
    });
    world.admin().create(&unavailable).await?;
    world
        .until("to be known as dead", cluster_wide("APIService", "v1beta1.ponds.example.org"), |service| {
            ensure!(condition(service, "Available")["status"] == "False", "its status is {}", service["status"]);
            Ok(())
        })
        .await?;
    world.cluster().kubectl_as(BOB, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let commands = until_problem(
        world,
        SPACE,
        &["APIs that do not respond cannot be listed: APIService v1beta1.ponds.example.org."],
    )
    .await?;
    let delete = "kubectl delete apiservice v1beta1.ponds.example.org";
    ensure!(commands.last().is_some_and(|last| last == delete), "it advises {commands:?}");
    run_advice(world, world.cluster().kubeconfig(), delete).await?;
    world.until_gone_within(FINDING_TIMEOUT, a_space(SPACE)).await
}

pub(crate) async fn missing_objects_are_reported(world: &World) -> Result<()> {
    const SPACE: &str = "snipe-lab";
    create_space(world, CAROL, SPACE, "plain").await?;
    world.stop_operator().await?;
    for (kind, name) in [("NetworkPolicy", "developerspace-isolation"), ("RoleBinding", "developerspace-owner")] {
        world.admin().delete(at(kind, SPACE, name)).await?;
    }
    world
        .admin()
        .patch(at("ResourceQuota", SPACE, "developerspace"), json!({"spec": {"hard": {"pods": "600"}}}))
        .await?;
    let words = "In namespace snipe-lab, ResourceQuota developerspace differs from its desired state, NetworkPolicy \
        developerspace-isolation is missing (pods in every namespace can connect) and RoleBinding developerspace-owner is missing (the \
        owner has no access).";
    until_problem(world, SPACE, &[words, "The operator is scaled down: its Deployment has 0 replicas."]).await?;
    world.start_operator().await?;
    eventually("the space to be well again", SOON, || async {
        let all = findings(doctor_as_platform_team(world, SPACE).await?)?;
        ensure!(all.is_empty(), "it says {all:#?}");
        Ok(Some(()))
    })
    .await
}
