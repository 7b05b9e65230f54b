//! Owns the classes, spaces and workloads of the scenarios.

use anyhow::Result;
use e2e::fixtures::{World, user};
use serde_json::{Value, json};

pub(crate) async fn create_classes(world: &World) -> Result<()> {
    let edit = json!([{"name": "edit", "clusterRole": "edit"}]);
    let limits = json!([{
        "type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "100m"}, "defaultRequest": {"cpu": "10m"},
    }]);
    for (name, spec) in [
        ("elastic", json!({"roles": edit, "quota": {"hard": {"requests.cpu": "4"}, "max": {"requests.cpu": "8"}}})),
        ("narrow", json!({"roles": edit, "quota": {"hard": {"requests.cpu": "3"}}})),
        ("tiny", json!({"roles": edit, "quota": {"hard": {"pods": "2"}}})),
        ("measured", json!({"roles": edit, "limitRange": limits})),
        ("hardened", json!({"roles": edit, "podSecurity": {"enforce": "baseline"}})),
        ("plain", json!({"roles": edit, "network": {"isolation": "Namespace"}, "quota": {"hard": {"pods": "6"}}})),
    ] {
        world.create_accepted_class(name, spec).await?;
    }
    Ok(())
}

/// Creates a space of the given owner, and waits until it is ready.
pub(crate) async fn create_space(world: &World, owner: &str, name: &str, class: &str) -> Result<()> {
    world.create_ready_space(name, json!({"className": class, "owner": user(owner)})).await.map(drop)
}

/// Creates a workload as the owner.
pub(crate) async fn create_workload(world: &World, owner: &str, workload: &Value) -> Result<()> {
    world.actor(owner).await?.create(workload).await.map(drop)
}

/// A Deployment with one pod.
pub(crate) fn deployment(space: &str, name: &str, pod_spec: &Value) -> Value {
    workload("Deployment", space, name, pod_spec)
}

/// A Deployment, StatefulSet or Job with one pod, as an owner writes it.
pub(crate) fn workload(kind: &str, space: &str, name: &str, pod_spec: &Value) -> Value {
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    let labels = json!({"app": name});
    let mut template = json!({"metadata": {"labels": labels}, "spec": pod_spec});
    let mut spec = json!({"replicas": 1, "selector": {"matchLabels": labels}});
    match kind {
        "StatefulSet" => spec["serviceName"] = name.into(),
        "Job" => {
            spec = json!({});
            template["spec"]["restartPolicy"] = "Never".into();
        }
        _ => {}
    }
    spec["template"] = template;
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": space}, "spec": spec})
}

/// A pod of one container with these resources.
pub(crate) fn pod_spec(resources: &Value) -> Value {
    json!({"containers": [{"name": "web", "image": "nginx", "resources": resources}]})
}
