//! One sweep by hand or by a `CronJob`: it takes the controller's decisions, stops at its limit, and touches no other objects.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use e2e::{
    binaries,
    command::Output,
    eventually,
    fixtures::{
        Actor, SOON, World, a_namespace, a_space, binding, cluster_wide, condition, ensure_equal, essence, holds, name_of, namespace, now,
        refusal, run_concurrently, sleep_until, space, time, user,
    },
    kubeconfig, operator, scenarios,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn gc() -> Result<()> {
    let world = World::start(&[]).await?;
    // One after the other: each scenario decides whether the operator runs during the sweep.
    run_concurrently(scenarios![&world; wrong_usage_is_exit_2]).await?;
    run_concurrently(scenarios![&world; a_sweep_collects_what_is_over]).await?;
    run_concurrently(scenarios![&world; a_failed_deletion_is_exit_1]).await?;
    run_concurrently(scenarios![&world; forged_ownership_deletes_nothing]).await?;
    run_concurrently(scenarios![&world; the_documented_account_may_end_spaces]).await?;
    run_concurrently(scenarios![&world; annotated_namespaces_are_opted_in]).await?;
    run_concurrently(scenarios![&world; a_sweep_runs_beside_the_controller]).await?;
    world.ensure_operator_ready().await
}

/// The name and the result of each object in the output of a sweep with `-o json`.
fn results(output: &Output) -> Result<Vec<(String, String)>> {
    let said: Value =
        serde_json::from_str(&output.stdout).with_context(|| format!("`{}` printed {}{}", output.command, output.stdout, output.stderr))?;
    let items = said["items"].as_array().context("the sweep has no items")?;
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|item| (text(item, "name"), text(item, "result"))).collect())
}

fn ensure_exit(output: &Output, code: i32) -> Result<()> {
    ensure!(output.code == Some(code), "`{}` ended with {:?}: {}{}", output.command, output.code, output.stdout, output.stderr);
    Ok(())
}

async fn wrong_usage_is_exit_2(world: &World) -> Result<()> {
    for arguments in
        [&["--max-deletions", "lots"][..], &["--max-deletions", "-1"], &["--output", "yaml"], &["--compat", "janitor"], &["--force"]]
    {
        let output = operator::gc(world.cluster(), arguments).await?;
        ensure_exit(&output, 2)?;
        ensure!(!output.stderr.is_empty(), "`{}` says nothing", output.command);
    }
    Ok(())
}

/// Creates spaces, stops the operator, and waits until the spaces have expired.
async fn over(world: &World, prefix: &str, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
    let mut last: DateTime<Utc> = now();
    for name in &names {
        let spec = json!({"className": "swept", "owner": user("nadja@example.com"), "ttl": "20s"});
        world.admin().create(&space(name, spec)).await?;
    }
    for name in &names {
        last = last.max(time(&world.until_ready(name).await?, "/status/expiresAt")?);
    }
    world.stop_operator().await?;
    sleep_until(last + chrono::TimeDelta::seconds(1)).await;
    Ok(names)
}

async fn a_sweep_collects_what_is_over(world: &World) -> Result<()> {
    world.create_accepted_class("swept", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let living = ["oskar-living", "oskar-too", "oskar-three"];
    for name in living {
        world.create_ready_space(name, json!({"className": "swept", "owner": user("oskar@example.com")})).await?;
    }
    let names = over(world, "swept", 5).await?;
    let cluster = world.cluster();
    let untouched = async || {
        for name in &names {
            let space = world.admin().get(a_space(name)).await?;
            ensure!(!holds(&space, "Expired"), "{name} was sealed: {}", space["status"]);
            let namespace = world.admin().get(a_namespace(name)).await?;
            ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
        }
        Ok(())
    };
    let all = |result: &str| names.iter().map(|name| (name.clone(), result.to_owned())).collect::<Vec<_>>();

    let dry = operator::gc(cluster, &["--dry-run", "--output", "json"]).await?;
    ensure_exit(&dry, 0)?;
    ensure!(results(&dry)? == all("would-do"), "{}", dry.stdout);
    untouched().await.context("by a dry run")?;
    let table = operator::gc(cluster, &["--dry-run"]).await?;
    ensure_exit(&table, 0)?;
    ensure!(names.iter().all(|name| table.stdout.contains(name)) && !table.stdout.contains("oskar"), "{}", table.stdout);

    let limited = operator::gc(cluster, &["--max-deletions", "4"]).await?;
    ensure_exit(&limited, 3)?;
    untouched().await.context("by a sweep over its limit")?;

    for none in ["0", "0%", "10%"] {
        ensure_exit(&operator::gc(cluster, &["--max-deletions", none]).await?, 3)?;
    }
    untouched().await.context("by a sweep that may delete nothing")?;

    // The default limit is never less than ten.
    let done = operator::gc(cluster, &["-o", "json"]).await?;
    ensure_exit(&done, 0)?;
    ensure!(results(&done)? == all("done"), "{}", done.stdout);
    for name in &names {
        world.until_gone(a_namespace(name)).await?;
        let space = world.admin().get(a_space(name)).await?;
        ensure!(holds(&space, "Expired"), "{name} was not sealed: {}", space["status"]);
    }
    for name in living {
        let namespace = world.admin().get(a_namespace(name)).await?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    }
    let again = operator::gc(cluster, &["-o", "json"]).await?;
    ensure_exit(&again, 0)?;
    ensure!(results(&again)?.is_empty(), "{}", again.stdout);
    world.start_operator().await?;
    for name in &names {
        world
            .until("to be told as expired", a_space(name), |space| {
                ensure!(condition(space, "Ready")["reason"] == "Expired", "its status is {}", space["status"]);
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn a_failed_deletion_is_exit_1(world: &World) -> Result<()> {
    // This account may read and seal, but not delete.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "weak-sweeper"},
        "rules": [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]},
            {"apiGroups": ["developerspace.dev"], "resources": ["developerspaces", "spaceclasses"], "verbs": ["get", "list"]},
            {"apiGroups": ["developerspace.dev"], "resources": ["developerspaces/status"], "verbs": ["get", "patch"]},
            {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ],
    });
    world.admin().create(&role).await?;
    let weak = world.create_account("weak-sweeper", "weak-sweeper").await?;
    let names = over(world, "stuck", 2).await?;
    let output = operator::gc_with(&weak, &["-o", "json"]).await?;
    ensure_exit(&output, 1)?;
    ensure!(results(&output)?.iter().all(|(_, result)| result == "failed"), "{}", output.stdout);
    world.start_operator().await?;
    for name in &names {
        world.until_gone(a_namespace(name)).await?;
    }
    Ok(())
}

/// A sweep as the operator relies on spaces and the UIDs in their status, whatever labels and annotations contain.
async fn forged_ownership_deletes_nothing(world: &World) -> Result<()> {
    let admin = world.admin();
    let real = world.create_ready_space("petra-real", json!({"className": "swept", "owner": user("petra@example.com")})).await?;
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
    let going = after.iter().filter(|namespace| namespace["status"]["phase"] != "Active").map(name_of).collect::<Vec<_>>();
    ensure!(going.is_empty(), "going: {going:?}");
    let nothing = json!({"labels": null, "annotations": null});
    for name in ["kube-system", "kube-public", "default"] {
        admin.patch(a_namespace(name), json!({"metadata": nothing})).await?;
    }
    Ok(())
}

async fn annotated_namespaces_are_opted_in(world: &World) -> Result<()> {
    let admin = world.admin();
    let sweeper = documented_sweeper(world).await?;
    let expires = |when: &str| json!({"developerspace.dev/expires-at": when});
    let ttl = |ttl: &str| json!({"developerspace.dev/ttl": ttl});
    let doomed = [("note-past", expires("2020-01-01T00:00:00Z")), ("note-short", ttl("1s"))];
    let foreign = [("note-janitor", json!({"janitor/ttl": "1s"})), ("note-twin", json!({"k8s-ttl-controller.twin.sh/ttl": "1s"}))];
    let staying = [
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
        ("note-offered", json!({"developerspace.dev/ttl": "1s", "developerspace.dev/adopt": "note-offered/User:rosa@example.com"})),
    ];
    let released = namespace("note-released", json!({"developerspace.dev/released": "true"}), ttl("1s"));
    admin.create(&released).await?;
    for (name, annotations) in doomed.iter().chain(&foreign).chain(&staying) {
        admin.create(&namespace(name, json!({}), annotations.clone())).await?;
    }
    let existing = ["default", "kube-system", "developerspace-system"];
    for name in existing {
        admin.patch(a_namespace(name), json!({"metadata": {"annotations": expires("2020-01-01T00:00:00Z")}})).await?;
    }
    // The end of a space's namespace depends on its space only, whatever annotations another user adds.
    world.create_ready_space("rosa-space", json!({"className": "swept", "owner": user("rosa@example.com")})).await?;
    admin.patch(a_namespace("rosa-space"), json!({"metadata": {"annotations": ttl("1s")}})).await?;
    sleep_until(now() + chrono::TimeDelta::seconds(2)).await;

    let plain = operator::gc(world.cluster(), &["-o", "json"]).await?;
    ensure_exit(&plain, 0)?;
    ensure!(results(&plain)?.is_empty(), "without being asked to: {}", plain.stdout);
    let refused = operator::gc(world.cluster(), &["--include-annotated"]).await?;
    ensure_exit(&refused, 2)?;
    ensure!(refused.stderr.contains("the operator's account is confined"), "{}", refused.stderr);
    let (collected, failed) = sweep(&sweeper, &[]).await?;
    ensure!(collected == ["note-past", "note-short"], "collected {collected:?}");
    ensure!(failed == ["note-date", "note-empty", "note-garbage"], "failed {failed:?}");
    for (name, _) in &doomed {
        world.until_gone(a_namespace(name)).await?;
    }
    let (collected, failed) = sweep(&sweeper, &["--compat", "janitor,k8s-ttl-controller"]).await?;
    ensure!(collected == ["note-janitor", "note-twin"], "collected {collected:?}");
    ensure!(failed == ["note-date", "note-empty", "note-garbage", "note-minus", "note-months"], "failed {failed:?}");
    for (name, _) in &foreign {
        world.until_gone(a_namespace(name)).await?;
    }
    for name in staying.iter().map(|(name, _)| *name).chain(existing).chain(["note-released", "rosa-space"]) {
        let namespace = admin.get(a_namespace(name)).await?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    }
    world.until_ready("rosa-space").await.map(drop)
}

/// Runs a sweep that includes annotated namespaces. Returns the names of those that it deleted, and of those that it could not read.
async fn sweep(kubeconfig: &Path, more: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
    let arguments = [&["--include-annotated", "--protected-namespaces", "monitoring", "-o", "json"], more].concat();
    let output = operator::gc_with(kubeconfig, &arguments).await?;
    ensure_exit(&output, 1)?;
    let results = results(&output)?;
    let named = |wanted: &str| results.iter().filter(|(_, result)| result == wanted).map(|(name, _)| name.clone()).collect();
    Ok((named("done"), named("failed")))
}

/// The account of docs/gc.md, created from the manifest on that page.
async fn documented_sweeper(world: &World) -> Result<PathBuf> {
    let page = std::fs::read_to_string(binaries::repository().join("docs/gc.md"))?;
    let manifest = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).context("docs/gc.md has no manifest")?;
    let file = world.cluster().dir().join("sweeper.yaml");
    std::fs::write(&file, manifest)?;
    world.cluster().kubectl(&["apply", "-f", &file.to_string_lossy()]).await?.ok()?;
    world.kubeconfig_of("developerspace-gc-annotated", operator::NAMESPACE).await
}

/// `config/self-service` allows every account to change the spaces that it owns. The sweeper owns none.
async fn changes_no_space(world: &World, sweeper: &Path) -> Result<()> {
    let accounts = binding("Group", "system:serviceaccounts:developerspace-system", "developerspace-owner");
    world.admin().create(&accounts).await?;
    let sweeper = Actor::new(kubeconfig::client(sweeper).await?);
    // No policy other than that of owners refuses this.
    let refused = refusal(sweeper.patch(a_space("tilda-due"), json!({"spec": {"description": "swept"}})).await)?;
    ensure!(refused.contains("belongs to User tilda@example.com"), "{refused}");
    world.admin().delete(cluster_wide("ClusterRoleBinding", name_of(&accounts))).await
}

/// The policies allow every step of a space's end to the documented account.
async fn the_documented_account_may_end_spaces(world: &World) -> Result<()> {
    let sweeper = documented_sweeper(world).await?;
    world.create_accepted_class("fleeting", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "20s"}})).await?;
    let spec = |ttl: &str| json!({"className": "fleeting", "owner": user("tilda@example.com"), "ttl": ttl});
    let due = world.create_ready_space("tilda-due", spec("45s")).await?;
    world.create_ready_space("tilda-over", spec("5s")).await?;
    changes_no_space(world, &sweeper).await?;
    let over = world
        .until("to be over", a_space("tilda-over"), |space| {
            ensure!(holds(space, "Expired") && !holds(space, "Reconciling"), "its status is {}", space["status"]);
            Ok(())
        })
        .await?;
    world.stop_operator().await?;
    ensure!(world.admin().get(a_space("tilda-over")).await?["metadata"]["deletionTimestamp"].is_null(), "the controller was first");
    let told: DateTime<Utc> = condition(&over, "Reconciling")["lastTransitionTime"].as_str().context("no time")?.parse()?;
    let last = time(&due, "/status/expiresAt")?.max(told + chrono::TimeDelta::seconds(20));
    sleep_until(last + chrono::TimeDelta::seconds(1)).await;
    let output = operator::gc_with(&sweeper, &["--include-annotated", "-o", "json"]).await?;
    ensure_exit(&output, 0)?;
    let done = ["tilda-due", "tilda-over"].map(|name| (name.to_owned(), "done".to_owned()));
    ensure!(results(&output)? == done, "{}", output.stdout);
    world.start_operator().await?;
    world.until_gone(a_namespace("tilda-due")).await?;
    world.until_gone(a_space("tilda-over")).await
}

async fn a_sweep_runs_beside_the_controller(world: &World) -> Result<()> {
    const COUNT: usize = 20;
    let mut due = vec![];
    for number in 0..COUNT {
        let spec = json!({"className": "swept", "owner": user("silke@example.com"), "ttl": format!("{}s", 15 + number % 5)});
        world.admin().create(&space(&format!("beside-{number}"), spec)).await?;
    }
    for number in 0..COUNT {
        let name = format!("beside-{number}");
        due.push((name.clone(), time(&world.until_ready(&name).await?, "/status/expiresAt")?));
    }
    let mut audit = world.cluster().audit_from_now()?;
    let mut sweeps = 0;
    loop {
        let output = operator::gc(world.cluster(), &["--max-deletions", "100%", "-o", "json"]).await?;
        ensure_exit(&output, 0)?;
        sweeps += 1;
        let spaces = world.admin().list("DeveloperSpace", "").await?;
        let over = spaces.iter().filter(|space| name_of(space).starts_with("beside-") && holds(space, "Expired")).count();
        if over == COUNT {
            break;
        }
    }
    for (name, _) in &due {
        world.until_gone(a_namespace(name)).await?;
        world
            .until("to be told as expired", a_space(name), |space| {
                ensure!(condition(space, "Ready")["reason"] == "Expired", "its status is {}", space["status"]);
                Ok(())
            })
            .await?;
    }
    ensure!(sweeps >= 3, "only {sweeps} sweeps took place");
    let written = eventually("the deletions in the audit log", SOON, || {
        let written = World::writes(&mut audit);
        async move { Ok(Some(written?)) }
    })
    .await?;
    for entry in written.iter().filter(|entry| entry.verb == "delete" && entry.resource == "namespaces") {
        let (_, due) = due.iter().find(|(name, _)| *name == entry.name).with_context(|| format!("{} was deleted", entry.name))?;
        ensure!(entry.request_received >= *due, "{} was deleted before its time", entry.name);
    }
    Ok(())
}
