//! Objects that others created in the namespace of a space: doctor names them, and does not blame the space for them.

use anyhow::{Context, Result, ensure};
use e2e::fixtures::{World, a_namespace, a_space};
use serde_json::json;

use crate::{
    ALICE,
    findings::{doctor_as_owner, findings, run_advice, run_as_platform_team, until_problem},
    workloads::{create_space, create_workload, deployment, pod_spec},
};

pub(crate) async fn pods_outside_of_a_foreign_limit_range(world: &World) -> Result<()> {
    const SPACE: &str = "pipit-lab";
    create_space(world, ALICE, SPACE, "measured").await?;
    let limits = json!([{"type": "Container", "max": {"cpu": "50m"}}]);
    let metadata = json!({"name": "cluster-baseline", "namespace": SPACE});
    world
        .admin()
        .create(&json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}}))
        .await?;
    create_workload(world, ALICE, &deployment(SPACE, "web", &pod_spec(&json!({"limits": {"cpu": "80m"}})))).await?;
    let words =
        ["Pods of Deployment web are rejected by LimitRange cluster-baseline, which the operator does not manage"];
    let commands = until_problem(world, SPACE, &words).await?;
    ensure!(commands[0] == "kubectl -n pipit-lab describe limitrange cluster-baseline", "it advises {commands:?}");
    let output = serde_json::to_string(&findings(doctor_as_owner(world, ALICE, SPACE).await?)?)?;
    ensure!(output.contains("cluster-baseline") && !output.contains("spec.limitRange"), "the owner is told {output}");
    Ok(())
}

pub(crate) async fn the_advice_removes_a_finalizer_of_the_namespace(world: &World) -> Result<()> {
    const SPACE: &str = "dotterel-lab";
    create_space(world, ALICE, SPACE, "plain").await?;
    let finalizer = "controller.example.org/namespace-auth";
    world.admin().patch(a_namespace(SPACE), json!({"metadata": {"finalizers": [finalizer]}})).await?;
    world.cluster().kubectl_as(ALICE, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let commands =
        until_problem(world, SPACE, &["Namespace dotterel-lab is not deleted while it has the finalizer", finalizer])
            .await?;
    let described = run_as_platform_team(world, &["describe", SPACE]).await?.ok()?;
    ensure!(described.contains(&format!("still has the finalizer {finalizer}")), "describe says {described}");
    let removal = commands.last().context("no command")?;
    run_advice(world, world.cluster().kubeconfig(), removal).await?;
    world.until_gone(a_space(SPACE)).await
}
