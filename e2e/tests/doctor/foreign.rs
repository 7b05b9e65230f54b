//! Objects that others created in the namespace of a space: doctor names them, and does not blame the space for them.

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{World, a_namespace, a_space};
use serde_json::json;

use crate::{ALICE, DEPLOYMENT, WATCH, asks, follow, found, pod, until_said, with_space, with_workload};

pub async fn pods_outside_of_somebody_elses_limits(world: &World) -> Result<()> {
    const SPACE: &str = "pipit-lab";
    with_space(world, (ALICE, SPACE), "measured").await?;
    let limits = json!([{"type": "Container", "max": {"cpu": "50m"}}]);
    let metadata = json!({"name": "cluster-baseline", "namespace": SPACE});
    world.admin().create(&json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}})).await?;
    with_workload(world, ALICE, DEPLOYMENT, (SPACE, "web", pod(&json!({"limits": {"cpu": "80m"}})))).await?;
    let words = ["Pods of Deployment web are rejected by LimitRange cluster-baseline, which the operator does not manage"];
    let commands = until_said(world, SPACE, &words).await?;
    ensure!(commands[0] == "kubectl -n pipit-lab describe limitrange cluster-baseline", "it advises {commands:?}");
    let told = serde_json::to_string(&found(asks(world, ALICE, SPACE).await?)?)?;
    ensure!(told.contains("cluster-baseline") && !told.contains("spec.limitRange"), "the owner is told {told}");
    Ok(())
}

pub async fn what_a_finalizer_of_the_namespace_holds_is_let_go_by_what_it_advises(world: &World) -> Result<()> {
    const SPACE: &str = "dotterel-lab";
    with_space(world, (ALICE, SPACE), "plain").await?;
    let finalizer = "controller.example.org/namespace-auth";
    world.admin().patch(a_namespace(SPACE), json!({"metadata": {"finalizers": [finalizer]}})).await?;
    world.cluster().kubectl_as(ALICE, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let commands = until_said(world, SPACE, &["Namespace dotterel-lab is not deleted while it has the finalizer", finalizer]).await?;
    let kubeconfig = world.cluster().dir().join(format!("{WATCH}.kubeconfig"));
    let described = world.cluster().kubectl_with(&kubeconfig, &["dspace", "describe", SPACE], None).await?.ok()?;
    ensure!(described.contains(&format!("still has the finalizer {finalizer}")), "describe says {described}");
    let take_off = commands.last().context("no command")?;
    follow(world, world.cluster().kubeconfig(), take_off).await?;
    world.until_gone(a_space(SPACE)).await
}
