//! Pods that are rejected: by the quota, by the limits, or by the Pod Security level.

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, World, at, resource_quota},
};
use serde_json::json;

use crate::{
    ALICE, BOB, CAROL,
    findings::{problem, run_advice, until_findings, warning},
    workloads::{create_space, create_workload, deployment, pod_spec, workload},
};

pub(crate) async fn the_advice_raises_an_insufficient_quota(world: &World) -> Result<()> {
    const SPACE: &str = "osprey-lab";
    create_space(world, BOB, SPACE, "elastic").await?;
    let big = || pod_spec(&json!({"requests": {"cpu": "5"}}));
    create_workload(world, BOB, &deployment(SPACE, "web", &big())).await?;
    let raise = r#"kubectl patch dspace osprey-lab --type=merge -p '{"spec":{"quota":{"requests.cpu":"8"}}}'"#;
    let expected = problem(
        "Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace osprey-lab: requests.cpu 5 requested, 0 of 4 \
        used. Request less, delete objects that are not needed, or raise the quota up to the maximum of the class.",
        &["kubectl dspace usage osprey-lab", "kubectl -n osprey-lab edit deployment web", raise],
    );
    until_findings(world, BOB, SPACE, json!([expected])).await?;
    run_advice(world, &world.cluster().kubeconfig_of(BOB), raise).await?;
    world.until_ready(SPACE).await?;
    // The controller tries again by itself, but not soon: the owner creates another workload that fits at once.
    create_workload(world, BOB, &deployment(SPACE, "roomy", &big())).await?;
    let pods = || async { world.admin().list("Pod", SPACE).await };
    eventually("a pod that has room", SOON, || async { Ok((!pods().await?.is_empty()).then_some(())) }).await
}

pub(crate) async fn a_quota_that_cannot_be_raised(world: &World) -> Result<()> {
    const SPACE: &str = "plover-lab";
    create_space(world, CAROL, SPACE, "narrow").await?;
    for (kind, name) in [("StatefulSet", "db"), ("Job", "sums")] {
        create_workload(world, CAROL, &workload(kind, SPACE, name, &pod_spec(&json!({"requests": {"cpu": "5"}}))))
            .await?;
    }
    let expected_problem = |kind: &str, name: &str, command: &str| {
        problem(
            &format!(
                "Pods of {kind} {name} are rejected, because they exceed the quota of DeveloperSpace plover-lab: requests.cpu 5 requested, \
                0 of 3 used. Request less, or delete objects that are not needed: the class allows no larger quota."
            ),
            &["kubectl dspace usage plover-lab", command],
        )
    };
    let expected = json!([
        expected_problem("Job", "sums", "kubectl -n plover-lab describe job sums"),
        expected_problem("StatefulSet", "db", "kubectl -n plover-lab edit statefulset db"),
    ]);
    until_findings(world, CAROL, SPACE, expected).await
}

pub(crate) async fn a_quota_that_is_used_up(world: &World) -> Result<()> {
    const SPACE: &str = "avocet-lab";
    create_space(world, ALICE, SPACE, "tiny").await?;
    create_workload(world, ALICE, &deployment(SPACE, "web", &pod_spec(&json!({})))).await?;
    world.actor(ALICE).await?.patch(at("Deployment", SPACE, "web"), json!({"spec": {"replicas": 3}})).await?;
    let usage = "kubectl dspace usage avocet-lab";
    let refused = problem(
        "Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace avocet-lab: pods 1 requested, 2 of 2 used. \
        Request less, or delete objects that are not needed: the class allows no larger quota.",
        &[usage, "kubectl -n avocet-lab edit deployment web"],
    );
    let full = warning("The quota of DeveloperSpace avocet-lab is at least 90% used: pods 2 of 2 (100%).", &[usage]);
    until_findings(world, ALICE, SPACE, json!([refused, full])).await
}

pub(crate) async fn a_foreign_quota(world: &World) -> Result<()> {
    const SPACE: &str = "curlew-lab";
    create_space(world, BOB, SPACE, "plain").await?;
    world.admin().create(&resource_quota(SPACE, "auditors-cap", &json!({"requests.cpu": "1"}))).await?;
    world
        .until("to count", at("ResourceQuota", SPACE, "auditors-cap"), |quota| {
            ensure!(quota["status"]["used"]["requests.cpu"] == "0", "its status is {}", quota["status"]);
            Ok(())
        })
        .await?;
    create_workload(world, BOB, &deployment(SPACE, "web", &pod_spec(&json!({"requests": {"cpu": "2"}})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they exceed ResourceQuota auditors-cap, which the operator does not manage: \
        requests.cpu 2 requested, 0 of 1 used. Request less, or ask the owner of the quota to raise it.",
        &["kubectl -n curlew-lab describe resourcequota auditors-cap", "kubectl -n curlew-lab edit deployment web"],
    );
    until_findings(world, BOB, SPACE, json!([expected])).await
}

pub(crate) async fn pods_without_values_that_a_foreign_quota_limits(world: &World) -> Result<()> {
    const SPACE: &str = "dunlin-lab";
    create_space(world, CAROL, SPACE, "plain").await?;
    // For its own quotas the operator ensures that pods that set nothing get defaults.
    world.admin().create(&resource_quota(SPACE, "zoo-cap", &json!({"limits.memory": "2Gi"}))).await?;
    create_workload(world, CAROL, &deployment(SPACE, "web", &pod_spec(&json!({})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because ResourceQuota zoo-cap, which the operator does not manage, limits resources that \
        they do not set; they must specify limits.memory for: web. Set resources.requests and resources.limits for each container, or ask \
        the owner of the quota to change it; no field of the space changes it.",
        &["kubectl -n dunlin-lab edit deployment web", "kubectl -n dunlin-lab describe limitrange"],
    );
    until_findings(world, CAROL, SPACE, json!([expected])).await
}

pub(crate) async fn pods_outside_of_the_limits(world: &World) -> Result<()> {
    const SPACE: &str = "godwit-lab";
    create_space(world, ALICE, SPACE, "measured").await?;
    create_workload(world, ALICE, &deployment(SPACE, "web", &pod_spec(&json!({"limits": {"cpu": "2"}})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they are outside the limits for a container or pod: maximum cpu usage per Container \
        is 1, but limit is 2. Change their requests and limits; spec.limitRange of the space changes the defaults within the bounds of the \
        class.",
        &["kubectl -n godwit-lab describe limitrange", "kubectl -n godwit-lab edit deployment web"],
    );
    until_findings(world, ALICE, SPACE, json!([expected])).await
}

pub(crate) async fn pods_below_the_security_level(world: &World) -> Result<()> {
    const SPACE: &str = "kestrel-lab";
    create_space(world, BOB, SPACE, "hardened").await?;
    let mut exposed = pod_spec(&json!({}));
    exposed["hostNetwork"] = true.into();
    create_workload(world, BOB, &deployment(SPACE, "web", &exposed)).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they violate Pod Security level baseline, which SpaceClass hardened requires: host \
        namespaces (hostNetwork=true). Correct the pod template.",
        &["kubectl -n kestrel-lab edit deployment web"],
    );
    until_findings(world, BOB, SPACE, json!([expected])).await
}
