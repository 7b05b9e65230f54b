//! The account of docs/gc.md: it deletes due spaces and annotated namespaces, and changes nothing else.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use e2e::{
    fixtures::{
        Actor, World, a_namespace, a_space, binding, cluster_wide, condition, expires_at, holds, name_of, namespace,
        now, refusal, sleep_until, user,
    },
    kubeconfig, operator,
};
use serde_json::json;

use crate::{ensure_exit, results};

pub(crate) async fn annotated_namespaces_are_opted_in(world: &World) -> Result<()> {
    let admin = world.admin();
    let sweeper = world.create_documented_sweeper().await?;
    let expires = |when: &str| json!({"developerspace.dev/expires-at": when});
    let ttl = |ttl: &str| json!({"developerspace.dev/ttl": ttl});
    let expiring = [("note-past", expires("2020-01-01T00:00:00Z")), ("note-short", ttl("1s"))];
    let foreign = [
        ("note-janitor", json!({"janitor/ttl": "1s"})),
        ("note-twin", json!({"k8s-ttl-controller.twin.sh/ttl": "1s"})),
    ];
    let kept = [
        ("note-future", expires("2099-01-01T00:00:00Z")),
        ("note-long", ttl("7d")),
        ("note-never", ttl("never")),
        ("note-garbage", ttl("soon")),
        ("note-empty", ttl("")),
        ("note-date", expires("yesterday")),
        ("note-none", json!({"example.com/note": "nothing of ours"})),
        ("kube-scratch", expires("2020-01-01T00:00:00Z")),
        ("openshift-scratch", expires("2020-01-01T00:00:00Z")),
        ("monitoring", expires("2020-01-01T00:00:00Z")),
        ("note-months", json!({"janitor/ttl": "6M"})),
        ("note-minus", json!({"k8s-ttl-controller.twin.sh/ttl": "-1h"})),
        ("note-decimal", json!({"k8s-ttl-controller.twin.sh/ttl": "1.5h"})),
        (
            "note-offered",
            json!({"developerspace.dev/ttl": "1s", "developerspace.dev/adopt": "note-offered/User:rosa@example.com"}),
        ),
    ];
    let released = namespace("note-released", json!({"developerspace.dev/released": "true"}), ttl("1s"));
    admin.create(&released).await?;
    for (name, annotations) in expiring.iter().chain(&foreign).chain(&kept) {
        admin.create(&namespace(name, json!({}), annotations.clone())).await?;
    }
    let existing = ["default", "kube-system", "developerspace-system"];
    for name in existing {
        admin.patch(a_namespace(name), json!({"metadata": {"annotations": expires("2020-01-01T00:00:00Z")}})).await?;
    }
    // The end of a space's namespace depends on its space only, whatever annotations another user adds.
    world.create_ready_space("rosa-space", json!({"className": "swept", "owner": user("rosa@example.com")})).await?;
    admin.patch(a_namespace("rosa-space"), json!({"metadata": {"annotations": ttl("1s")}})).await?;
    sleep_until(now() + TimeDelta::seconds(2)).await;

    let plain = operator::gc(world.cluster(), &["-o", "json"]).await?;
    ensure_exit(&plain, 0)?;
    ensure!(results(&plain)?.is_empty(), "without being asked to: {}", plain.stdout);
    let refused = operator::gc(world.cluster(), &["--include-annotated"]).await?;
    ensure_exit(&refused, 2)?;
    ensure!(refused.stderr.contains("the operator's account is confined"), "{}", refused.stderr);
    let (collected, failed) = sweep_annotated(&sweeper, &[]).await?;
    ensure!(collected == ["note-past", "note-short"], "collected {collected:?}");
    ensure!(failed == ["note-date", "note-empty", "note-garbage"], "failed {failed:?}");
    for (name, _) in &expiring {
        world.until_gone(a_namespace(name)).await?;
    }
    let (collected, failed) = sweep_annotated(&sweeper, &["--compat", "janitor,k8s-ttl-controller"]).await?;
    ensure!(collected == ["note-janitor", "note-twin"], "collected {collected:?}");
    ensure!(failed == ["note-date", "note-empty", "note-garbage", "note-minus", "note-months"], "failed {failed:?}");
    for (name, _) in &foreign {
        world.until_gone(a_namespace(name)).await?;
    }
    for name in kept.iter().map(|(name, _)| *name).chain(existing).chain(["note-released", "rosa-space"]) {
        let namespace = admin.get(a_namespace(name)).await?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    }
    world.until_ready("rosa-space").await.map(drop)
}

/// Runs a sweep that includes annotated namespaces. Returns the names of those that it deleted, and of those that it
/// could not read.
async fn sweep_annotated(kubeconfig: &Path, more: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
    let arguments = [&["--include-annotated", "--protected-namespaces", "monitoring", "-o", "json"], more].concat();
    let output = operator::gc_with(kubeconfig, &arguments).await?;
    ensure_exit(&output, 1)?;
    let results = results(&output)?;
    let named =
        |wanted: &str| results.iter().filter(|(_, result)| result == wanted).map(|(name, _)| name.clone()).collect();
    Ok((named("done"), named("failed")))
}

/// `config/self-service` allows every account to change the spaces that it owns. The sweeper owns none.
async fn ensure_account_changes_no_space(world: &World, sweeper: &Path) -> Result<()> {
    let accounts = binding("Group", "system:serviceaccounts:developerspace-system", "developerspace-owner");
    world.admin().create(&accounts).await?;
    let sweeper = Actor::new(kubeconfig::client(sweeper).await?);
    // No policy other than that of owners refuses this.
    let refused = refusal(sweeper.patch(a_space("tilda-due"), json!({"spec": {"description": "swept"}})).await)?;
    ensure!(refused.contains("belongs to User tilda@example.com"), "{refused}");
    world.admin().delete(cluster_wide("ClusterRoleBinding", name_of(&accounts))).await
}

/// The policies allow every step of a space's end to the documented account.
pub(crate) async fn the_documented_account_may_delete_due_spaces(world: &World) -> Result<()> {
    let sweeper = world.create_documented_sweeper().await?;
    world.create_accepted_class("fleeting", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "20s"}})).await?;
    let spec = |ttl: &str| json!({"className": "fleeting", "owner": user("tilda@example.com"), "ttl": ttl});
    let due = world.create_ready_space("tilda-due", spec("45s")).await?;
    world.create_ready_space("tilda-over", spec("5s")).await?;
    ensure_account_changes_no_space(world, &sweeper).await?;
    let expired = world
        .until("to be over", a_space("tilda-over"), |space| {
            ensure!(holds(space, "Expired") && !holds(space, "Reconciling"), "its status is {}", space["status"]);
            Ok(())
        })
        .await?;
    world.stop_operator().await?;
    ensure!(
        world.admin().get(a_space("tilda-over")).await?["metadata"]["deletionTimestamp"].is_null(),
        "the controller was first"
    );
    let reported_at: DateTime<Utc> =
        condition(&expired, "Reconciling")["lastTransitionTime"].as_str().context("no time")?.parse()?;
    let last = expires_at(&due)?.max(reported_at + TimeDelta::seconds(20));
    sleep_until(last + TimeDelta::seconds(1)).await;
    let output = operator::gc_with(&sweeper, &["--include-annotated", "-o", "json"]).await?;
    ensure_exit(&output, 0)?;
    let done = ["tilda-due", "tilda-over"].map(|name| (name.to_owned(), "done".to_owned()));
    ensure!(results(&output)? == done, "{}", output.stdout);
    world.start_operator().await?;
    world.until_gone(a_namespace("tilda-due")).await?;
    world.until_gone(a_space("tilda-over")).await
}
