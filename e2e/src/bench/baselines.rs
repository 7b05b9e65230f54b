//! The alternatives without an operator, for the same objects: the shell script of the onboarding chapter, and one big `kubectl apply -f`.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::{
    environment::{Stage, names, per_second},
    raw_client::Recipe,
};

/// Runs the script for one developer after another, and returns the spaces per second.
pub async fn script(recipe: &Recipe, count: usize) -> Result<f64> {
    let stage = Stage::set().await?;
    let begun = Instant::now();
    for name in names("script", count) {
        let team = "--namespace=".to_owned() + &name;
        let kubectl = async |arguments: &[&str]| stage.cluster.kubectl(arguments).await?.ok();
        kubectl(&["create", "namespace", &name]).await?;
        kubectl(&["annotate", "namespace", &name, "contact-team=payments", "contact-email=payments@example.com"]).await?;
        kubectl(&["create", "quota", "quota", &team, "--hard=requests.cpu=4,requests.memory=8Gi,pods=50"]).await?;
        apply(&stage, &recipe.objects(&name, &["LimitRange", "NetworkPolicy"])).await?;
        kubectl(&["create", "rolebinding", "owner", &team, "--clusterrole=edit", "--user=alice@example.com"]).await?;
        kubectl(&["create", "rolebinding", "view", &team, "--clusterrole=view", "--user=bob@example.com"]).await?;
    }
    Ok(per_second(count, begun))
}

/// Applies all objects of all spaces from one file, and returns the spaces per second.
pub async fn one_file(recipe: &Recipe, count: usize) -> Result<f64> {
    let stage = Stage::set().await?;
    let all: Vec<Value> = names("file", count).iter().flat_map(|name| recipe.objects(name, &[])).collect();
    let begun = Instant::now();
    apply(&stage, &all).await?;
    Ok(per_second(count, begun))
}

async fn apply(stage: &Stage, objects: &[Value]) -> Result<()> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    stage.cluster.kubectl_with(stage.cluster.kubeconfig(), &["apply", "-f", "-"], Some(&list)).await?.ok().map(drop)
}
