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
        rig::Rig,
    },
    fixtures::{SOON, a_namespace, a_space, namespace, stays},
    proxy::{Fault, FaultRule, Gate, RuleId, WriteSelector},
    wait::eventually,
};

/// Holds the deletion of the space's namespace at a gate.
fn hold(rig: &Rig, name: &str) -> (Arc<Gate>, RuleId) {
    let gate = Arc::<Gate>::default();
    let rule = FaultRule::write("held", Fault::Hold(gate.clone()), WriteSelector { space: name, signature: "delete-namespaces", nth: 1 });
    rig.proxy.restart_count(name);
    (gate.clone(), rig.proxy.add_rule(rule))
}

async fn until_held(rig: &Rig, rule: RuleId) -> Result<()> {
    eventually("the deletion to be held", SOON, || async { Ok(rig.proxy.progress(rule).filter(|progress| progress.hits > 0).map(drop)) })
        .await
}

async fn gone(rig: &Rig, name: &str) -> Result<()> {
    eventually(&format!("namespace {name} to be gone"), SOON, || async {
        Ok(rig.admin.find(a_namespace(name)).await?.is_none().then_some(()))
    })
    .await
}

/// Opens the gate and verifies that the API server did not perform the deletion.
async fn released(rig: &Rig, name: &str, gate: &Gate, from: usize) -> Result<()> {
    gate.open();
    eventually("the held deletion to be answered", SOON, || async {
        let held = rig
            .proxy
            .journal()
            .since(from, |entry| entry.rule.as_deref() == Some("held") && entry.request_info.space.as_deref() == Some(name));
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
    let rig = setting.working().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    ready(&rig, &names, unwarned()).await?;
    let from = rig.proxy.journal().len();
    let (gate, rule) = hold(&rig, name);
    change(&rig, name, soon()).await?;
    until_held(&rig, rule).await?;
    rig.admin.delete(a_namespace(name)).await?;
    gone(&rig, name).await?;
    let theirs = rig.admin.create(&namespace(name, json!({}), json!({}))).await?;
    released(&rig, name, &gate, from).await?;
    survives(&rig, name, &theirs).await?;
    rig.admin.delete(a_namespace(name)).await?;
    remove(&rig, &names).await
}

async fn survives(rig: &Rig, name: &str, theirs: &Value) -> Result<()> {
    stays("another's namespace", Duration::from_secs(6), || async {
        let now = rig.admin.get(a_namespace(name)).await?;
        ensure!(now["metadata"]["uid"] == theirs["metadata"]["uid"], "it is another");
        ensure!(now["metadata"]["deletionTimestamp"].is_null(), "it is being deleted");
        ensure!(now["metadata"]["labels"]["developerspace.dev/space"].is_null(), "it was written to: {}", now["metadata"]);
        Ok(())
    })
    .await
}

/// A user deletes the space. While the deletion of its namespace is under way, both are deleted and created again.
pub(super) async fn space_made_again(setting: Setting) -> Result<()> {
    let rig = setting.working().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    ready(&rig, &names, json!({})).await?;
    let from = rig.proxy.journal().len();
    let (gate, rule) = hold(&rig, name);
    rig.perform(name, &Act::Delete("DeveloperSpace", "$NAME")).await?;
    until_held(&rig, rule).await?;
    rig.admin.delete(a_namespace(name)).await?;
    gone(&rig, name).await?;
    rig.admin.patch(a_space(name), json!({"metadata": {"finalizers": null}})).await?;
    eventually("the space to be gone", SOON, || async { Ok(rig.admin.find(a_space(name)).await?.is_none().then_some(())) }).await?;
    create(&rig, name, json!({})).await?;
    rig.ready(name).await.context("the operator does not give the held deletion up")?;
    released(&rig, name, &gate, from).await?;
    until_ended(&rig, name, Ends::Ready).await?;
    let uid = namespace_uid(&rig, name)?;
    stays("the new namespace", Duration::from_secs(6), || async {
        let now = rig.admin.find(a_namespace(name)).await?.context("the new namespace is gone")?;
        ensure!(now["metadata"]["uid"] == uid.as_str() && now["metadata"]["deletionTimestamp"].is_null(), "it is being deleted or another");
        Ok(())
    })
    .await?;
    remove(&rig, &names).await
}
