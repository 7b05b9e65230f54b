//! R14, R15, R17, R20: objects that cannot be deleted, renewals at the last moment, deletions by users, and an idle
//! operator.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;

use super::{
    Setting,
    setting::{
        change_spec, create, create_ready, delete_spaces, ensure_no_writes, namespace_uid, until_end_state,
        until_silent,
    },
    views::unwarned_class,
};
use crate::{
    fault_sweep::{
        path::{EndState, UserAction, soon},
        rig::Rig,
    },
    fixtures::{SOON, a_namespace, a_space, at, condition, config_map, sleep_until, text},
    wait::eventually,
};

/// An object in the namespace is not deleted: the condition reports it, the operator does not retry in a tight loop,
/// and other spaces are not affected.
pub(super) async fn stuck_terminating(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    let name = names[0].as_str();
    create_ready(&rig, &names[..1], json!({})).await?;
    let mut stuck = config_map(name, "stuck");
    stuck["metadata"]["finalizers"] = json!(["example.com/stuck"]);
    rig.admin.create(&stuck).await?;
    rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    until_reported(&rig, name, "example.com/stuck").await?;
    let from = rig.proxy.journal().len();
    create(&rig, &names[1], json!({})).await?;
    rig.ready(&names[1]).await?;
    tokio::time::sleep(setting.duration(8, 90)).await;
    let written = rig.proxy.journal().writes_of(name, from).len();
    ensure!(written <= 4, "{written} writes while nothing could be done");
    rig.admin.patch(at("ConfigMap", name, "stuck"), json!({"metadata": {"finalizers": null}})).await?;
    until_end_state(&rig, name, EndState::Gone).await?;
    delete_spaces(&rig, &names[1..]).await
}

/// A binding that has to be replaced is not deleted, because a user added a finalizer to it: the operator does not
/// retry in a tight loop, and other spaces are not affected.
pub(super) async fn stuck_binding(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    let name = names[0].as_str();
    create_ready(&rig, &names[..1], json!({})).await?;
    let binding = at("RoleBinding", name, "developerspace-owner");
    rig.admin.patch(binding, json!({"metadata": {"finalizers": ["example.com/stuck"]}})).await?;
    let from = rig.proxy.journal().len();
    change_spec(&rig, name, json!({"className": "sweep-roomy"})).await?;
    tokio::time::sleep(setting.duration(10, 60)).await;
    rig.ensure_alive().await?;
    let deletions = rig
        .proxy
        .journal()
        .since(from, |entry| entry.request_info.verb == "delete" && entry.request_info.resource == "rolebindings")
        .len();
    ensure!(deletions > 0, "it did not try to replace the binding");
    ensure!(deletions <= 20, "{deletions} deletions of a binding that cannot go");
    create(&rig, &names[1], json!({})).await?;
    rig.ready(&names[1]).await?;
    rig.admin.patch(binding, json!({"metadata": {"finalizers": null}})).await?;
    until_end_state(&rig, name, EndState::Ready).await?;
    let replaced = rig.admin.get(binding).await?;
    ensure!(text(&replaced, "/roleRef/name") == "admin", "the binding was not replaced: {}", replaced["roleRef"]);
    delete_spaces(&rig, &names).await
}

/// Waits until the message of the condition contains the text.
async fn until_reported(rig: &Rig, name: &str, what: &str) -> Result<()> {
    rig.view
        .until("to say what blocks", name, SOON, |objects| {
            let space = objects.get("DeveloperSpace").context("it is gone already")?;
            let message = text(condition(space, "Ready"), "/message").to_owned();
            ensure!(message.contains(what), "it says: {message}");
            Ok(())
        })
        .await
        .map(drop)
}

/// An API service that does not respond blocks the deletion of every namespace.
pub(super) async fn dead_api_service(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    create_ready(&rig, &names[..1], json!({})).await?;
    let dead = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.dead.example.com"},
        "spec": {"group": "dead.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": "default"}},
    });
    let cluster = &setting.cluster;
    cluster.kubectl_with(cluster.kubeconfig(), &["apply", "-f", "-"], Some(&dead.to_string())).await?.ok()?;
    // The discovery of the namespace controller notices the API service only after some time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.perform(&names[0], &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    let blocked = until_reported(&rig, &names[0], "dead.example.com").await;
    create(&rig, &names[1], json!({})).await?;
    rig.ready(&names[1]).await?;
    cluster.kubectl(&["delete", "apiservice", "v1.dead.example.com"]).await?.ok()?;
    blocked?;
    until_end_state(&rig, &names[0], EndState::Gone).await?;
    delete_spaces(&rig, &names[1..]).await
}

/// Renewals that arrive around the moment of expiry: each that the API server accepts saves its space.
pub(super) async fn renewals(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(if setting.bounded { 24 } else { 120 });
    create_ready(&rig, &names, unwarned_class()).await?;
    let from = rig.proxy.journal().len();
    join_all(names.iter().map(|name| change_spec(&rig, name, soon()))).await.into_iter().collect::<Result<()>>()?;
    let middle = i64::try_from(names.len() / 2)?;
    let raced = join_all(names.iter().zip(0_i64..).map(|(name, number)| {
        let rig = &rig;
        async move {
            let due = rig.due_time(name).context("it has no end")?;
            let uid = namespace_uid(rig, name)?;
            sleep_until(due + TimeDelta::milliseconds((number - middle) * 8)).await;
            let renewed = change_spec(rig, name, json!({"expiresAt": null, "ttl": "1d"})).await.is_ok();
            Ok::<_, anyhow::Error>((name, uid, renewed))
        }
    }))
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for outcome in raced {
        let (name, uid, renewed) = outcome?;
        if renewed {
            until_end_state(&rig, name, EndState::Ready).await?;
            ensure!(namespace_uid(&rig, name)? == uid, "{name} was renewed and lost its namespace");
        } else {
            eventually("an expired namespace to go", SOON, || async {
                Ok(rig.admin.find(a_namespace(name)).await?.is_none().then_some(()))
            })
            .await?;
        }
    }
    for entry in rig.proxy.journal().since(from, |entry| {
        entry.request_info.verb == "delete" && entry.request_info.resource == "namespaces" && entry.was_done()
    }) {
        let due = rig.due_time(&entry.request_info.name).context("a namespace was deleted that has no end")?;
        ensure!(entry.at >= due, "deleted before its time: {}", entry.line());
    }
    delete_spaces(&rig, &names).await
}

/// A user may delete a space with any cascade option: its namespace is deleted too.
pub(super) async fn cascades(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let ways = ["orphan", "foreground", "background"];
    let names = setting.names(ways.len());
    create_ready(&rig, &names, json!({})).await?;
    for (name, way) in names.iter().zip(ways) {
        setting
            .cluster
            .kubectl(&["delete", "developerspace", name, &format!("--cascade={way}"), "--wait=false"])
            .await?
            .ok()?;
    }
    for (name, way) in names.iter().zip(ways) {
        until_end_state(&rig, name, EndState::Gone).await.with_context(|| format!("deleted with {way}"))?;
    }
    Ok(())
}

/// Other clients continually change fields that they may change. The operator must not write anything because of that.
pub(super) async fn stays_still(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(3);
    create_ready(&rig, &names, json!({})).await?;
    until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    let from = rig.proxy.journal().len();
    let count = if setting.bounded { 20 } else { 200 };
    for number in 0..count {
        for name in &names {
            let mark = json!({"metadata": {"annotations": {"example.com/theirs": number.to_string()}}});
            rig.admin.patch(a_namespace(name), mark.clone()).await?;
            rig.admin.patch(at("ResourceQuota", name, "developerspace"), mark.clone()).await?;
            rig.admin.patch(a_space(name), mark).await?;
        }
    }
    ensure_no_writes(&rig, from, setting.duration(5, 60)).await?;
    delete_spaces(&rig, &names).await
}
