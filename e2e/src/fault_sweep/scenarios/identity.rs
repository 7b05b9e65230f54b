//! R8: another object has the name by the time the operator's deletion arrives.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{change_spec, create, create_ready, delete_spaces, namespace_uid, until_end_state},
    views::unwarned_class,
};
use crate::{
    fault_sweep::{
        path::{EndState, UserAction, soon},
        rig::Rig,
    },
    fixtures::{SOON, a_namespace, a_space, namespace, stays},
    proxy::{Fault, FaultRule, Gate, RuleId, WriteSelector},
    wait::eventually,
};

/// Holds the deletion of the space's namespace at a gate.
fn hold_deletion(rig: &Rig, name: &str) -> (Arc<Gate>, RuleId) {
    let gate = Arc::<Gate>::default();
    let rule = FaultRule::write(
        "held",
        Fault::Hold(gate.clone()),
        WriteSelector { space: name, signature: "delete-namespaces", nth: 1 },
    );
    rig.proxy.restart_count(name);
    (gate.clone(), rig.proxy.add_rule(rule))
}

/// Waits until the deletion is held.
async fn until_held(rig: &Rig, rule: RuleId) -> Result<()> {
    eventually("the deletion to be held", SOON, || async {
        Ok(rig.proxy.progress(rule).filter(|progress| progress.hits > 0).map(drop))
    })
    .await
}

/// Waits until the namespace no longer exists.
async fn until_namespace_gone(rig: &Rig, name: &str) -> Result<()> {
    eventually(&format!("namespace {name} to be gone"), SOON, || async {
        Ok(rig.admin.find(a_namespace(name)).await?.is_none().then_some(()))
    })
    .await
}

/// Opens the gate and verifies that the API server did not perform the deletion.
async fn release_and_check(rig: &Rig, name: &str, gate: &Gate, from: usize) -> Result<()> {
    gate.open();
    eventually("the held deletion to be answered", SOON, || async {
        let held = rig.proxy.journal().since(from, |entry| {
            entry.rule.as_deref() == Some("held") && entry.request_info.space.as_deref() == Some(name)
        });
        let served = held.first().and_then(|entry| entry.served);
        if let Some(code) = served {
            ensure!(code == 409 || code == 404, "the API server answered {code}");
        }
        Ok(served.map(drop))
    })
    .await
}

/// The space has expired. While the deletion of its namespace is under way, another namespace takes the name.
pub(super) async fn recreated_namespace(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    create_ready(&rig, &names, unwarned_class()).await?;
    let from = rig.proxy.journal().len();
    let (gate, rule) = hold_deletion(&rig, name);
    change_spec(&rig, name, soon()).await?;
    until_held(&rig, rule).await?;
    rig.admin.delete(a_namespace(name)).await?;
    until_namespace_gone(&rig, name).await?;
    let foreign = rig.admin.create(&namespace(name, json!({}), json!({}))).await?;
    release_and_check(&rig, name, &gate, from).await?;
    ensure_untouched(&rig, name, &foreign).await?;
    rig.admin.delete(a_namespace(name)).await?;
    delete_spaces(&rig, &names).await
}

/// Verifies that the operator does not touch the namespace of another client.
async fn ensure_untouched(rig: &Rig, name: &str, foreign: &Value) -> Result<()> {
    stays("another's namespace", Duration::from_secs(6), || async {
        let now = rig.admin.get(a_namespace(name)).await?;
        ensure!(now["metadata"]["uid"] == foreign["metadata"]["uid"], "it is another");
        ensure!(now["metadata"]["deletionTimestamp"].is_null(), "it is being deleted");
        ensure!(
            now["metadata"]["labels"]["developerspace.dev/space"].is_null(),
            "it was written to: {}",
            now["metadata"]
        );
        Ok(())
    })
    .await
}

/// A user deletes the space. While the deletion of its namespace is under way, both are deleted and created again.
pub(super) async fn recreated_space(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    create_ready(&rig, &names, json!({})).await?;
    let from = rig.proxy.journal().len();
    let (gate, rule) = hold_deletion(&rig, name);
    rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    until_held(&rig, rule).await?;
    rig.admin.delete(a_namespace(name)).await?;
    until_namespace_gone(&rig, name).await?;
    rig.admin.patch(a_space(name), json!({"metadata": {"finalizers": null}})).await?;
    eventually("the space to be gone", SOON, || async {
        Ok(rig.admin.find(a_space(name)).await?.is_none().then_some(()))
    })
    .await?;
    create(&rig, name, json!({})).await?;
    rig.ready(name).await.context("the operator does not give the held deletion up")?;
    release_and_check(&rig, name, &gate, from).await?;
    until_end_state(&rig, name, EndState::Ready).await?;
    let uid = namespace_uid(&rig, name)?;
    stays("the new namespace", Duration::from_secs(6), || async {
        let now = rig.admin.find(a_namespace(name)).await?.context("the new namespace is gone")?;
        ensure!(
            now["metadata"]["uid"] == uid.as_str() && now["metadata"]["deletionTimestamp"].is_null(),
            "it is being deleted or another"
        );
        Ok(())
    })
    .await?;
    delete_spaces(&rig, &names).await
}
