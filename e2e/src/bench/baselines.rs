//! Owns the alternatives without an operator, for the same objects: a shell script that runs kubectl for each
//! developer, and one `kubectl apply -f` for all of them.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::{
    environment::{Environment, names, per_second},
    raw_client::RawClient,
};

/// Runs the script for one developer after another, and returns the spaces per second.
pub async fn script(raw_client: &RawClient, count: usize) -> Result<f64> {
    let environment = Environment::without_operator().await?;
    let begun = Instant::now();
    for name in names("script", count) {
        let namespace_flag = "--namespace=".to_owned() + &name;
        let kubectl = async |arguments: &[&str]| environment.cluster.kubectl(arguments).await?.ok();
        kubectl(&["create", "namespace", &name]).await?;
        kubectl(&["annotate", "namespace", &name, "contact-team=payments", "contact-email=payments@example.com"])
            .await?;
        kubectl(&["create", "quota", "quota", &namespace_flag, "--hard=requests.cpu=4,requests.memory=8Gi,pods=50"])
            .await?;
        apply(&environment, &raw_client.objects(&name, &["LimitRange", "NetworkPolicy"])).await?;
        kubectl(&["create", "rolebinding", "owner", &namespace_flag, "--clusterrole=edit", "--user=alice@example.com"])
            .await?;
        kubectl(&["create", "rolebinding", "view", &namespace_flag, "--clusterrole=view", "--user=bob@example.com"])
            .await?;
    }
    Ok(per_second(count, begun))
}

/// Applies all objects of all spaces from one file, and returns the spaces per second.
pub async fn one_file(raw_client: &RawClient, count: usize) -> Result<f64> {
    let environment = Environment::without_operator().await?;
    let all: Vec<Value> = names("file", count).iter().flat_map(|name| raw_client.objects(name, &[])).collect();
    let begun = Instant::now();
    apply(&environment, &all).await?;
    Ok(per_second(count, begun))
}

async fn apply(environment: &Environment, objects: &[Value]) -> Result<()> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    environment
        .cluster
        .kubectl_with(environment.cluster.kubeconfig(), &["apply", "-f", "-"], Some(&list))
        .await?
        .ok()
        .map(drop)
}
