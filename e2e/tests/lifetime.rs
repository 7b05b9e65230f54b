//! No space expires early or without a warning, and a renewal that the API server accepted is never lost.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{
        SOON, World, a_class, a_namespace, a_space, condition, ensure_equal, holds, is_observed, name_of, now, refusal, run_concurrently,
        sleep_until, space, text, time, uid_of, user,
    },
    operator, scenarios,
};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};

/// The longest time that any scenario here waits: a lifetime of about a minute, and the guaranteed time of liveness.
const LONG: Duration = Duration::from_secs(240);

/// The notice of an end that a change brings nearer.
const LEAST_NOTICE: TimeDelta = TimeDelta::minutes(5);

#[tokio::test(flavor = "multi_thread")]
async fn lifetime() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_life_from_warning_to_removal,
        a_renewal_rearms_the_warnings,
        a_renewal_in_the_future_waits_for_its_time,
        never_is_for_ever_up_to_the_classs_ceiling,
        a_lifted_protection_is_warned_of_first,
        a_short_ttl_is_warned_at_once_and_ends_in_time,
        an_absolute_end,
        renewals_are_capped_by_the_longest_life,
        the_clock_goes_on_without_the_class,
        a_tightened_class_gives_notice,
    ])
    .await?;
    // Hundreds of creations at once would delay the scenarios above, whose lifetimes are a few seconds.
    run_concurrently(scenarios![&world; renewals_at_the_last_moment, three_hundred_ends_within_a_minute]).await?;
    world.ensure_operator_ready().await
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// Creates a class that has only one role and a lifetime, and one space of it, and waits until the space is ready.
async fn one(world: &World, class: &str, lifetime: Value, name: &str, spec: Value) -> Result<Value> {
    world.create_accepted_class(class, json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "lifetime": lifetime})).await?;
    let mut spec = spec;
    spec["className"] = json!(class);
    spec["owner"] = user("alice@example.com");
    world.create_ready_space(name, spec).await
}

async fn until_status(world: &World, name: &str, what: &str, probe: impl Fn(&Value) -> bool) -> Result<Value> {
    world
        .until_within(LONG, what, a_space(name), |space| {
            ensure!(probe(space), "its status is {}", space["status"]);
            Ok(())
        })
        .await
}

fn expires(space: &Value) -> Result<DateTime<Utc>> {
    time(space, "/status/expiresAt")
}

fn created(space: &Value) -> Result<DateTime<Utc>> {
    time(space, "/metadata/creationTimestamp")
}

/// The deletions of the resource that the operator requested and that were granted, by name.
fn deletions(world: &World, resource: &str) -> Result<BTreeMap<String, Vec<AuditEntry>>> {
    let mut found: BTreeMap<String, Vec<AuditEntry>> = BTreeMap::new();
    for entry in world.cluster().audit().read()? {
        if entry.user == operator::USER && entry.verb == "delete" && entry.resource == resource && entry.code < 300 {
            found.entry(entry.name.clone()).or_default().push(entry);
        }
    }
    Ok(found)
}

/// Waits until the namespace no longer exists, and checks that its deletion was requested once, and not before `due`.
async fn ends(world: &World, name: &str, due: DateTime<Utc>) -> Result<AuditEntry> {
    world.until_gone_within(LONG, a_namespace(name)).await?;
    let deletion = eventually(&format!("the deletion of {name} in the audit log"), SOON, || async {
        Ok(deletions(world, "namespaces")?.remove(name))
    })
    .await?;
    ensure!(deletion.len() == 1, "{name} was deleted {} times", deletion.len());
    let late = deletion[0].request_received - due;
    ensure!(late >= TimeDelta::zero(), "{name} was deleted {late} after its time");
    Ok(deletion[0].clone())
}

async fn a_life_from_warning_to_removal(world: &World) -> Result<()> {
    let name = "anna-brief";
    let lifetime = json!({"defaultTTL": "14s", "maxTTL": "1h", "warnBefore": ["8s", "4s"], "retainExpired": "8s"});
    let space = one(world, "brief", lifetime, name, json!({})).await?;
    let due = expires(&space)?;
    ensure!(due == created(&space)? + seconds(14), "{}", space["status"]);
    ensure!(!holds(&space, "Expiring") || now() >= due - seconds(8), "warned early: {}", space["status"]);

    let warned = until_status(world, name, "to be expiring", |space| holds(space, "Expiring")).await?;
    ensure!(now() >= due - seconds(8), "warned early");
    ensure!(expires(&warned)? == due, "the warning moved the end: {}", warned["status"]);
    ensure!(holds(&warned, "Ready"), "a warned space is still ready: {}", warned["status"]);
    for (place, kind) in [("default", "DeveloperSpace"), (name, "Namespace")] {
        eventually(&format!("the warning as an Event in {place}"), Duration::from_secs(6), || async {
            let events = world.admin().list("Event", place).await?;
            let told = events.iter().any(|event| {
                let regarding = &event["regarding"];
                let right_place = kind == "DeveloperSpace" || regarding["namespace"] == name;
                regarding["kind"] == kind
                    && regarding["name"] == name
                    && right_place
                    && event["type"] == "Warning"
                    && text(event, "/reason") == "Expiring"
            });
            ensure!(told, "{} events, none of them the warning", events.len());
            Ok(Some(()))
        })
        .await?;
    }

    let sealed = until_status(world, name, "to be sealed", |space| holds(space, "Expired")).await?;
    ensure!(now() >= due - TimeDelta::milliseconds(250), "sealed early");
    ensure!(expires(&sealed)? == due, "sealing moved the end: {}", sealed["status"]);
    let alice = world.actor("alice@example.com").await?;
    let sentence = refusal(alice.patch(a_space(name), json!({"spec": {"renewedAt": stamp(now())}})).await)?;
    ensure!(sentence.contains("has expired (see status.expiresAt)") && sentence.contains("create a new one"), "{sentence}");
    alice.patch(a_space(name), json!({"metadata": {"labels": {"seen": "yes"}}})).await?;
    let deletion = ends(world, name, due).await?;
    let kept = until_status(world, name, "to say that it has expired", |space| condition(space, "Ready")["reason"] == "Expired").await?;
    ensure!(holds(&kept, "Expired") && !holds(&kept, "Ready"), "{}", kept["status"]);
    sealed_before(world, name, &deletion)?;

    world.until_gone_within(LONG, a_space(name)).await?;
    let removal = deletions(world, "developerspaces")?.remove(name).context("nobody deleted the space")?;
    ensure!(
        removal[0].request_received >= due + seconds(8),
        "it was to be kept until {}: {}",
        due + seconds(8),
        removal[0].request_received
    );
    Ok(())
}

/// Checks that the seal was written before the deletion, with the version on which the decision was based.
fn sealed_before(world: &World, name: &str, deletion: &AuditEntry) -> Result<()> {
    let seals = world.cluster().audit().read()?.into_iter().filter(|entry| {
        let conditions = entry.request_object.as_ref().and_then(|sent| sent.pointer("/status/conditions")).and_then(Value::as_array);
        let seals = conditions.is_some_and(|all| all.iter().any(|said| said["type"] == "Expired" && said["status"] == "True"));
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

/// A time as users write it: whole seconds, and never in the future.
fn stamp(when: DateTime<Utc>) -> String {
    when.trunc_subsecs(0).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

async fn renew(world: &World, name: &str, more: Value) -> Result<DateTime<Utc>> {
    let at = now().trunc_subsecs(0);
    let mut spec = more;
    spec["renewedAt"] = json!(stamp(at));
    world.actor("alice@example.com").await?.patch(a_space(name), json!({"spec": spec})).await?;
    Ok(at)
}

async fn a_renewal_rearms_the_warnings(world: &World) -> Result<()> {
    let name = "boris-renewed";
    let lifetime = json!({"defaultTTL": "14s", "maxTTL": "1h", "warnBefore": ["7s"]});
    one(world, "renewed", lifetime, name, json!({})).await?;
    for round in 1..=2 {
        until_status(world, name, "to be expiring", |space| holds(space, "Expiring")).await?;
        let at = renew(world, name, json!({})).await?;
        let renewed =
            until_status(world, name, "to be renewed", |space| !holds(space, "Expiring") && space["status"]["renewals"] == round).await?;
        ensure!(expires(&renewed)? == at + seconds(14), "renewed at {at}: {}", renewed["status"]);
    }
    until_status(world, name, "to be expiring", |space| holds(space, "Expiring")).await?;
    let at = renew(world, name, json!({"ttl": "1h"})).await?;
    let renewed = until_status(world, name, "to be renewed", |space| space["status"]["renewals"] == 3).await?;
    ensure!(expires(&renewed)? == at + seconds(3600), "{}", renewed["status"]);
    let wanted = text(&renewed, "/status/expiresAt").to_owned();
    world
        .until("to carry the new end", a_namespace(name), |namespace| {
            let written = text(namespace, "/metadata/annotations/developerspace.dev~1expires-at");
            ensure!(written == wanted, "it says {written}");
            Ok(())
        })
        .await?;
    Ok(())
}

async fn a_renewal_in_the_future_waits_for_its_time(world: &World) -> Result<()> {
    let name = "conny-future";
    let space = one(world, "future", json!({"defaultTTL": "1h"}), name, json!({})).await?;
    // A renewal up to a minute ahead of the operator's clock counts at once. This one is further ahead, and counts once it is within that minute.
    let at = now().trunc_subsecs(0) + seconds(75);
    world.admin().patch(a_space(name), json!({"spec": {"renewedAt": stamp(at)}})).await?;
    let refused = world.until_not_ready(name, "InvalidSpec").await?;
    ensure!(expires(&refused)? == expires(&space)?, "it counts before its time: {}", refused["status"]);
    let counted = until_status(world, name, "to count the renewal", |space| space["status"]["renewals"] == 1).await?;
    ensure!(now() >= at - seconds(61), "it counted before its time");
    ensure!(expires(&counted)? == at + seconds(3600), "{}", counted["status"]);
    world.until_ready(name).await.map(drop)
}

async fn never_is_for_ever_up_to_the_classs_ceiling(world: &World) -> Result<()> {
    let space = one(world, "endless", json!({"allowNever": true, "maxTTL": "1h"}), "doro-endless", json!({"ttl": "never"})).await?;
    ensure!(space["status"]["expiresAt"].is_null(), "{}", space["status"]);
    let namespace = world.admin().get(a_namespace("doro-endless")).await?;
    let annotation = &namespace["metadata"]["annotations"]["developerspace.dev/expires-at"];
    ensure!(annotation.is_null(), "expires-at is {annotation}");
    let capped = json!({"allowNever": true, "maxLifetime": "12s"});
    let space = one(world, "endless-capped", capped, "doro-capped", json!({"ttl": "forever"})).await?;
    let due = expires(&space)?;
    ensure!(due == created(&space)? + seconds(12), "{}", space["status"]);
    ends(world, "doro-capped", due).await.map(drop)
}

async fn a_lifted_protection_is_warned_of_first(world: &World) -> Result<()> {
    let name = "edda-protected";
    let lifetime = json!({"maxTTL": "1h", "allowProtected": true, "warnBefore": ["1m", "5s"]});
    let space = one(world, "protecting", lifetime, name, json!({"ttl": "4s", "protected": true})).await?;
    ensure!(space["status"]["expiresAt"].is_null(), "a protected space expires: {}", space["status"]);
    // A warning within 10 s of its threshold, which here is the creation, would count as given in time.
    sleep_until(created(&space)? + seconds(13)).await;
    let space = world.until_ready(name).await?;
    ensure!(!holds(&space, "Expired") && !holds(&space, "Expiring"), "{}", space["status"]);
    let lifted = now().trunc_subsecs(0);
    world.admin().patch(a_space(name), json!({"spec": {"protected": false}})).await?;
    let warned = until_status(world, name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires(&warned)? >= lifted + LEAST_NOTICE, "lifted at {lifted}: {}", warned["status"]);
    Ok(())
}

async fn a_short_ttl_is_warned_at_once_and_ends_in_time(world: &World) -> Result<()> {
    let name = "falk-short";
    let space = one(world, "short", json!({"warnBefore": ["2d", "1h"], "retainExpired": "1h"}), name, json!({"ttl": "9s"})).await?;
    let due = created(&space)? + seconds(9);
    ensure!(expires(&space)? == due, "{}", space["status"]);
    let warned = until_status(world, name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires(&warned)? == due, "the warning moved the end: {}", warned["status"]);
    ends(world, name, due).await?;
    let kept = world.admin().get(a_space(name)).await?;
    ensure!(expires(&kept)? == due, "{}", kept["status"]);
    Ok(())
}

async fn an_absolute_end(world: &World) -> Result<()> {
    let due = now().trunc_subsecs(0) + seconds(15);
    let space = one(world, "absolute", json!({"maxTTL": "1h"}), "gerd-absolute", json!({"expiresAt": stamp(due)})).await?;
    ensure!(expires(&space)? == due, "{}", space["status"]);
    ends(world, "gerd-absolute", due).await?;
    // Capped like a ttl.
    let space = one(world, "absolute-capped", json!({"maxTTL": "1h"}), "gerd-capped", json!({"expiresAt": "2099-12-01T00:00:00Z"})).await?;
    ensure!(expires(&space)? == created(&space)? + seconds(3600), "{}", space["status"]);
    Ok(())
}

async fn renewals_are_capped_by_the_longest_life(world: &World) -> Result<()> {
    let name = "heidi-capped";
    let space = one(world, "capped", json!({"defaultTTL": "30s", "maxLifetime": "40s"}), name, json!({})).await?;
    let born = created(&space)?;
    sleep_until(born + seconds(3)).await;
    let at = renew(world, name, json!({})).await?;
    let renewed = until_status(world, name, "to be renewed", |space| space["status"]["renewals"] == 1).await?;
    ensure!(expires(&renewed)? == (at + seconds(30)).min(born + seconds(40)), "{}", renewed["status"]);
    sleep_until(born + seconds(15)).await;
    renew(world, name, json!({})).await?;
    let renewed = until_status(world, name, "to be renewed again", |space| space["status"]["renewals"] == 2).await?;
    ensure!(expires(&renewed)? == born + seconds(40), "{}", renewed["status"]);
    ends(world, name, born + seconds(40)).await.map(drop)
}

async fn the_clock_goes_on_without_the_class(world: &World) -> Result<()> {
    let name = "irma-classless";
    let space = one(world, "vanishing", json!({"defaultTTL": "15s"}), name, json!({})).await?;
    world.admin().delete(a_class("vanishing")).await?;
    let classless = world.until_not_ready(name, "ClassNotFound").await?;
    ensure!(expires(&classless)? == expires(&space)?, "{}", classless["status"]);
    ends(world, name, expires(&space)?).await.map(drop)
}

async fn a_tightened_class_gives_notice(world: &World) -> Result<()> {
    let name = "jupp-tightened";
    let lifetime = json!({"maxTTL": "1h", "warnBefore": ["10m", "6s"]});
    let space = one(world, "tightened", lifetime, name, json!({"ttl": "50m"})).await?;
    // As above: later than 10 s after the threshold that results from the new ceiling.
    sleep_until(created(&space)? + seconds(13)).await;
    let tightened = now().trunc_subsecs(0);
    let patch = json!({"spec": {"lifetime": {"maxTTL": "1s"}}});
    world.admin().patch(a_class("tightened"), patch).await?;
    let refused = world.until("to be invalid and warned", a_space(name), |space| {
        let ready = condition(space, "Ready");
        ensure!(ready["reason"] == "InvalidSpec" && holds(space, "Expiring"), "its status is {}", space["status"]);
        Ok(())
    });
    let due = expires(&refused.await?)?;
    // Under the new ceiling the space would have expired long ago.
    ensure!(due >= tightened + LEAST_NOTICE, "tightened at {tightened}, due {due}");
    Ok(())
}

/// Sends renewals within 50 ms of the expiry: each is refused, or it counts.
async fn renewals_at_the_last_moment(world: &World) -> Result<()> {
    const COUNT: i64 = 100;
    world.create_accepted_class("racing", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let make = async |number: i64| {
        let name = format!("race-{number:03}");
        let spec = json!({"className": "racing", "owner": user("kuno@example.com"), "ttl": format!("{}s", 25 + number % 10)});
        world.admin().create(&space(&name, spec)).await?;
        world.until_ready(&name).await
    };
    let spaces = try_join_all((0..COUNT).map(make)).await?;
    let alice = world.actor("alice@example.com").await?;
    let shots = spaces.iter().zip(0..).map(|(space, number): (&Value, i64)| {
        let alice = &alice;
        async move {
            // Spread evenly from 50 ms before to 50 ms after.
            sleep_until(expires(space)? + TimeDelta::milliseconds(number * 37 % 101 - 50)).await;
            let spec = json!({"spec": {"ttl": "1h", "renewedAt": stamp(now())}});
            Ok::<_, anyhow::Error>(match alice.patch(a_space(name_of(space)), spec).await {
                Ok(_) => true,
                refused => {
                    let sentence = refusal(refused)?;
                    ensure!(sentence.contains("has expired"), "{sentence}");
                    false
                }
            })
        }
    });
    let accepted = try_join_all(shots).await?;
    let judged = spaces.iter().zip(&accepted).map(|(space, &accepted)| outcome(world, space, accepted));
    let lost: Vec<String> = join_all(judged).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    let in_time = accepted.iter().filter(|&&accepted| accepted).count();
    report(&format!("renewals at the last moment: {in_time} accepted, {} refused, {} lost", accepted.len() - in_time, lost.len()));
    ensure!(lost.is_empty(), "{}", lost.join("\n"));
    Ok(())
}

/// Checks that a refused renewal ends with the namespace deleted, and an accepted one with the same namespace active.
async fn outcome(world: &World, space: &Value, accepted: bool) -> Result<()> {
    let name = name_of(space);
    if !accepted {
        return world.until_gone_within(LONG, a_namespace(name)).await;
    }
    let renewed =
        until_status(world, name, "to count the accepted renewal", |space| space["status"]["renewals"] == 1 && is_observed(space)).await?;
    ensure!(holds(&renewed, "Ready") && !holds(&renewed, "Expired"), "{name}: {}", renewed["status"]);
    // By this time, a deletion that was already under way at the renewal would have taken effect.
    sleep_until(expires(space)? + seconds(15)).await;
    let namespace = world.admin().get(a_namespace(name)).await.with_context(|| format!("the renewal of {name} was lost"))?;
    ensure!(uid_of(&namespace) == text(space, "/status/namespace/uid"), "{name} was replaced");
    ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    Ok(())
}

async fn three_hundred_ends_within_a_minute(world: &World) -> Result<()> {
    const COUNT: usize = 300;
    world.create_accepted_class("crowded", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let names: Vec<String> = (0..COUNT).map(|number| format!("crowd-{number:03}")).collect();
    for (number, name) in names.iter().enumerate() {
        let spec = json!({"className": "crowded", "owner": user("luzie@example.com"), "ttl": format!("{}s", 50 + number % 60)});
        world.admin().create(&space(name, spec)).await?;
    }
    eventually("all of them to be over", LONG, || async {
        let spaces = world.admin().list("DeveloperSpace", "").await?;
        let over = spaces.iter().filter(|space| name_of(space).starts_with("crowd-") && holds(space, "Expired")).count();
        ensure!(over == COUNT, "{over} of {COUNT}");
        Ok(Some(()))
    })
    .await?;
    for name in &names {
        world.until_gone_within(LONG, a_namespace(name)).await?;
    }
    let mut lateness = vec![];
    let deleted = deletions(world, "namespaces")?;
    for name in &names {
        let space = world.admin().get(a_space(name)).await?;
        ensure_equal(name, &json!(expires(&space)?), &json!(created(&space)? + ttl(&space)?))?;
        let deletion = deleted.get(name).with_context(|| format!("{name} was not deleted by the operator"))?;
        ensure!(deletion.len() == 1, "{name} was deleted {} times", deletion.len());
        lateness.push(deletion[0].request_received - expires(&space)?);
    }
    lateness.sort_unstable();
    report(&histogram(&lateness));
    ensure!(lateness[0] >= TimeDelta::zero(), "one was deleted {} after its time", lateness[0]);
    Ok(())
}

fn ttl(space: &Value) -> Result<TimeDelta> {
    Ok(seconds(text(space, "/spec/ttl").trim_end_matches('s').parse()?))
}

/// A histogram of the delays of the deletion requests. The promised delay is one second, which a test machine does not always keep.
fn histogram(lateness: &[TimeDelta]) -> String {
    let quantile = |percent: usize| lateness[(lateness.len() - 1) * percent / 100].num_milliseconds();
    let bounds = [25, 50, 100, 250, 500, 1000, i64::MAX];
    let mut text = format!("deletions after their time, in ms: p50 {}, p99 {}, max {}\n", quantile(50), quantile(99), quantile(100));
    let mut from = 0;
    for to in bounds {
        let count = lateness.iter().filter(|late| (from..to).contains(&late.num_milliseconds())).count();
        let label = if to == i64::MAX { format!("{from} and more") } else { format!("{from} to {to}") };
        let _ = writeln!(text, "{label:>14} {count:>4} {}", "#".repeat(count / 5));
        from = to;
    }
    text
}

#[allow(clippy::print_stderr, reason = "a measurement for whoever runs the test with --nocapture")]
fn report(text: &str) {
    eprintln!("{text}");
}
