//! The expiry of a space, from the warning to the removal.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{SubsecRound, TimeDelta};
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{
        LIFETIME_TIMEOUT, World, a_class, a_namespace, a_space, condition, created_at, ensure_equal, expires_at, holds,
        name_of, now, refusal, rfc3339, space, text, user,
    },
};
use serde_json::{Value, json};

use crate::spaces::{create_class_and_space, deletions, print_report, until_deleted_when_due};

pub(crate) async fn an_expiring_space_is_warned_sealed_and_removed(world: &World) -> Result<()> {
    let name = "anna-brief";
    let lifetime = json!({"defaultTTL": "14s", "maxTTL": "1h", "warnBefore": ["8s", "4s"], "retainExpired": "8s"});
    let space = create_class_and_space(world, "brief", lifetime, name, json!({})).await?;
    let due = expires_at(&space)?;
    ensure!(due == created_at(&space)? + TimeDelta::seconds(14), "{}", space["status"]);
    ensure!(!holds(&space, "Expiring") || now() >= due - TimeDelta::seconds(8), "warned early: {}", space["status"]);

    let warned = world.until_status(name, "to be expiring", |space| holds(space, "Expiring")).await?;
    ensure!(now() >= due - TimeDelta::seconds(8), "warned early");
    ensure!(expires_at(&warned)? == due, "the warning moved the end: {}", warned["status"]);
    ensure!(holds(&warned, "Ready"), "a warned space is still ready: {}", warned["status"]);
    for (place, kind) in [("default", "DeveloperSpace"), (name, "Namespace")] {
        eventually(&format!("the warning as an Event in {place}"), Duration::from_secs(6), || async {
            let events = world.admin().list("Event", place).await?;
            let is_reported = events.iter().any(|event| {
                let regarding = &event["regarding"];
                let right_place = kind == "DeveloperSpace" || regarding["namespace"] == name;
                regarding["kind"] == kind
                    && regarding["name"] == name
                    && right_place
                    && event["type"] == "Warning"
                    && text(event, "/reason") == "Expiring"
            });
            ensure!(is_reported, "{} events, none of them the warning", events.len());
            Ok(Some(()))
        })
        .await?;
    }

    let sealed = world.until_status(name, "to be sealed", |space| holds(space, "Expired")).await?;
    ensure!(now() >= due - TimeDelta::milliseconds(250), "sealed early");
    ensure!(expires_at(&sealed)? == due, "sealing moved the end: {}", sealed["status"]);
    let alice = world.actor("alice@example.com").await?;
    let sentence = refusal(alice.patch(a_space(name), json!({"spec": {"renewedAt": rfc3339(now())}})).await)?;
    ensure!(
        sentence.contains("has expired (see status.expiresAt)") && sentence.contains("create a new one"),
        "{sentence}"
    );
    alice.patch(a_space(name), json!({"metadata": {"labels": {"seen": "yes"}}})).await?;
    let deletion = until_deleted_when_due(world, name, due).await?;
    let kept = world
        .until_status(name, "to say that it has expired", |space| condition(space, "Ready")["reason"] == "Expired")
        .await?;
    ensure!(holds(&kept, "Expired") && !holds(&kept, "Ready"), "{}", kept["status"]);
    ensure_sealed_before(world, name, &deletion)?;

    world.until_gone_within(LIFETIME_TIMEOUT, a_space(name)).await?;
    let removal = deletions(world, "developerspaces")?.remove(name).context("nobody deleted the space")?;
    ensure!(
        removal[0].request_received >= due + TimeDelta::seconds(8),
        "it was to be kept until {}: {}",
        due + TimeDelta::seconds(8),
        removal[0].request_received
    );
    Ok(())
}

/// Checks that the seal was written before the deletion, with the version on which the decision was based.
fn ensure_sealed_before(world: &World, name: &str, deletion: &AuditEntry) -> Result<()> {
    let seals = world.cluster().audit().read()?.into_iter().filter(|entry| {
        let conditions =
            entry.request_object.as_ref().and_then(|sent| sent.pointer("/status/conditions")).and_then(Value::as_array);
        let seals = conditions.is_some_and(|all| {
            all.iter().any(|condition| condition["type"] == "Expired" && condition["status"] == "True")
        });
        entry.name == name && entry.subresource == "status" && entry.code < 300 && seals
    });
    let seal = seals.min_by_key(|entry| entry.request_received).context("no seal in the audit log")?;
    ensure!(seal.completed <= deletion.request_received, "deleted before it was sealed");
    let version = seal.request_object.as_ref().and_then(|sent| sent.pointer("/metadata/resourceVersion"));
    ensure!(version.is_some_and(Value::is_string), "sealed without a resourceVersion: {seal:?}");
    let uid = deletion.request_object.as_ref().and_then(|sent| sent.pointer("/preconditions/uid"));
    ensure!(uid.is_some_and(Value::is_string), "deleted without a UID: {deletion:?}");
    Ok(())
}

pub(crate) async fn ttl_never_is_capped_by_the_longest_life(world: &World) -> Result<()> {
    let space = create_class_and_space(
        world,
        "endless",
        json!({"allowNever": true, "maxTTL": "1h"}),
        "doro-endless",
        json!({"ttl": "never"}),
    )
    .await?;
    ensure!(space["status"]["expiresAt"].is_null(), "{}", space["status"]);
    let namespace = world.admin().get(a_namespace("doro-endless")).await?;
    let annotation = &namespace["metadata"]["annotations"]["developerspace.dev/expires-at"];
    ensure!(annotation.is_null(), "expires-at is {annotation}");
    let capped = json!({"allowNever": true, "maxLifetime": "12s"});
    let space =
        create_class_and_space(world, "endless-capped", capped, "doro-capped", json!({"ttl": "forever"})).await?;
    let due = expires_at(&space)?;
    ensure!(due == created_at(&space)? + TimeDelta::seconds(12), "{}", space["status"]);
    until_deleted_when_due(world, "doro-capped", due).await.map(drop)
}

pub(crate) async fn a_short_ttl_is_warned_immediately(world: &World) -> Result<()> {
    let name = "falk-short";
    let space = create_class_and_space(
        world,
        "short",
        json!({"warnBefore": ["2d", "1h"], "retainExpired": "1h"}),
        name,
        json!({"ttl": "9s"}),
    )
    .await?;
    let due = created_at(&space)? + TimeDelta::seconds(9);
    ensure!(expires_at(&space)? == due, "{}", space["status"]);
    let warned = world.until_status(name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires_at(&warned)? == due, "the warning moved the end: {}", warned["status"]);
    until_deleted_when_due(world, name, due).await?;
    let kept = world.admin().get(a_space(name)).await?;
    ensure!(expires_at(&kept)? == due, "{}", kept["status"]);
    Ok(())
}

pub(crate) async fn an_absolute_expiry_time_applies(world: &World) -> Result<()> {
    let due = now().trunc_subsecs(0) + TimeDelta::seconds(15);
    let space = create_class_and_space(
        world,
        "absolute",
        json!({"maxTTL": "1h"}),
        "gerd-absolute",
        json!({"expiresAt": rfc3339(due)}),
    )
    .await?;
    ensure!(expires_at(&space)? == due, "{}", space["status"]);
    until_deleted_when_due(world, "gerd-absolute", due).await?;
    // Capped like a ttl.
    let space = create_class_and_space(
        world,
        "absolute-capped",
        json!({"maxTTL": "1h"}),
        "gerd-capped",
        json!({"expiresAt": "2099-12-01T00:00:00Z"}),
    )
    .await?;
    ensure!(expires_at(&space)? == created_at(&space)? + TimeDelta::seconds(3600), "{}", space["status"]);
    Ok(())
}

pub(crate) async fn a_space_expires_without_its_class(world: &World) -> Result<()> {
    let name = "irma-classless";
    let space = create_class_and_space(world, "vanishing", json!({"defaultTTL": "15s"}), name, json!({})).await?;
    world.admin().delete(a_class("vanishing")).await?;
    let classless = world.until_not_ready(name, "ClassNotFound").await?;
    ensure!(expires_at(&classless)? == expires_at(&space)?, "{}", classless["status"]);
    until_deleted_when_due(world, name, expires_at(&space)?).await.map(drop)
}

pub(crate) async fn three_hundred_spaces_expire_within_a_minute(world: &World) -> Result<()> {
    const COUNT: usize = 300;
    world.create_accepted_class("crowded", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let names: Vec<String> = (0..COUNT).map(|number| format!("crowd-{number:03}")).collect();
    for (number, name) in names.iter().enumerate() {
        let spec = json!({"className": "crowded", "owner": user("luzie@example.com"), "ttl": format!("{}s", 50 + number % 60)});
        world.admin().create(&space(name, spec)).await?;
    }
    eventually("all of them to be over", LIFETIME_TIMEOUT, || async {
        let spaces = world.admin().list("DeveloperSpace", "").await?;
        let over =
            spaces.iter().filter(|space| name_of(space).starts_with("crowd-") && holds(space, "Expired")).count();
        ensure!(over == COUNT, "{over} of {COUNT}");
        Ok(Some(()))
    })
    .await?;
    for name in &names {
        world.until_gone_within(LIFETIME_TIMEOUT, a_namespace(name)).await?;
    }
    let mut delays = vec![];
    let deleted = deletions(world, "namespaces")?;
    for name in &names {
        let space = world.admin().get(a_space(name)).await?;
        ensure_equal(name, &json!(expires_at(&space)?), &json!(created_at(&space)? + ttl(&space)?))?;
        let deletion = deleted.get(name).with_context(|| format!("{name} was not deleted by the operator"))?;
        ensure!(deletion.len() == 1, "{name} was deleted {} times", deletion.len());
        delays.push(deletion[0].request_received - expires_at(&space)?);
    }
    delays.sort_unstable();
    print_report(&histogram(&delays));
    ensure!(delays[0] >= TimeDelta::zero(), "one was deleted {} after its time", delays[0]);
    Ok(())
}

fn ttl(space: &Value) -> Result<TimeDelta> {
    Ok(TimeDelta::seconds(text(space, "/spec/ttl").trim_end_matches('s').parse()?))
}

/// A histogram of the delays of the deletion requests. The promised delay is one second, which a test machine does not
/// always keep.
fn histogram(delays: &[TimeDelta]) -> String {
    let quantile = |percent: usize| delays[(delays.len() - 1) * percent / 100].num_milliseconds();
    let bounds = [25, 50, 100, 250, 500, 1000, i64::MAX];
    let mut text = format!(
        "deletions after their time, in ms: p50 {}, p99 {}, max {}\n",
        quantile(50),
        quantile(99),
        quantile(100)
    );
    let mut from = 0;
    for to in bounds {
        let count = delays.iter().filter(|delay| (from..to).contains(&delay.num_milliseconds())).count();
        let label = if to == i64::MAX { format!("{from} and more") } else { format!("{from} to {to}") };
        let _ = writeln!(text, "{label:>14} {count:>4} {}", "#".repeat(count / 5));
        from = to;
    }
    text
}
