//! A refusal by the cluster becomes a condition and costs the API server a few writes a minute. Continuous changes by
//! an owner cost no more.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use chrono::TimeDelta;
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{
        Actor, SOON, World, a_class, a_namespace, a_space, class, cluster_wide, condition, ensure_equal, refusal,
        run_concurrently, space, text, user,
    },
    scenarios,
    webhook::BrokenWebhook,
};
use serde_json::{Value, json};

/// The delay of an end, in seconds, after which the operator is not ready if it processes the end too late.
const READINESS_LIMIT_SECONDS: f64 = 60.0;

#[tokio::test(flavor = "multi_thread")]
async fn refusals() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_webhook_that_resets_connections_is_reported,
        a_policy_that_refuses_deletions_is_reported,
        a_policy_that_refuses_the_status_of_classes_is_reported,
        continuous_changes_by_an_owner_are_limited,
    ])
    .await
}

/// Every write about these spaces, by space, in the order of time.
fn writes_by_space(written: Vec<AuditEntry>, names: &[String]) -> BTreeMap<String, Vec<AuditEntry>> {
    let mut sorted: BTreeMap<String, Vec<AuditEntry>> = BTreeMap::new();
    for entry in written {
        let of_event =
            entry.request_object.as_ref().map(|event| text(event, "/regarding/name").to_owned()).unwrap_or_default();
        if let Some(name) =
            names.iter().find(|name| **name == entry.namespace || **name == entry.name || **name == of_event)
        {
            sorted.entry(name.clone()).or_default().push(entry);
        }
    }
    sorted
}

/// The number of entries of `written` in the given minute, counted from the first refusal. Created objects other than
/// Events do not count: each is created once, whatever is refused.
fn writes_in_minute(written: &[AuditEntry], minute: i32) -> usize {
    let Some(first) = written.iter().find(|entry| entry.code == 500) else { return 0 };
    let begin = first.request_received + TimeDelta::minutes(1) * minute;
    let is_within = |entry: &&AuditEntry| (begin..begin + TimeDelta::minutes(1)).contains(&entry.request_received);
    written.iter().filter(is_within).filter(|entry| entry.code != 201 || entry.resource == "events").count()
}

async fn a_webhook_that_resets_connections_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    let names: Vec<String> = (1..=5).map(|number| format!("walter-lab-{number}")).collect();
    let webhook = BrokenWebhook::start().await?;
    admin.create(&webhook.configuration("quota-auditor", &["resourcequotas", "rolebindings"], &names)).await?;
    let mut audit = world.cluster().audit_from_now()?;
    for name in &names {
        admin
            .create(&space(name, json!({"className": "standard", "owner": user(&format!("{name}@example.com"))})))
            .await?;
    }
    for name in &names {
        let failed = world.until_not_ready(name, "ApplyFailed").await?;
        let message = text(condition(&failed, "Ready"), "/message");
        ensure!(message.contains("quota-auditor") && message.contains("ResourceQuota developerspace"), "{message}");
    }
    world
        .create_ready_space("wanda-beside", json!({"className": "standard", "owner": user("wanda@example.com")}))
        .await?;
    let mut written = Vec::new();
    let read = std::cell::RefCell::new((&mut audit, &mut written));
    // Attempts are half a minute apart by then, so that an attempt in the third minute marks the end of the second.
    eventually("two minutes of attempts", Duration::from_secs(200), || async {
        let (audit, written) = &mut *read.borrow_mut();
        written.extend(World::writes(audit)?);
        let sorted = writes_by_space(written.clone(), &names);
        ensure!(
            names.iter().all(|name| sorted.get(name).is_some_and(|written| writes_in_minute(written, 2) > 0)),
            "too early"
        );
        Ok(Some(()))
    })
    .await?;
    let sorted = writes_by_space(written, &names);
    for (name, written) in &sorted {
        let minutes = [writes_in_minute(written, 0), writes_in_minute(written, 1)];
        let lines: Vec<String> =
            written.iter().map(|entry| format!("{} {}", entry.request_received, entry.summary())).collect();
        ensure!(minutes[0] <= 6 && minutes[1] <= 3, "{name}: {minutes:?} writes a minute:\n{}", lines.join("\n"));
    }
    admin.delete(cluster_wide("ValidatingWebhookConfiguration", "quota-auditor")).await?;
    for name in &names {
        world.until_ready(name).await?;
    }
    Ok(())
}

/// Changes the space until `is_over`, and at least as often as needed to detect a missing brake. Returns the number of
/// changes.
async fn change_continuously(owner: &Actor, name: &str, is_over: &AtomicBool) -> Result<usize> {
    let mut changes = 0;
    while changes < 300 || !is_over.load(Ordering::Relaxed) {
        owner.patch(a_space(name), json!({"spec": {"displayName": format!("version {changes}")}})).await?;
        changes += 1;
    }
    Ok(changes)
}

async fn continuous_changes_by_an_owner_are_limited(world: &World) -> Result<()> {
    world.create_accepted_class("fleeting", json!({"lifetime": {"defaultTTL": "5s", "maxTTL": "1h"}})).await?;
    world.create_ready_space("flooded-lab", json!({"className": "standard", "owner": user("bob@example.com")})).await?;
    let (bob, is_over, mut audit) =
        (world.actor("bob@example.com").await?, AtomicBool::new(false), world.cluster().audit_from_now()?);
    let others = async {
        world
            .create_ready_space("yara-calm", json!({"className": "standard", "owner": user("yara@example.com")}))
            .await?;
        world
            .create_ready_space("yves-brief", json!({"className": "fleeting", "owner": user("yves@example.com")}))
            .await?;
        world.until_gone(a_namespace("yves-brief")).await?;
        is_over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let (changes, ()) = tokio::try_join!(change_continuously(&bob, "flooded-lab", &is_over), others)?;
    let last = format!("version {}", changes - 1);
    world
        .until("to follow the last change", a_namespace("flooded-lab"), |namespace| {
            let shown = text(namespace, "/metadata/annotations/openshift.io~1display-name");
            ensure!(shown == last, "it shows {shown}");
            Ok(())
        })
        .await?;
    let written = writes_by_space(World::writes(&mut audit)?, &["flooded-lab".to_owned()])
        .remove("flooded-lab")
        .unwrap_or_default();
    let written: Vec<&AuditEntry> = written.iter().filter(|entry| entry.resource != "events").collect();
    let (Some(first), Some(end)) = (written.first(), written.last()) else { bail!("nothing was written") };
    let minutes = usize::try_from((end.request_received - first.request_received).num_minutes())? + 1;
    // A burst of forty, six a minute, and the further writes of the last reconcile.
    let limit = 40 + 6 * minutes + 8;
    ensure!(written.len() <= limit, "{} writes in {minutes} minutes for {changes} changes", written.len());
    ensure!(metric(world, "developerspace_looks_braked_total").await? > 0.0, "no reconcile was put off");
    Ok(())
}

/// The policy of that name, and its binding.
async fn create_policy(world: &World, name: &str, constraints: &Value, expression: &str, message: &str) -> Result<()> {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": [{"expression": expression, "message": message}]},
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    world.admin().create(&policy).await?;
    world.admin().create(&binding).await.map(drop)
}

async fn delete_policy(world: &World, name: &str) -> Result<()> {
    world.admin().delete(cluster_wide("ValidatingAdmissionPolicyBinding", name)).await?;
    world.admin().delete(cluster_wide("ValidatingAdmissionPolicy", name)).await
}

async fn metric(world: &World, name: &str) -> Result<f64> {
    let text = world.operator_metrics().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match line.and_then(|value| value.parse().ok()) {
        Some(value) => Ok(value),
        None => bail!("there is no {name} in\n{text}"),
    }
}

async fn doctor(world: &World, name: &str) -> Result<String> {
    let mut command = tokio::process::Command::new(e2e::binaries::own("kubectl-dspace")?);
    command.args(["doctor", name]).env("KUBECONFIG", world.cluster().kubeconfig());
    Ok(e2e::command::run(command, None).await?.stdout)
}

async fn a_policy_that_refuses_deletions_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    let constraints = json!({
        "objectSelector": {"matchExpressions": [{"key": "developerspace.dev/space", "operator": "In", "values": ["vera-leaves", "viola-ends"]}]},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["namespaces"]}],
    });
    create_policy(world, "volumes-first", &constraints, "false", "its volumes are not backed up").await?;
    let role = json!([{"name": "edit", "clusterRole": "edit"}]);
    world
        .create_accepted_class("brief", json!({"roles": role, "lifetime": {"defaultTTL": "20s", "maxTTL": "1h"}}))
        .await?;
    world
        .create_ready_space("vera-leaves", json!({"className": "standard", "owner": user("vera@example.com")}))
        .await?;
    world.create_ready_space("viola-ends", json!({"className": "brief", "owner": user("viola@example.com")})).await?;
    eventually("the policy to be in force", SOON, || async {
        let dry_run = world.cluster().kubectl(&["delete", "namespace", "vera-leaves", "--dry-run=server"]).await?;
        ensure!(!dry_run.succeeded(), "{}", dry_run.stdout);
        Ok(Some(()))
    })
    .await?;
    admin.delete(a_space("vera-leaves")).await?;
    for (name, reason) in [("vera-leaves", "Terminating"), ("viola-ends", "Expired")] {
        let held = world
            .until("to say what refuses its end", a_space(name), |space| {
                let ready = condition(space, "Ready");
                let message = text(ready, "/message");
                ensure!(ready["status"] == "False" && ready["reason"] == reason, "{ready}");
                ensure!(
                    message.contains("volumes-first") && message.contains("its volumes are not backed up"),
                    "{message}"
                );
                Ok(())
            })
            .await?;
        ensure_equal(name, &held["metadata"]["finalizers"], &json!(["developerspace.dev/namespace"]))?;
        ensure!(admin.get(a_namespace(name)).await?["status"]["phase"] == "Active", "the namespace of {name} goes");
        let findings = doctor(world, name).await?;
        ensure!(findings.contains("volumes-first"), "doctor says of {name}:\n{findings}");
    }
    eventually("the metrics to tell", SOON + SOON, || async {
        let (overdue, failing) = (
            metric(world, "developerspace_expiry_overdue_seconds").await?,
            metric(world, "developerspace_failing_spaces").await?,
        );
        ensure!(overdue > READINESS_LIMIT_SECONDS && failing >= 2.0, "overdue for {overdue} s, {failing} failing");
        Ok(Some(()))
    })
    .await?;
    // An end that the API server refuses does not make the operator unready.
    world.ensure_operator_ready().await?;
    delete_policy(world, "volumes-first").await?;
    world.until_gone(a_space("vera-leaves")).await?;
    world.until_gone(a_namespace("viola-ends")).await?;
    world.ensure_operator_ready().await
}

/// Classes whose names begin with `frozen-` keep their status.
async fn freeze_the_status_of_classes(world: &World) -> Result<()> {
    let rule = json!({
        "apiGroups": ["developerspace.dev"], "apiVersions": ["v1alpha1"], "operations": ["UPDATE"], "resources": ["spaceclasses/status"],
    });
    let expression = "!object.metadata.name.startsWith('frozen-')";
    create_policy(
        world,
        "quiet-week",
        &json!({"resourceRules": [rule]}),
        expression,
        "classes stay unchanged this week",
    )
    .await?;
    eventually("the policy to be in force", SOON, || async {
        let patch = json!({"status": {"observedGeneration": 41}});
        let denied = refusal(world.admin().dry_run().patch_status(a_class("frozen-beds"), patch).await)?;
        ensure!(denied.contains("quiet-week"), "{denied}");
        Ok(Some(()))
    })
    .await
}

async fn a_policy_that_refuses_the_status_of_classes_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    world.create_accepted_class("frozen-beds", json!({"quota": {"hard": {"pods": "7"}}})).await?;
    world
        .create_ready_space("freya-grows", json!({"className": "frozen-beds", "owner": user("freya@example.com")}))
        .await?;
    freeze_the_status_of_classes(world).await?;
    admin.patch(a_class("frozen-beds"), json!({"spec": {"quota": {"hard": {"pods": "9"}}}})).await?;
    admin.create(&class("frozen-meadow", json!({}))).await?;
    admin
        .create(&space("fiona-waits", json!({"className": "frozen-meadow", "owner": user("fiona@example.com")})))
        .await?;
    let waiting = world.until_not_ready("fiona-waits", "ClassNotAccepted").await?;
    let message = text(condition(&waiting, "Ready"), "/message");
    ensure!(
        message.contains("SpaceClass frozen-meadow yet") && message.contains("classes stay unchanged this week"),
        "{message}"
    );
    ensure!(
        admin.find(a_namespace("fiona-waits")).await?.is_none(),
        "the space of a class without a result has a namespace"
    );
    eventually("the Events and the metric to name the classes", SOON, || async {
        let events = admin.list("Event", "default").await?;
        for class in ["frozen-beds", "frozen-meadow"] {
            let is_about =
                |event: &&Value| event["reason"] == "ValidationFailed" && text(event, "/regarding/name") == class;
            let event = events.iter().find(is_about).with_context(|| format!("there is no Event about {class}"))?;
            ensure!(text(event, "/note").contains("quiet-week"), "{event}");
        }
        let failing = metric(world, "developerspace_failing_classes").await?;
        ensure!(failing >= 2.0, "{failing} classes are failing");
        Ok(Some(()))
    })
    .await?;
    for (space, class) in [("fiona-waits", "frozen-meadow"), ("freya-grows", "frozen-beds")] {
        let (findings, finding) =
            (doctor(world, space).await?, format!("not validated the current spec of SpaceClass {class}, so"));
        ensure!(findings.contains(&finding), "doctor about {space}:\n{findings}");
    }
    delete_policy(world, "quiet-week").await?;
    world.until_accepted("frozen-beds").await?;
    world.until_ready("fiona-waits").await.map(drop)
}
