//! Actions of users on spaces and classes in unexpected orders: no space outgrows its class, no renewal is lost, and an
//! administrator's mistake deletes nothing.

use anyhow::{Result, ensure};
use chrono::{SubsecRound, TimeDelta};
use e2e::{
    eventually,
    fixtures::{
        LIFETIME_TIMEOUT, SOON, World, a_class, a_namespace, a_space, at, condition, config_map, created_at,
        expires_at, holds, is_observed, now, pod, rfc3339, run_concurrently, sleep_until, space, user,
    },
    scenarios,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn people() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        changing_the_ttl_does_not_exceed_the_longest_life,
        moving_into_a_full_class_frees_no_place,
        a_refused_spec_revokes_access,
        a_fast_clock_loses_no_renewal,
        a_refused_class_change_keeps_the_accepted_spec,
        a_space_of_a_deleted_class_is_warned,
        a_lowered_owner_limit_keeps_existing_spaces,
        a_space_over_the_quota_cannot_move_to_a_smaller_class,
        a_space_with_violating_pods_cannot_move_to_a_stricter_class,
    ])
    .await?;
    world.ensure_operator_ready().await
}

async fn create_class(world: &World, class: &str, spec: Value) -> Result<()> {
    let mut class_spec = json!({"ownerRole": "edit", "roles": [{"name": "edit", "clusterRole": "edit"}]});
    class_spec
        .as_object_mut()
        .into_iter()
        .for_each(|class_spec| class_spec.extend(spec.as_object().cloned().unwrap_or_default()));
    world.create_accepted_class(class, class_spec).await.map(drop)
}

async fn create_space(world: &World, class: &str, name: &str, more: Value) -> Result<Value> {
    let mut spec = more;
    spec["className"] = json!(class);
    spec["owner"] = user(ALICE);
    world.create_ready_space(name, spec).await
}

async fn changing_the_ttl_does_not_exceed_the_longest_life(world: &World) -> Result<()> {
    let name = "undying-lab";
    create_class(
        world,
        "brief",
        json!({"lifetime": {"maxTTL": "1m", "maxLifetime": "40s", "warnBefore": ["15s"], "retainExpired": "1h"}}),
    )
    .await?;
    let space = create_space(world, "brief", name, json!({"ttl": "35s"})).await?;
    let born = created_at(&space)?;
    let alice = world.actor(ALICE).await?;
    for round in 1..=12 {
        sleep_until(born + TimeDelta::seconds(6 * round)).await;
        // Refused once the space is sealed.
        let change = alice.patch(a_space(name), json!({"spec": {"ttl": format!("{}s", 35 - round)}})).await;
        if change.is_err() {
            break;
        }
    }
    let sealed = world.until_status(name, "to be expired", |space| holds(space, "Expired")).await?;
    ensure!(expires_at(&sealed)? <= born + TimeDelta::seconds(40 + 15), "born at {born}: {}", sealed["status"]);
    world.until_gone_within(LIFETIME_TIMEOUT, a_namespace(name)).await
}

async fn moving_into_a_full_class_frees_no_place(world: &World) -> Result<()> {
    let lifetime = json!({"maxTTL": "1h"});
    create_class(world, "narrow", json!({"maxSpacesPerOwner": 1, "lifetime": lifetime})).await?;
    create_class(world, "wider", json!({"maxSpacesPerOwner": 2, "lifetime": lifetime})).await?;
    create_space(world, "narrow", "narrow-one", json!({})).await?;
    for name in ["wider-one", "wider-two"] {
        create_space(world, "wider", name, json!({})).await?;
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

async fn a_refused_spec_revokes_access(world: &World) -> Result<()> {
    let name = "poisoned-lab";
    create_class(world, "shared", json!({"lifetime": {"maxTTL": "1h"}})).await?;
    let members = json!([{"kind": "User", "name": "mallory@example.com", "role": "edit"}]);
    create_space(world, "shared", name, json!({"members": members})).await?;
    let poison = json!({"spec": {"renewedAt": "2099-01-01T00:00:00Z"}});
    world.actor(ALICE).await?.patch(a_space(name), poison).await?;
    world.until_not_ready(name, "InvalidSpec").await?;
    let eviction = json!({"spec": {"owner": {"name": "carol@example.com"}, "members": []}});
    world.admin().patch(a_space(name), eviction).await?;
    let binding = at("RoleBinding", name, "developerspace-owner");
    world.until_gone_within(LIFETIME_TIMEOUT, binding).await?;
    let members = at("RoleBinding", name, "developerspace-edit");
    world.until_gone_within(LIFETIME_TIMEOUT, members).await
}

async fn a_fast_clock_loses_no_renewal(world: &World) -> Result<()> {
    let name = "hasty-lab";
    create_class(world, "unwarned", json!({"lifetime": {"defaultTTL": "20s", "maxTTL": "1h"}})).await?;
    let space = create_space(world, "unwarned", name, json!({})).await?;
    let first_end = expires_at(&space)?;
    let alice = world.actor(ALICE).await?;
    sleep_until(first_end - TimeDelta::seconds(8)).await;
    let first = now().trunc_subsecs(0);
    alice.patch(a_space(name), json!({"spec": {"renewedAt": rfc3339(first)}})).await?;
    world.until_status(name, "to be renewed", |space| space["status"]["renewals"] == 1).await?;
    sleep_until(first_end + TimeDelta::seconds(2)).await;
    let ahead = now().trunc_subsecs(0) + TimeDelta::seconds(40);
    alice.patch(a_space(name), json!({"spec": {"renewedAt": rfc3339(ahead)}})).await?;
    let renewed = world.until_status(name, "to be renewed again", |space| space["status"]["renewals"] == 2).await?;
    ensure!(
        !holds(&renewed, "Expired") && expires_at(&renewed)? == ahead + TimeDelta::seconds(20),
        "{}",
        renewed["status"]
    );
    // A change that removes the field, or sets an older time, keeps the last renewal.
    for renewed_at in [json!(rfc3339(first)), Value::Null] {
        alice.patch(a_space(name), json!({"spec": {"renewedAt": renewed_at}})).await?;
        let kept = world.until_status(name, "to be observed", is_observed).await?;
        ensure!(expires_at(&kept)? == ahead + TimeDelta::seconds(20), "with {renewed_at}: {}", kept["status"]);
    }
    Ok(())
}

async fn a_refused_class_change_keeps_the_accepted_spec(world: &World) -> Result<()> {
    let (class, name) = ("mistyped", "calm-lab");
    create_class(world, class, json!({"lifetime": {"defaultTTL": "1h", "maxTTL": "2h"}})).await?;
    let space = create_space(world, class, name, json!({})).await?;
    world.admin().patch(a_class(class), json!({"spec": {"lifetime": {"maxTTL": "2s"}}})).await?;
    world
        .until("to be refused", a_class(class), |class| {
            ensure!(condition(class, "Accepted")["reason"] == "InvalidSpec", "its status is {}", class["status"]);
            ensure!(class["status"]["accepted"]["lifetime"]["maxTTL"] == "2h", "its status is {}", class["status"]);
            Ok(())
        })
        .await?;
    create_space(world, class, "newer-lab", json!({})).await?;
    let stays = world.until_ready(name).await?;
    ensure!(expires_at(&stays)? == expires_at(&space)?, "{}", stays["status"]);
    Ok(())
}

async fn a_space_of_a_deleted_class_is_warned(world: &World) -> Result<()> {
    let (class, name) = ("short-lived", "orphaned-lab");
    create_class(
        world,
        class,
        json!({"lifetime": {"defaultTTL": "40s", "warnBefore": ["12s"], "retainExpired": "1h"}}),
    )
    .await?;
    let space = create_space(world, class, name, json!({})).await?;
    world.admin().delete(a_class(class)).await?;
    world.until_not_ready(name, "ClassNotFound").await?;
    let warned = world.until_status(name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires_at(&warned)? == expires_at(&space)?, "{}", warned["status"]);
    world.until_status(name, "to be expired", |space| holds(space, "Expired")).await.map(drop)
}

async fn a_lowered_owner_limit_keeps_existing_spaces(world: &World) -> Result<()> {
    let class = "shrinking";
    create_class(world, class, json!({"maxSpacesPerOwner": 3, "lifetime": {"maxTTL": "1h"}})).await?;
    for name in ["shrunk-one", "shrunk-two", "shrunk-three"] {
        create_space(world, class, name, json!({})).await?;
    }
    world.admin().patch(a_class(class), json!({"spec": {"maxSpacesPerOwner": 1}})).await?;
    // The youngest space is still maintained: a change of it is carried out.
    world.admin().patch(a_space("shrunk-three"), json!({"spec": {"displayName": "Shrunk"}})).await?;
    world
        .until("to have the new name", a_namespace("shrunk-three"), |namespace| {
            ensure!(
                namespace["metadata"]["annotations"]["openshift.io/display-name"] == "Shrunk",
                "{}",
                namespace["metadata"]
            );
            Ok(())
        })
        .await?;
    world.until_ready("shrunk-three").await.map(drop)
}

/// Pod Security checks pods when they are created, and a move creates none.
async fn a_space_with_violating_pods_cannot_move_to_a_stricter_class(world: &World) -> Result<()> {
    let name = "welders-lab";
    for (class, level) in [("workshop", "privileged"), ("salon", "baseline")] {
        create_class(world, class, json!({"podSecurity": {"enforce": level}})).await?;
    }
    create_space(world, "workshop", name, json!({})).await?;
    let alice = world.actor(ALICE).await?;
    let mut torch = pod(name, "torch");
    torch["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    eventually("the ServiceAccount that pods need", SOON, || async { alice.create(&torch).await.map(Some) }).await?;
    alice.patch(a_space(name), json!({"spec": {"className": "salon"}})).await?;
    let refused = world.until_not_ready(name, "InvalidSpec").await?;
    let message = condition(&refused, "Ready")["message"].as_str().unwrap_or_default();
    ensure!(message.contains("torch") && message.contains("Pod Security level baseline of class salon"), "{message}");
    ensure!(refused["status"]["className"] == "workshop", "its status is {}", refused["status"]);
    let labels = world.admin().get(a_namespace(name)).await?["metadata"]["labels"].clone();
    ensure!(labels["pod-security.kubernetes.io/enforce"] == "privileged", "its labels are {labels}");
    alice.delete(at("Pod", name, "torch")).await?;
    world
        .until_status(name, "to comply and to be moved", |space| {
            space["status"]["className"] == "salon" && holds(space, "Ready")
        })
        .await
        .map(drop)
}

/// A space that is filled under one class and moved to a smaller one would keep its objects, and free its place under
/// the owner limit to be filled once more.
async fn a_space_over_the_quota_cannot_move_to_a_smaller_class(world: &World) -> Result<()> {
    let name = "hoarders-lab";
    for (class, config_maps) in [("roomy", "20"), ("cramped", "2")] {
        create_class(world, class, json!({"quota": {"hard": {"count/configmaps": config_maps}}})).await?;
    }
    create_space(world, "roomy", name, json!({})).await?;
    let alice = world.actor(ALICE).await?;
    for number in 1..=3 {
        alice.create(&config_map(name, &format!("hoard-{number}"))).await?;
    }
    let counts = |quota: &Value| {
        // The ConfigMap with the cluster's certificate authority may be counted too.
        ensure!(
            ["3", "4"].iter().any(|used| quota["status"]["used"]["count/configmaps"] == *used),
            "its status is {}",
            quota["status"]
        );
        Ok(())
    };
    world.until("to count", at("ResourceQuota", name, "developerspace"), counts).await?;
    alice.patch(a_space(name), json!({"spec": {"className": "cramped"}})).await?;
    let refused = world.until_not_ready(name, "QuotaExceedsClass").await?;
    let message = condition(&refused, "Ready")["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("(count/configmaps ")
            && message.contains(" of 2)")
            && refused["status"]["className"] == "roomy",
        "its status is {}",
        refused["status"]
    );
    for number in 1..=2 {
        alice.delete(at("ConfigMap", name, &format!("hoard-{number}"))).await?;
    }
    world
        .until_status(name, "to fit and to be moved", |space| {
            space["status"]["className"] == "cramped" && holds(space, "Ready")
        })
        .await
        .map(drop)
}
