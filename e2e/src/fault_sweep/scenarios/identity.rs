//! R8: another object has the name by the time the operator's deletion arrives.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{change, create, namespace_uid, ready, remove, until_ended},
    views::unwarned,
};
use crate::{
    fault_sweep::{
        path::{Act, Ends, soon},
        rig::Bench,
    },
    fixtures::{SOON, a_namespace, a_space, namespace, stays},
    proxy::{Fault, Gate, Rule, RuleId},
    wait::eventually,
};

/// Holds the deletion of the space's namespace at a gate.
fn hold(bench: &Bench, name: &str) -> (Arc<Gate>, RuleId) {
    let gate = Arc::<Gate>::default();
    let rule = Rule::write("held", Fault::Hold(gate.clone()), (name, "delete-namespaces", 1));
    bench.proxy.restart_count(name);
    (gate.clone(), bench.proxy.arm(rule))
}

async fn until_held(bench: &Bench, rule: RuleId) -> Result<()> {
    eventually("the deletion to be held", SOON, || async { Ok(bench.proxy.progress(rule).filter(|progress| progress.hits > 0).map(drop)) })
        .await
}

async fn gone(bench: &Bench, name: &str) -> Result<()> {
    eventually(&format!("namespace {name} to be gone"), SOON, || async {
        Ok(bench.admin.find(a_namespace(name)).await?.is_none().then_some(()))
    })
    .await
}

/// Opens the gate and verifies that the API server did not perform the deletion.
async fn released(bench: &Bench, name: &str, gate: &Gate, from: usize) -> Result<()> {
    gate.open();
    eventually("the held deletion to be answered", SOON, || async {
        let held =
            bench.proxy.journal().since(from, |entry| entry.rule.as_deref() == Some("held") && entry.facts.space.as_deref() == Some(name));
        let served = held.first().and_then(|entry| entry.served);
        if let Some(code) = served {
            ensure!(code == 409 || code == 404, "the API server answered {code}");
        }
        Ok(served.map(drop))
    })
    .await
}

/// The space has expired. While the deletion of its namespace is under way, another namespace takes the name.
pub(super) async fn namespace_made_again(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    ready(&bench, &names, unwarned()).await?;
    let from = bench.proxy.journal().len();
    let (gate, rule) = hold(&bench, name);
    change(&bench, name, soon()).await?;
    until_held(&bench, rule).await?;
    bench.admin.delete(a_namespace(name)).await?;
    gone(&bench, name).await?;
    let theirs = bench.admin.create(&namespace(name, json!({}), json!({}))).await?;
    released(&bench, name, &gate, from).await?;
    survives(&bench, name, &theirs).await?;
    bench.admin.delete(a_namespace(name)).await?;
    remove(&bench, &names).await
}

async fn survives(bench: &Bench, name: &str, theirs: &Value) -> Result<()> {
    stays("another's namespace", Duration::from_secs(6), || async {
        let now = bench.admin.get(a_namespace(name)).await?;
        ensure!(now["metadata"]["uid"] == theirs["metadata"]["uid"], "it is another");
        ensure!(now["metadata"]["deletionTimestamp"].is_null(), "it is being deleted");
        ensure!(now["metadata"]["labels"]["developerspace.dev/space"].is_null(), "it was written to: {}", now["metadata"]);
        Ok(())
    })
    .await
}

/// A user deletes the space. While the deletion of its namespace is under way, both are deleted and created again.
pub(super) async fn space_made_again(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    ready(&bench, &names, json!({})).await?;
    let from = bench.proxy.journal().len();
    let (gate, rule) = hold(&bench, name);
    bench.perform(name, &Act::Delete("DeveloperSpace", "$NAME")).await?;
    until_held(&bench, rule).await?;
    bench.admin.delete(a_namespace(name)).await?;
    gone(&bench, name).await?;
    bench.admin.patch(a_space(name), json!({"metadata": {"finalizers": null}})).await?;
    eventually("the space to be gone", SOON, || async { Ok(bench.admin.find(a_space(name)).await?.is_none().then_some(())) }).await?;
    create(&bench, name, json!({})).await?;
    bench.ready(name).await.context("the operator does not give the held deletion up")?;
    released(&bench, name, &gate, from).await?;
    until_ended(&bench, name, Ends::Ready).await?;
    let uid = namespace_uid(&bench, name)?;
    stays("the new namespace", Duration::from_secs(6), || async {
        let now = bench.admin.find(a_namespace(name)).await?.context("the new namespace is gone")?;
        ensure!(now["metadata"]["uid"] == uid.as_str() && now["metadata"]["deletionTimestamp"].is_null(), "it is being deleted or another");
        Ok(())
    })
    .await?;
    remove(&bench, &names).await
}
