//! The namespaces of spaces: a sweep deletes those that are due, by the UID that the status records.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use e2e::{
    eventually,
    fixtures::{
        SOON, World, a_namespace, a_space, cluster_role, condition, ensure_equal, essence, expires_at, holds, name_of,
        namespace, now, sleep_until, space, user,
    },
    operator,
};
use serde_json::json;

use crate::{ensure_exit, results};

/// Creates spaces, stops the operator, and waits until the spaces have expired.
async fn create_due_spaces(world: &World, prefix: &str, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
    let mut last: DateTime<Utc> = now();
    for name in &names {
        let spec = json!({"className": "swept", "owner": user("nadja@example.com"), "ttl": "20s"});
        world.admin().create(&space(name, spec)).await?;
    }
    for name in &names {
        last = last.max(expires_at(&world.until_ready(name).await?)?);
    }
    world.stop_operator().await?;
    sleep_until(last + TimeDelta::seconds(1)).await;
    Ok(names)
}

/// Waits until the status of the space reports that it has expired.
async fn until_reported_as_expired(world: &World, name: &str) -> Result<()> {
    world
        .until("to be told as expired", a_space(name), |space| {
            ensure!(condition(space, "Ready")["reason"] == "Expired", "its status is {}", space["status"]);
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn a_sweep_deletes_due_namespaces(world: &World) -> Result<()> {
    world.create_accepted_class("swept", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let active = ["oskar-living", "oskar-too", "oskar-three"];
    for name in active {
        world.create_ready_space(name, json!({"className": "swept", "owner": user("oskar@example.com")})).await?;
    }
    let names = create_due_spaces(world, "swept", 5).await?;
    let cluster = world.cluster();
    let ensure_unchanged = async || {
        for name in &names {
            let space = world.admin().get(a_space(name)).await?;
            ensure!(!holds(&space, "Expired"), "{name} was sealed: {}", space["status"]);
            let namespace = world.admin().get(a_namespace(name)).await?;
            ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
        }
        Ok(())
    };
    let with_result = |result: &str| names.iter().map(|name| (name.clone(), result.to_owned())).collect::<Vec<_>>();

    let dry_run = operator::gc(cluster, &["--dry-run", "--output", "json"]).await?;
    ensure_exit(&dry_run, 0)?;
    ensure!(results(&dry_run)? == with_result("would-do"), "{}", dry_run.stdout);
    ensure_unchanged().await.context("by a dry run")?;
    let table = operator::gc(cluster, &["--dry-run"]).await?;
    ensure_exit(&table, 0)?;
    ensure!(
        names.iter().all(|name| table.stdout.contains(name)) && !table.stdout.contains("oskar"),
        "{}",
        table.stdout
    );

    let limited = operator::gc(cluster, &["--max-deletions", "4"]).await?;
    ensure_exit(&limited, 3)?;
    ensure_unchanged().await.context("by a sweep over its limit")?;

    for limit in ["0", "0%", "10%"] {
        ensure_exit(&operator::gc(cluster, &["--max-deletions", limit]).await?, 3)?;
    }
    ensure_unchanged().await.context("by a sweep that may delete nothing")?;

    // The default limit is never less than ten.
    let done = operator::gc(cluster, &["-o", "json"]).await?;
    ensure_exit(&done, 0)?;
    ensure!(results(&done)? == with_result("done"), "{}", done.stdout);
    for name in &names {
        world.until_gone(a_namespace(name)).await?;
        let space = world.admin().get(a_space(name)).await?;
        ensure!(holds(&space, "Expired"), "{name} was not sealed: {}", space["status"]);
    }
    for name in active {
        let namespace = world.admin().get(a_namespace(name)).await?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    }
    let again = operator::gc(cluster, &["-o", "json"]).await?;
    ensure_exit(&again, 0)?;
    ensure!(results(&again)?.is_empty(), "{}", again.stdout);
    world.start_operator().await?;
    for name in &names {
        until_reported_as_expired(world, name).await?;
    }
    Ok(())
}

pub(crate) async fn a_failed_deletion_exits_with_1(world: &World) -> Result<()> {
    // This account may read and seal, but not delete.
    let rules = json!([
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]},
        {"apiGroups": ["developerspace.dev"], "resources": ["developerspaces", "spaceclasses"], "verbs": ["get", "list"]},
        {"apiGroups": ["developerspace.dev"], "resources": ["developerspaces/status"], "verbs": ["get", "patch"]},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ]);
    world.admin().create(&cluster_role("weak-sweeper", &rules)).await?;
    let limited_account = world.create_account("weak-sweeper", "weak-sweeper").await?;
    let names = create_due_spaces(world, "stuck", 2).await?;
    let output = operator::gc_with(&limited_account, &["-o", "json"]).await?;
    ensure_exit(&output, 1)?;
    ensure!(results(&output)?.iter().all(|(_, result)| result == "failed"), "{}", output.stdout);
    world.start_operator().await?;
    for name in &names {
        world.until_gone(a_namespace(name)).await?;
    }
    Ok(())
}

/// A sweep as the operator relies on spaces and the UIDs in their status, whatever labels and annotations contain.
pub(crate) async fn forged_ownership_metadata_deletes_nothing(world: &World) -> Result<()> {
    let admin = world.admin();
    let real = world
        .create_ready_space("petra-real", json!({"className": "swept", "owner": user("petra@example.com")}))
        .await?;
    let forged = json!({
        "labels": {
            "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "petra-real", "developerspace.dev/class": "swept",
        },
        "annotations": {
            "developerspace.dev/space-uid": real["metadata"]["uid"], "developerspace.dev/expires-at": "2020-01-01T00:00:00Z", "developerspace.dev/ttl": "1s",
        },
    });
    admin.create(&namespace("petra-forged", forged["labels"].clone(), forged["annotations"].clone())).await?;
    for name in ["kube-system", "kube-public", "default"] {
        admin.patch(a_namespace(name), json!({"metadata": forged})).await?;
    }
    let before = admin.list("Namespace", "").await?;
    let output = operator::gc(world.cluster(), &["-o", "json"]).await?;
    ensure_exit(&output, 0)?;
    ensure!(results(&output)?.is_empty(), "{}", output.stdout);
    world.until_ready("petra-real").await?;
    let after = admin.list("Namespace", "").await?;
    ensure_equal("all namespaces", &after.iter().map(essence).collect(), &before.iter().map(essence).collect())?;
    let terminating =
        after.iter().filter(|namespace| namespace["status"]["phase"] != "Active").map(name_of).collect::<Vec<_>>();
    ensure!(terminating.is_empty(), "going: {terminating:?}");
    let removed = json!({"labels": null, "annotations": null});
    for name in ["kube-system", "kube-public", "default"] {
        admin.patch(a_namespace(name), json!({"metadata": removed})).await?;
    }
    Ok(())
}

pub(crate) async fn a_sweep_and_the_controller_run_concurrently(world: &World) -> Result<()> {
    const COUNT: usize = 20;
    let mut due = vec![];
    for number in 0..COUNT {
        let spec =
            json!({"className": "swept", "owner": user("silke@example.com"), "ttl": format!("{}s", 15 + number % 5)});
        world.admin().create(&space(&format!("beside-{number}"), spec)).await?;
    }
    for number in 0..COUNT {
        let name = format!("beside-{number}");
        due.push((name.clone(), expires_at(&world.until_ready(&name).await?)?));
    }
    let mut audit = world.cluster().audit_from_now()?;
    let mut sweeps = 0;
    loop {
        let output = operator::gc(world.cluster(), &["--max-deletions", "100%", "-o", "json"]).await?;
        ensure_exit(&output, 0)?;
        sweeps += 1;
        let spaces = world.admin().list("DeveloperSpace", "").await?;
        let expired =
            spaces.iter().filter(|space| name_of(space).starts_with("beside-") && holds(space, "Expired")).count();
        if expired == COUNT {
            break;
        }
    }
    for (name, _) in &due {
        world.until_gone(a_namespace(name)).await?;
        until_reported_as_expired(world, name).await?;
    }
    ensure!(sweeps >= 3, "only {sweeps} sweeps took place");
    let written = eventually("the deletions in the audit log", SOON, || {
        let written = World::writes(&mut audit);
        async move { Ok(Some(written?)) }
    })
    .await?;
    for entry in written.iter().filter(|entry| entry.verb == "delete" && entry.resource == "namespaces") {
        let (_, due) =
            due.iter().find(|(name, _)| *name == entry.name).with_context(|| format!("{} was deleted", entry.name))?;
        ensure!(entry.request_received >= *due, "{} was deleted before its time", entry.name);
    }
    Ok(())
}
