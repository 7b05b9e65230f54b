//! Owns the single Node on which pods run. kwok acts as its kubelet.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

const NAME: &str = "node-1";

/// Creates the node. It is large enough that a scenario's quota is the limit and not the node.
pub(super) async fn create(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let room = json!({"cpu": "256", "memory": "1Ti", "pods": "10000", "ephemeral-storage": "10Ti"});
    let node: Node = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NAME,
            "labels": {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
        },
        "status": {"capacity": room, "allocatable": room},
    }))?;
    if let Err(error) = nodes.create(&PostParams::default(), &node).await
        && !matches!(&error, kube::Error::Api(status) if status.code == 409)
    {
        return Err(error).context("the node could not be made");
    }
    // Admission taints every new node as not ready. The controller that removes the taint is disabled in this cluster.
    let untaint = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes.patch(NAME, &PatchParams::default(), &untaint).await.context("the node's taint could not be lifted")?;
    Ok(())
}
