//! Actions of users on spaces and classes in unexpected orders: no space outgrows its class, no renewal is lost, and an administrator's mistake
//! deletes nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use e2e::{
    eventually,
    fixtures::{
        SOON, World, a_namespace, a_space, at, cluster_wide, condition, config_map, holds, is_observed, now, run_concurrently, sleep_until,
        space, time, user,
    },
    scenarios,
};
use serde_json::{Value, json};

/// The longest that a scenario here takes.
const LONG: Duration = Duration::from_secs(240);

const ALICE: &str = "alice@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn people() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        changing_the_ttl_does_not_outlive_the_longest_life,
        moving_into_a_full_class_frees_no_place,
        a_refused_spec_keeps_nobody_in,
        a_fast_clock_loses_no_renewal,
        a_refused_class_goes_on_as_it_was,
        a_deleted_class_still_warns,
        a_lowered_limit_leaves_what_is_there,
        full_hands_move_to_no_smaller_class,
        running_pods_move_to_no_stricter_class,
    ])
    .await?;
    world.ensure_operator_ready().await
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

fn stamp(when: DateTime<Utc>) -> String {
    when.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn expires(space: &Value) -> Result<DateTime<Utc>> {
    time(space, "/status/expiresAt")
}

async fn create_accepted_class(world: &World, class: &str, spec: Value) -> Result<()> {
    let mut whole = json!({"ownerRole": "edit", "roles": [{"name": "edit", "clusterRole": "edit"}]});
    whole.as_object_mut().into_iter().for_each(|whole| whole.extend(spec.as_object().cloned().unwrap_or_default()));
    world.create_accepted_class(class, whole).await.map(drop)
}

async fn create_ready_space(world: &World, class: &str, name: &str, more: Value) -> Result<Value> {
    let mut spec = more;
    spec["className"] = json!(class);
    spec["owner"] = user(ALICE);
    world.create_ready_space(name, spec).await
}

async fn until(world: &World, name: &str, what: &str, probe: impl Fn(&Value) -> bool) -> Result<Value> {
    world
        .until_within(LONG, what, a_space(name), |space| {
            ensure!(probe(space), "its status is {}", space["status"]);
            Ok(())
        })
        .await
}

async fn changing_the_ttl_does_not_outlive_the_longest_life(world: &World) -> Result<()> {
    let name = "undying-lab";
    create_accepted_class(
        world,
        "brief",
        json!({"lifetime": {"maxTTL": "1m", "maxLifetime": "40s", "warnBefore": ["15s"], "retainExpired": "1h"}}),
    )
    .await?;
    let space = create_ready_space(world, "brief", name, json!({"ttl": "35s"})).await?;
    let born = time(&space, "/metadata/creationTimestamp")?;
    let alice = world.actor(ALICE).await?;
    for round in 1..=12 {
        sleep_until(born + seconds(6 * round)).await;
        // Refused once the space is sealed.
        let edited = alice.patch(a_space(name), json!({"spec": {"ttl": format!("{}s", 35 - round)}})).await;
        if edited.is_err() {
            break;
        }
    }
    let sealed = until(world, name, "to be expired", |space| holds(space, "Expired")).await?;
    ensure!(expires(&sealed)? <= born + seconds(40 + 15), "born at {born}: {}", sealed["status"]);
    world.until_gone_within(LONG, a_namespace(name)).await
}

async fn moving_into_a_full_class_frees_no_place(world: &World) -> Result<()> {
    let lifetime = json!({"maxTTL": "1h"});
    create_accepted_class(world, "narrow", json!({"maxSpacesPerOwner": 1, "lifetime": lifetime})).await?;
    create_accepted_class(world, "wider", json!({"maxSpacesPerOwner": 2, "lifetime": lifetime})).await?;
    create_ready_space(world, "narrow", "narrow-one", json!({})).await?;
    for name in ["wider-one", "wider-two"] {
        create_ready_space(world, "wider", name, json!({})).await?;
        world.admin().patch(a_space(name), json!({"spec": {"className": "narrow"}})).await?;
        let moved = world.until_not_ready(name, "OwnerLimitExceeded").await?;
        ensure!(moved["status"]["className"] == "wider", "{}", moved["status"]);
    }
    let third = json!({"className": "wider", "owner": user(ALICE)});
    world.admin().create(&space("wider-three", third)).await?;
    world.until_not_ready("wider-three", "OwnerLimitExceeded").await?;
    ensure!(world.admin().find(a_namespace("wider-three")).await?.is_none(), "a third namespace under a limit of two");
    world.admin().delete(a_space("wider-one")).await?;
    world.until_ready("wider-three").await.map(drop)
}

async fn a_refused_spec_keeps_nobody_in(world: &World) -> Result<()> {
    let name = "poisoned-lab";
    create_accepted_class(world, "shared", json!({"lifetime": {"maxTTL": "1h"}})).await?;
    let members = json!([{"kind": "User", "name": "mallory@example.com", "role": "edit"}]);
    create_ready_space(world, "shared", name, json!({"members": members})).await?;
    let poison = json!({"spec": {"renewedAt": "2099-01-01T00:00:00Z"}});
    world.actor(ALICE).await?.patch(a_space(name), poison).await?;
    world.until_not_ready(name, "InvalidSpec").await?;
    let eviction = json!({"spec": {"owner": {"name": "carol@example.com"}, "members": []}});
    world.admin().patch(a_space(name), eviction).await?;
    let binding = at("RoleBinding", name, "developerspace-owner");
    world.until_gone_within(LONG, binding).await?;
    let members = at("RoleBinding", name, "developerspace-edit");
    world.until_gone_within(LONG, members).await
}

async fn a_fast_clock_loses_no_renewal(world: &World) -> Result<()> {
    let name = "hasty-lab";
    create_accepted_class(world, "unwarned", json!({"lifetime": {"defaultTTL": "20s", "maxTTL": "1h"}})).await?;
    let space = create_ready_space(world, "unwarned", name, json!({})).await?;
    let first_end = expires(&space)?;
    let alice = world.actor(ALICE).await?;
    sleep_until(first_end - seconds(8)).await;
    let first = now().trunc_subsecs(0);
    alice.patch(a_space(name), json!({"spec": {"renewedAt": stamp(first)}})).await?;
    until(world, name, "to be renewed", |space| space["status"]["renewals"] == 1).await?;
    sleep_until(first_end + seconds(2)).await;
    let ahead = now().trunc_subsecs(0) + seconds(40);
    alice.patch(a_space(name), json!({"spec": {"renewedAt": stamp(ahead)}})).await?;
    let renewed = until(world, name, "to be renewed again", |space| space["status"]["renewals"] == 2).await?;
    ensure!(!holds(&renewed, "Expired") && expires(&renewed)? == ahead + seconds(20), "{}", renewed["status"]);
    // A change that removes the field, or sets an older time, keeps the last renewal.
    for renewed_at in [json!(stamp(first)), Value::Null] {
        alice.patch(a_space(name), json!({"spec": {"renewedAt": renewed_at}})).await?;
        let kept = until(world, name, "to be observed", is_observed).await?;
        ensure!(expires(&kept)? == ahead + seconds(20), "with {renewed_at}: {}", kept["status"]);
    }
    Ok(())
}

async fn a_refused_class_goes_on_as_it_was(world: &World) -> Result<()> {
    let (class, name) = ("mistyped", "calm-lab");
    create_accepted_class(world, class, json!({"lifetime": {"defaultTTL": "1h", "maxTTL": "2h"}})).await?;
    let space = create_ready_space(world, class, name, json!({})).await?;
    world.admin().patch(cluster_wide("SpaceClass", class), json!({"spec": {"lifetime": {"maxTTL": "2s"}}})).await?;
    world
        .until("to be refused", cluster_wide("SpaceClass", class), |class| {
            ensure!(condition(class, "Accepted")["reason"] == "InvalidSpec", "its status is {}", class["status"]);
            ensure!(class["status"]["accepted"]["lifetime"]["maxTTL"] == "2h", "its status is {}", class["status"]);
            Ok(())
        })
        .await?;
    create_ready_space(world, class, "newer-lab", json!({})).await?;
    let stays = world.until_ready(name).await?;
    ensure!(expires(&stays)? == expires(&space)?, "{}", stays["status"]);
    Ok(())
}

async fn a_deleted_class_still_warns(world: &World) -> Result<()> {
    let (class, name) = ("short-lived", "orphaned-lab");
    create_accepted_class(world, class, json!({"lifetime": {"defaultTTL": "40s", "warnBefore": ["12s"], "retainExpired": "1h"}})).await?;
    let space = create_ready_space(world, class, name, json!({})).await?;
    world.admin().delete(cluster_wide("SpaceClass", class)).await?;
    world.until_not_ready(name, "ClassNotFound").await?;
    let warned = until(world, name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires(&warned)? == expires(&space)?, "{}", warned["status"]);
    until(world, name, "to be expired", |space| holds(space, "Expired")).await.map(drop)
}

async fn a_lowered_limit_leaves_what_is_there(world: &World) -> Result<()> {
    let class = "shrinking";
    create_accepted_class(world, class, json!({"maxSpacesPerOwner": 3, "lifetime": {"maxTTL": "1h"}})).await?;
    for name in ["shrunk-one", "shrunk-two", "shrunk-three"] {
        create_ready_space(world, class, name, json!({})).await?;
    }
    world.admin().patch(cluster_wide("SpaceClass", class), json!({"spec": {"maxSpacesPerOwner": 1}})).await?;
    // The youngest space is still maintained: a change of it is carried out.
    world.admin().patch(a_space("shrunk-three"), json!({"spec": {"displayName": "Shrunk"}})).await?;
    world
        .until("to have the new name", a_namespace("shrunk-three"), |namespace| {
            ensure!(namespace["metadata"]["annotations"]["openshift.io/display-name"] == "Shrunk", "{}", namespace["metadata"]);
            Ok(())
        })
        .await?;
    world.until_ready("shrunk-three").await.map(drop)
}

/// Pod Security checks pods when they are created, and a move creates none.
async fn running_pods_move_to_no_stricter_class(world: &World) -> Result<()> {
    let name = "welders-lab";
    for (class, level) in [("workshop", "privileged"), ("salon", "baseline")] {
        create_accepted_class(world, class, json!({"podSecurity": {"enforce": level}})).await?;
    }
    create_ready_space(world, "workshop", name, json!({})).await?;
    let alice = world.actor(ALICE).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "torch", "namespace": name},
        "spec": {"containers": [{"name": "main", "image": "app:1", "securityContext": {"privileged": true}}]},
    });
    eventually("the ServiceAccount that pods need", SOON, || async { alice.create(&pod).await.map(Some) }).await?;
    alice.patch(a_space(name), json!({"spec": {"className": "salon"}})).await?;
    let refused = world.until_not_ready(name, "InvalidSpec").await?;
    let said = condition(&refused, "Ready")["message"].as_str().unwrap_or_default();
    ensure!(said.contains("torch") && said.contains("Pod Security level baseline of class salon"), "{said}");
    ensure!(refused["status"]["className"] == "workshop", "its status is {}", refused["status"]);
    let labels = world.admin().get(a_namespace(name)).await?["metadata"]["labels"].clone();
    ensure!(labels["pod-security.kubernetes.io/enforce"] == "privileged", "its labels are {labels}");
    alice.delete(at("Pod", name, "torch")).await?;
    until(world, name, "to comply and to be moved", |space| space["status"]["className"] == "salon" && holds(space, "Ready"))
        .await
        .map(drop)
}

/// A space that is filled under one class and moved to a smaller one would keep its objects, and free its place under the owner limit to be filled
/// once more.
async fn full_hands_move_to_no_smaller_class(world: &World) -> Result<()> {
    let name = "hoarders-lab";
    for (class, config_maps) in [("roomy", "20"), ("cramped", "2")] {
        create_accepted_class(world, class, json!({"quota": {"hard": {"count/configmaps": config_maps}}})).await?;
    }
    create_ready_space(world, "roomy", name, json!({})).await?;
    let alice = world.actor(ALICE).await?;
    for number in 1..=3 {
        alice.create(&config_map(name, &format!("hoard-{number}"))).await?;
    }
    let counts = |quota: &Value| {
        // The ConfigMap with the cluster's certificate authority may be counted too.
        ensure!(["3", "4"].iter().any(|used| quota["status"]["used"]["count/configmaps"] == *used), "its status is {}", quota["status"]);
        Ok(())
    };
    world.until("to count", at("ResourceQuota", name, "developerspace"), counts).await?;
    alice.patch(a_space(name), json!({"spec": {"className": "cramped"}})).await?;
    let refused = world.until_not_ready(name, "QuotaExceedsClass").await?;
    let said = condition(&refused, "Ready")["message"].as_str().unwrap_or_default();
    ensure!(
        said.contains("(count/configmaps ") && said.contains(" of 2)") && refused["status"]["className"] == "roomy",
        "its status is {}",
        refused["status"]
    );
    for number in 1..=2 {
        alice.delete(at("ConfigMap", name, &format!("hoard-{number}"))).await?;
    }
    until(world, name, "to fit and to be moved", |space| space["status"]["className"] == "cramped" && holds(space, "Ready")).await.map(drop)
}
