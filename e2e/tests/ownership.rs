//! The ownership of a namespace, whatever users do to it: restored, offered, blocked by a finalizer, released with a
//! workload that the protections refuse.

use anyhow::{Result, ensure};
use e2e::{
    binaries, eventually,
    fixtures::{
        SOON, World, a_namespace, a_space, at, condition, config_map, deployment, ensure_equal, holds, name_of,
        namespace, run_concurrently, space, stays, text, uid_of, user,
    },
    mutations::merge,
    scenarios,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough for a controller that retries as soon as it may.
const QUIET_PERIOD: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn ownership() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_release_admits_no_refused_pod,
        a_retention_that_the_class_forbids_blocks_the_deletion,
        a_restored_namespace_of_an_expired_space_is_kept,
        a_finalizer_on_the_namespace_is_reported,
        an_adoption_keeps_the_pod_security_level,
        a_released_namespace_counts_until_it_is_adopted_or_its_marks_are_removed,
    ])
    .await?;
    // One after another: each stops the operator for a while.
    run_concurrently(scenarios![&world; a_restored_namespace_of_an_active_space_is_reported]).await?;
    run_concurrently(scenarios![&world; an_orphaned_namespace_of_an_earlier_space_is_reported]).await?;
    world.ensure_operator_ready().await
}

fn spec(class: &str, owner: &str) -> Value {
    json!({"className": class, "owner": user(owner), "contact": {"team": "keepers", "email": "keepers@example.com"}})
}

/// The specs of pods that are refused in the namespace of a space, each with a part of the refusal: by Pod Security,
/// and by one policy each.
fn refused_pods() -> [(&'static str, Value, &'static str); 3] {
    let container = json!({"name": "main", "image": "app:1", "securityContext": {"privileged": true}});
    [
        ("root", json!({"hostPID": true, "containers": [container]}), "violates PodSecurity"),
        ("first", json!({"priorityClassName": "system-cluster-critical"}), "must not begin with system-"),
        ("undying", json!({"terminationGracePeriodSeconds": 315_360_000}), "must be at most 3600"),
    ]
}

/// Row 1.
async fn a_release_admits_no_refused_pod(world: &World) -> Result<()> {
    let class = json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "allowRetain": true, "podSecurity": {"enforce": "baseline"}});
    world.create_accepted_class("way-out", class).await?;
    world.create_ready_space("alice-exit", spec("way-out", "alice@example.com")).await?;
    let alice = world.actor("alice@example.com").await?;
    for (name, pod, _) in refused_pods() {
        let mut workload = deployment("alice-exit", name, 1);
        merge(&mut workload["spec"]["template"]["spec"], &pod);
        alice.create(&workload).await?;
    }
    let no_pods = || async {
        let pods = world.admin().list("Pod", "alice-exit").await?;
        ensure!(pods.is_empty(), "admitted: {:?}", pods.iter().map(name_of).collect::<Vec<_>>());
        Ok(())
    };
    eventually("the pods to be refused", SOON, || async {
        let sets = world.admin().list("ReplicaSet", "alice-exit").await?;
        for (name, _, reason) in refused_pods() {
            let set = sets.iter().find(|set| set["metadata"]["labels"]["app"] == name);
            let conditions = set.map(|set| set["status"]["conditions"].to_string()).unwrap_or_default();
            ensure!(conditions.contains(reason), "{name}: {conditions}");
        }
        no_pods().await.map(Some)
    })
    .await?;
    alice.patch(a_space("alice-exit"), json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    alice.delete(a_space("alice-exit")).await?;
    world.until_gone(a_space("alice-exit")).await?;
    let released = world.admin().get(a_namespace("alice-exit")).await?;
    ensure_equal(
        "the level",
        &released["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        &json!("baseline"),
    )?;
    ensure_equal("the mark", &released["metadata"]["labels"]["developerspace.dev/released"], &json!("true"))?;
    // The controllers of all three try again at once, and are refused again.
    let again = json!({"spec": {"template": {"metadata": {"annotations": {"again": "1"}}}}});
    for (name, ..) in refused_pods() {
        world.admin().patch(at("Deployment", "alice-exit", name), again.clone()).await?;
    }
    stays("no pod to be admitted", QUIET_PERIOD, no_pods).await
}

/// Row 2.
async fn a_retention_that_the_class_forbids_blocks_the_deletion(world: &World) -> Result<()> {
    world.create_accepted_class("no-way-out", json!({"roles": [{"name": "edit", "clusterRole": "edit"}]})).await?;
    let mut space_spec = spec("no-way-out", "bob@example.com");
    space_spec["deletionPolicy"] = json!("Retain");
    let admin = world.admin();
    admin.create(&space("bob-stays", spec("no-way-out", "bob@example.com"))).await?;
    world.until_ready("bob-stays").await?;
    admin.patch(a_space("bob-stays"), json!({"spec": space_spec})).await?;
    admin.delete(a_space("bob-stays")).await?;
    world
        .until("to wait", a_space("bob-stays"), |space| {
            let ready = condition(space, "Ready");
            let message = text(ready, "/message");
            ensure!(
                ready["reason"] == "Terminating" && message.contains("no-way-out") && message.contains("allowRetain"),
                "{ready}"
            );
            Ok(())
        })
        .await?;
    let kept = admin.get(a_namespace("bob-stays")).await?;
    ensure!(
        kept["status"]["phase"] == "Active"
            && kept["metadata"]["annotations"].get("developerspace.dev/space-uid").is_some(),
        "{kept}"
    );
    admin.patch(a_space("bob-stays"), json!({"spec": {"deletionPolicy": "Delete"}})).await?;
    world.until_gone(a_space("bob-stays")).await?;
    ensure!(admin.find(a_namespace("bob-stays")).await?.is_none(), "the namespace is still there");
    Ok(())
}

/// The namespace as a backup tool restores it: with its labels and annotations, and without the fields that the server
/// sets.
fn restored_namespace(backup: &Value) -> Value {
    let metadata = json!({
        "name": backup["metadata"]["name"], "labels": backup["metadata"]["labels"], "annotations": backup["metadata"]["annotations"],
    });
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

/// Row 24, F01.
async fn a_restored_namespace_of_an_expired_space_is_kept(world: &World) -> Result<()> {
    world
        .create_accepted_class(
            "restore-lab",
            json!({"lifetime": {"defaultTTL": "8s", "maxTTL": "1h", "retainExpired": "1h"}}),
        )
        .await?;
    let admin = world.admin();
    world.create_ready_space("dora-ledger", spec("restore-lab", "dora@example.com")).await?;
    let backup = admin.get(a_namespace("dora-ledger")).await?;
    world.until_gone(a_namespace("dora-ledger")).await?;
    admin.create(&restored_namespace(&backup)).await?;
    admin.create(&config_map("dora-ledger", "books")).await?;
    world
        .until("to say that there is one again", a_space("dora-ledger"), |space| {
            let ready = condition(space, "Ready");
            let message = text(ready, "/message");
            ensure!(
                ready["reason"] == "Expired"
                    && message.contains("does not belong to")
                    && !message.contains("no longer exists"),
                "{ready}"
            );
            Ok(())
        })
        .await?;
    let sweep = tokio::process::Command::new(binaries::own("developerspace-operator")?)
        .arg("gc")
        .env("KUBECONFIG", world.cluster().kubeconfig())
        .output()
        .await?;
    ensure!(sweep.status.success(), "{}", String::from_utf8_lossy(&sweep.stderr));
    let namespace_now = admin.get(a_namespace("dora-ledger")).await?;
    ensure!(namespace_now["status"]["phase"] == "Active", "it is deleted again: {}", namespace_now["status"]);
    admin.get(at("ConfigMap", "dora-ledger", "books")).await?;
    Ok(())
}

/// The same before the end: the record in the status remains, so that the claim of the copy never counts.
async fn a_restored_namespace_of_an_active_space_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    let before = world.create_ready_space("emil-ledger", spec("standard", "emil@example.com")).await?;
    let backup = admin.get(a_namespace("emil-ledger")).await?;
    world.stop_operator().await?;
    admin.delete(a_namespace("emil-ledger")).await?;
    world.until_gone(a_namespace("emil-ledger")).await?;
    let copy = admin.create(&restored_namespace(&backup)).await?;
    world.start_operator().await?;
    let conflict = world.until_not_ready("emil-ledger", "NamespaceConflict").await?;
    ensure_equal("the record", &conflict["status"]["namespace"], &before["status"]["namespace"])?;
    admin.delete(a_space("emil-ledger")).await?;
    world.until_gone(a_space("emil-ledger")).await?;
    let remaining = admin.get(a_namespace("emil-ledger")).await?;
    ensure!(uid_of(&remaining) == uid_of(&copy) && remaining["status"]["phase"] == "Active", "{remaining}");
    Ok(())
}

/// Row 28, F09.
async fn a_finalizer_on_the_namespace_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    world.create_ready_space("liam-held", spec("standard", "liam@example.com")).await?;
    let hold = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    let names_finalizer = |reason: &'static str| {
        move |space: &Value| {
            let ready = condition(space, "Ready");
            ensure!(
                ready["reason"] == reason && text(ready, "/message").contains("controller.example.com/namespace-auth"),
                "{ready}"
            );
            Ok(())
        }
    };
    admin.patch(a_namespace("liam-held"), hold(json!(["controller.example.com/namespace-auth"]))).await?;
    admin.delete(a_namespace("liam-held")).await?;
    world
        .until("to name it while the space lives", a_space("liam-held"), names_finalizer("NamespaceTerminating"))
        .await?;
    admin.delete(a_space("liam-held")).await?;
    world.until("to name it while the space goes", a_space("liam-held"), names_finalizer("Terminating")).await?;
    admin.patch(a_namespace("liam-held"), hold(Value::Null)).await?;
    world.until_gone(a_space("liam-held")).await
}

/// F08.
async fn an_adoption_keeps_the_pod_security_level(world: &World) -> Result<()> {
    let admin = world.admin();
    world
        .create_accepted_class("handover", json!({"ownerRole": "edit", "podSecurity": {"enforce": "baseline"}}))
        .await?;
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.30",
        "app.kubernetes.io/managed-by": "Helm",
    });
    admin
        .create(&namespace(
            "carol-vault",
            labels,
            json!({"developerspace.dev/adopt": "carol-vault/User:carol@example.com"}),
        ))
        .await?;
    admin.create(&space("carol-vault", spec("handover", "carol@example.com"))).await?;
    world.until_ready("carol-vault").await?;
    let level = || async {
        let adopted = admin.get(a_namespace("carol-vault")).await?;
        let labels = &adopted["metadata"]["labels"];
        ensure!(labels["pod-security.kubernetes.io/enforce"] == "restricted", "{labels}");
        ensure!(labels.get("pod-security.kubernetes.io/enforce-version").is_none(), "{labels}");
        Ok(())
    };
    level().await?;
    eventually("the Event to name what was replaced", SOON, || async {
        let events = admin.list("Event", "default").await?;
        let is_reported = events
            .iter()
            .any(|event| event["reason"] == "Adopted" && event.to_string().contains(r#"managed-by was \"Helm\""#));
        ensure!(is_reported, "no Event names the label");
        Ok(Some(()))
    })
    .await?;
    // A change of the space reaches the namespace, and lowers nothing.
    admin.patch(a_space("carol-vault"), json!({"spec": {"displayName": "Vault"}})).await?;
    world.until_ready("carol-vault").await?;
    level().await?;
    let carol = world.actor("carol@example.com").await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": "carol-vault"},
        "spec": {"containers": [{"name": "c", "image": "app:1", "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": true}}]},
    });
    let refused = carol.create(&pod).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains("violates PodSecurity"), "{refused}");
    Ok(())
}

/// The namespace counts against the owner limit, but not against the space of its name.
async fn a_released_namespace_counts_until_it_is_adopted_or_its_marks_are_removed(world: &World) -> Result<()> {
    let admin = world.admin();
    let class =
        json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "allowRetain": true, "maxSpacesPerOwner": 1});
    world.create_accepted_class("one-each", class).await?;
    let space_spec = || spec("one-each", "gina@example.com");
    world.create_ready_space("gina-first", space_spec()).await?;
    release(world, "gina-first").await?;
    admin.create(&space("gina-second", space_spec())).await?;
    world.until_not_ready("gina-second", "OwnerLimitExceeded").await?;
    admin.create(&space("gina-first", space_spec())).await?;
    world.until_not_ready("gina-first", "NamespaceConflict").await?;
    let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": "gina-first/User:gina@example.com"}}});
    admin.patch(a_namespace("gina-first"), offer).await?;
    world.until_ready("gina-first").await?;
    // The marks go after the status has recorded the UID.
    eventually("the marks of the release to be removed", SOON, || async {
        let adopted = admin.get(a_namespace("gina-first")).await?;
        let marks =
            [&adopted["metadata"]["labels"], &adopted["metadata"]["annotations"]].map(Value::to_string).concat();
        ensure!(!marks.contains("developerspace.dev/released"), "{marks}");
        Ok(Some(()))
    })
    .await?;
    world.until_not_ready("gina-second", "OwnerLimitExceeded").await?;
    ensure!(admin.find(a_namespace("gina-second")).await?.is_none(), "a second namespace under a limit of one");
    admin.delete(a_space("gina-first")).await?;
    world.until_ready("gina-second").await?;

    release(world, "gina-second").await?;
    admin.create(&space("gina-third", space_spec())).await?;
    world.until_not_ready("gina-third", "OwnerLimitExceeded").await?;
    let marks = ["released-from", "released-class", "released-owner", "released-at"];
    let annotations: Value = marks.iter().map(|mark| (format!("developerspace.dev/{mark}"), Value::Null)).collect();
    let unmarked = json!({"metadata": {"labels": {"developerspace.dev/released": null}, "annotations": annotations}});
    admin.patch(a_namespace("gina-second"), unmarked).await?;
    world.until_ready("gina-third").await.map(drop)
}

/// Deletes a space whose namespace is retained.
async fn release(world: &World, name: &str) -> Result<()> {
    world.admin().patch(a_space(name), json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    world.admin().delete(a_space(name)).await?;
    world.until_gone(a_space(name)).await?;
    let released = world.admin().get(a_namespace(name)).await?;
    ensure_equal("the mark", &released["metadata"]["labels"]["developerspace.dev/released"], &json!("true"))
}

/// F16: the operator reports the namespace, and the next space of that name gets no access to it.
async fn an_orphaned_namespace_of_an_earlier_space_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    let first = world.create_ready_space("paul-rep", spec("standard", "paul@example.com")).await?;
    world.stop_operator().await?;
    admin.patch(a_space("paul-rep"), json!({"metadata": {"finalizers": null}})).await?;
    admin.delete(a_space("paul-rep")).await?;
    world.until_gone(a_space("paul-rep")).await?;
    world.start_operator().await?;
    // Other scenarios leave orphans too, so the log must name this one.
    eventually("the log and the metric to report it", SOON, || async {
        let (log, metrics) = (world.operator_log().await?, world.operator_metrics().await?);
        let named = |line: &str| line.contains("namespace paul-rep was created for") && line.contains(uid_of(&first));
        ensure!(log.lines().filter(|line| named(line)).count() == 1, "the log does not name it once");
        let count = metrics.lines().find_map(|line| line.strip_prefix("developerspace_orphan_namespaces "));
        ensure!(count.is_some_and(|count| count != "0"), "{metrics}");
        Ok(Some(()))
    })
    .await?;
    admin.create(&space("paul-rep", spec("standard", "quinn@example.com"))).await?;
    let conflict = world.until_not_ready("paul-rep", "NamespaceConflict").await?;
    let message = text(condition(&conflict, "Ready"), "/message").to_owned();
    ensure!(message.contains("left by an earlier DeveloperSpace") && message.contains(uid_of(&first)), "{message}");
    ensure!(!holds(&conflict, "Ready"), "{}", conflict["status"]);
    Ok(())
}
