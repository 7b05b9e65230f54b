//! Renewals: the new expiry time, and renewals around the time at which the space expires.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use e2e::fixtures::{
    LIFETIME_TIMEOUT, World, a_namespace, a_space, created_at, expires_at, holds, is_observed, name_of, now, refusal,
    rfc3339, sleep_until, space, text, uid_of, user,
};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};

use crate::spaces::{create_class_and_space, print_report, until_deleted_when_due};

async fn renew(world: &World, name: &str, more: Value) -> Result<DateTime<Utc>> {
    let at = now().trunc_subsecs(0);
    let mut spec = more;
    spec["renewedAt"] = json!(rfc3339(at));
    world.actor("alice@example.com").await?.patch(a_space(name), json!({"spec": spec})).await?;
    Ok(at)
}

pub(crate) async fn a_renewal_resets_the_warnings(world: &World) -> Result<()> {
    let name = "boris-renewed";
    let lifetime = json!({"defaultTTL": "14s", "maxTTL": "1h", "warnBefore": ["7s"]});
    create_class_and_space(world, "renewed", lifetime, name, json!({})).await?;
    for round in 1..=2 {
        world.until_status(name, "to be expiring", |space| holds(space, "Expiring")).await?;
        let at = renew(world, name, json!({})).await?;
        let renewed = world
            .until_status(name, "to be renewed", |space| {
                !holds(space, "Expiring") && space["status"]["renewals"] == round
            })
            .await?;
        ensure!(expires_at(&renewed)? == at + TimeDelta::seconds(14), "renewed at {at}: {}", renewed["status"]);
    }
    world.until_status(name, "to be expiring", |space| holds(space, "Expiring")).await?;
    let at = renew(world, name, json!({"ttl": "1h"})).await?;
    let renewed = world.until_status(name, "to be renewed", |space| space["status"]["renewals"] == 3).await?;
    ensure!(expires_at(&renewed)? == at + TimeDelta::seconds(3600), "{}", renewed["status"]);
    let expected = text(&renewed, "/status/expiresAt").to_owned();
    world
        .until("to carry the new end", a_namespace(name), |namespace| {
            let written = text(namespace, "/metadata/annotations/developerspace.dev~1expires-at");
            ensure!(written == expected, "it says {written}");
            Ok(())
        })
        .await?;
    Ok(())
}

pub(crate) async fn a_renewal_in_the_future_counts_later(world: &World) -> Result<()> {
    let name = "conny-future";
    let space = create_class_and_space(world, "future", json!({"defaultTTL": "1h"}), name, json!({})).await?;
    // A renewal up to a minute ahead of the operator's clock counts at once. This one is further ahead, and counts once
    // it is within that minute.
    let at = now().trunc_subsecs(0) + TimeDelta::seconds(75);
    world.admin().patch(a_space(name), json!({"spec": {"renewedAt": rfc3339(at)}})).await?;
    let refused = world.until_not_ready(name, "InvalidSpec").await?;
    ensure!(expires_at(&refused)? == expires_at(&space)?, "it counts before its time: {}", refused["status"]);
    let counted = world.until_status(name, "to count the renewal", |space| space["status"]["renewals"] == 1).await?;
    ensure!(now() >= at - TimeDelta::seconds(61), "it counted before its time");
    ensure!(expires_at(&counted)? == at + TimeDelta::seconds(3600), "{}", counted["status"]);
    world.until_ready(name).await.map(drop)
}

pub(crate) async fn renewals_are_capped_by_the_longest_life(world: &World) -> Result<()> {
    let name = "heidi-capped";
    let space =
        create_class_and_space(world, "capped", json!({"defaultTTL": "30s", "maxLifetime": "40s"}), name, json!({}))
            .await?;
    let born = created_at(&space)?;
    sleep_until(born + TimeDelta::seconds(3)).await;
    let at = renew(world, name, json!({})).await?;
    let renewed = world.until_status(name, "to be renewed", |space| space["status"]["renewals"] == 1).await?;
    ensure!(
        expires_at(&renewed)? == (at + TimeDelta::seconds(30)).min(born + TimeDelta::seconds(40)),
        "{}",
        renewed["status"]
    );
    sleep_until(born + TimeDelta::seconds(15)).await;
    renew(world, name, json!({})).await?;
    let renewed = world.until_status(name, "to be renewed again", |space| space["status"]["renewals"] == 2).await?;
    ensure!(expires_at(&renewed)? == born + TimeDelta::seconds(40), "{}", renewed["status"]);
    until_deleted_when_due(world, name, born + TimeDelta::seconds(40)).await.map(drop)
}

/// Sends renewals within 50 ms of the expiry: each is refused, or it counts.
pub(crate) async fn renewals_around_the_expiry_are_not_lost(world: &World) -> Result<()> {
    const COUNT: i64 = 100;
    world.create_accepted_class("racing", json!({"lifetime": {"maxTTL": "1h", "retainExpired": "1h"}})).await?;
    let create = async |number: i64| {
        let name = format!("race-{number:03}");
        let spec =
            json!({"className": "racing", "owner": user("kuno@example.com"), "ttl": format!("{}s", 25 + number % 10)});
        world.admin().create(&space(&name, spec)).await?;
        world.until_ready(&name).await
    };
    let spaces = try_join_all((0..COUNT).map(create)).await?;
    let alice = world.actor("alice@example.com").await?;
    let renewals = spaces.iter().zip(0..).map(|(space, number): (&Value, i64)| {
        let alice = &alice;
        async move {
            // Spread evenly from 50 ms before to 50 ms after.
            sleep_until(expires_at(space)? + TimeDelta::milliseconds(number * 37 % 101 - 50)).await;
            let spec = json!({"spec": {"ttl": "1h", "renewedAt": rfc3339(now())}});
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
    let accepted = try_join_all(renewals).await?;
    let checks = spaces.iter().zip(&accepted).map(|(space, &accepted)| check_renewal(world, space, accepted));
    let lost: Vec<String> =
        join_all(checks).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    let in_time = accepted.iter().filter(|&&accepted| accepted).count();
    print_report(&format!(
        "renewals at the last moment: {in_time} accepted, {} refused, {} lost",
        accepted.len() - in_time,
        lost.len()
    ));
    ensure!(lost.is_empty(), "{}", lost.join("\n"));
    Ok(())
}

/// Checks that a refused renewal ends with the namespace deleted, and an accepted one with the same namespace active.
async fn check_renewal(world: &World, space: &Value, accepted: bool) -> Result<()> {
    let name = name_of(space);
    if !accepted {
        return world.until_gone_within(LIFETIME_TIMEOUT, a_namespace(name)).await;
    }
    let renewed = world
        .until_status(name, "to count the accepted renewal", |space| {
            space["status"]["renewals"] == 1 && is_observed(space)
        })
        .await?;
    ensure!(holds(&renewed, "Ready") && !holds(&renewed, "Expired"), "{name}: {}", renewed["status"]);
    // By this time, a deletion that was already under way at the renewal would have taken effect.
    sleep_until(expires_at(space)? + TimeDelta::seconds(15)).await;
    let namespace =
        world.admin().get(a_namespace(name)).await.with_context(|| format!("the renewal of {name} was lost"))?;
    ensure!(uid_of(&namespace) == text(space, "/status/namespace/uid"), "{name} was replaced");
    ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
    Ok(())
}
