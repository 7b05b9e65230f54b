//! R18: the CRD is changed, deleted and created again, and stored objects do not match it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{
        change_spec, create, create_ready, delete_spaces, ensure_no_writes, namespace_uid, state, until_end_state,
        until_silent, until_state,
    },
};
use crate::{
    fault_sweep::{
        path::{self, EndState, UserAction},
        rig::Rig,
    },
    fixtures::{SOON, a_class, a_namespace, a_space, cluster_wide, condition, text},
    wait::eventually,
};

const CRD: &str = "developerspaces.developerspace.dev";

/// Changes the CRD in place.
async fn redefine(rig: &Rig, change: impl Fn(&mut Value)) -> Result<()> {
    eventually("the definition to be changed", SOON, || async {
        let mut crd = rig.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
        change(&mut crd);
        rig.admin.replace(cluster_wide("CustomResourceDefinition", CRD), &crd).await.map(|_| Some(()))
    })
    .await
}

/// The CRD gets a new column. That changes no space, so nothing is written.
pub(super) async fn updated(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    create_ready(&rig, &names[..1], json!({})).await?;
    until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    let before = rig.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
    let from = rig.proxy.journal().len();
    redefine(&rig, |crd| {
        let column = json!({"name": "Team", "type": "string", "jsonPath": ".spec.contact.team"});
        if let Some(columns) =
            crd.pointer_mut("/spec/versions/0/additionalPrinterColumns").and_then(Value::as_array_mut)
        {
            columns.push(column);
        }
    })
    .await?;
    // The API server ends all watches that use the previous definition of the kind.
    ensure_no_writes(&rig, from, setting.duration(8, 60)).await?;
    create(&rig, &names[1], json!({})).await?;
    rig.ready(&names[1]).await?;
    redefine(&rig, |crd| crd["spec"] = before["spec"].clone()).await?;
    change_spec(&rig, &names[0], json!({"contact": {"team": "others"}})).await?;
    until_end_state(&rig, &names[0], EndState::Ready).await?;
    delete_spaces(&rig, &names).await
}

/// Removes the validation of a space's owner and members. The owner's name keeps its schema, because selectable fields
/// refer to it.
fn remove_validation(crd: &mut Value) {
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for rules in ["x-kubernetes-validations", "required"] {
        schema.as_object_mut().and_then(|schema| schema.remove(rules));
    }
    schema["properties"]["owner"] =
        json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"name": {"type": "string"}}});
    schema["properties"]["members"] = json!({"x-kubernetes-preserve-unknown-fields": true});
}

/// Objects that a CRD without validation admitted: a space that never decoded, and a space with a namespace whose owner
/// became invalid.
pub(super) async fn undecodable(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(4);
    let [fine, spoiled, broken, new] = [&names[0], &names[1], &names[2], &names[3]];
    create_ready(&rig, &names[..2], json!({})).await?;
    let (whole, uid) = (state(&rig, spoiled), namespace_uid(&rig, spoiled)?);
    let before = rig.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
    redefine(&rig, remove_validation).await?;
    let owner = rig.admin.get(a_space(spoiled)).await?["spec"]["owner"].clone();
    eventually("nonsense to be taken", SOON, || async {
        change_spec(&rig, spoiled, json!({"owner": "nobody in particular"})).await?;
        Ok(Some(()))
    })
    .await?;
    rig.perform(
        broken,
        &UserAction::Create(crate::fixtures::space("$NAME", json!({"owner": {"kind": 7}, "members": "all"}))),
    )
    .await?;
    redefine(&rig, |crd| crd["spec"] = before["spec"].clone()).await?;
    let from = rig.proxy.journal().len();
    for name in [spoiled, broken] {
        rig.view
            .until("to be said to make no sense", name, SOON, |objects| {
                let space = objects.get("DeveloperSpace").context("no space")?;
                let ready = condition(space, "Ready");
                ensure!(ready["status"] == "False" && !text(ready, "/message").is_empty(), "Ready is {ready}");
                Ok(())
            })
            .await?;
    }
    // Other spaces are not affected, also through a restart, in which both are listed again.
    rig.perform(fine, &UserAction::Delete("ResourceQuota", "developerspace")).await?;
    until_end_state(&rig, fine, EndState::Ready).await?;
    rig.terminate().await?;
    rig.start().await?;
    create(&rig, new, json!({})).await?;
    rig.ready(new).await?;
    until_silent(&rig, from, setting.duration(5, 60)).await?;
    let touched = rig.proxy.journal().writes(from);
    let touched = touched.iter().find(|entry| {
        entry.request_info.space.as_ref() == Some(spoiled)
            && entry.request_info.resource != "developerspaces"
            && entry.request_info.resource != "events"
    });
    ensure!(
        touched.is_none(),
        "something of a space was changed that cannot be read: {}",
        touched.map(crate::proxy::Entry::line).unwrap_or_default()
    );
    ensure!(namespace_uid(&rig, spoiled)? == uid, "the namespace is another");
    ensure!(rig.admin.find(a_namespace(broken)).await?.is_none(), "a namespace was made for what cannot be read");
    change_spec(&rig, spoiled, json!({"owner": null})).await.err().context("a space without an owner was taken")?;
    let corrected = json!({"owner": owner});
    change_spec(&rig, spoiled, corrected).await?;
    until_state(&rig, spoiled, &whole).await?;
    let owner = json!({"owner": {"kind": "User", "name": "carol@example.com"}, "members": []});
    change_spec(&rig, broken, owner).await?;
    delete_spaces(&rig, &names).await
}

/// The CRD is deleted and created again while the operator runs: namespaces are released and not deleted, and the
/// operator continues.
pub(super) async fn removed(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    create_ready(&rig, &names[..1], json!({})).await?;
    let (uid, from) = (namespace_uid(&rig, &names[0])?, rig.proxy.journal().len());
    setting.cluster.kubectl(&["delete", "crd", CRD, "--timeout=60s"]).await?.ok()?;
    let deleted = rig.proxy.journal().since(from, |entry| entry.request_info.verb == "delete");
    ensure!(deleted.is_empty(), "{} deletions, among them {}", deleted.len(), deleted[0].line());
    ensure!(namespace_uid(&rig, &names[0])? == uid, "the namespace is another");
    crate::Operator::install(&setting.cluster).await?;
    for class in path::classes() {
        let name = text(&class, "/metadata/name");
        if rig.admin.find(a_class(name)).await?.is_none() {
            rig.admin.create(&class).await?;
        }
    }
    eventually("a space to be taken", SOON, || async { create(&rig, &names[1], json!({})).await.map(Some) }).await?;
    until_end_state(&rig, &names[1], EndState::Ready).await?;
    rig.ensure_alive().await?;
    delete_spaces(&rig, &names[1..]).await
}
