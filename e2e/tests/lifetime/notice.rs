//! Changes that bring the expiry nearer: the operator warns first.

use anyhow::{Result, ensure};
use chrono::{SubsecRound, TimeDelta};
use e2e::fixtures::{World, a_class, a_space, condition, created_at, expires_at, holds, now, sleep_until};
use serde_json::json;

use crate::spaces::create_class_and_space;

/// The notice of an end that a change brings nearer.
const MIN_NOTICE: TimeDelta = TimeDelta::minutes(5);

pub(crate) async fn a_removed_protection_gives_notice(world: &World) -> Result<()> {
    let name = "edda-protected";
    let lifetime = json!({"maxTTL": "1h", "allowProtected": true, "warnBefore": ["1m", "5s"]});
    let space =
        create_class_and_space(world, "protecting", lifetime, name, json!({"ttl": "4s", "protected": true})).await?;
    ensure!(space["status"]["expiresAt"].is_null(), "a protected space expires: {}", space["status"]);
    // A warning within 10 s of its threshold, which here is the creation, would count as given in time.
    sleep_until(created_at(&space)? + TimeDelta::seconds(13)).await;
    let space = world.until_ready(name).await?;
    ensure!(!holds(&space, "Expired") && !holds(&space, "Expiring"), "{}", space["status"]);
    let lifted = now().trunc_subsecs(0);
    world.admin().patch(a_space(name), json!({"spec": {"protected": false}})).await?;
    let warned = world.until_status(name, "to be warned", |space| holds(space, "Expiring")).await?;
    ensure!(expires_at(&warned)? >= lifted + MIN_NOTICE, "lifted at {lifted}: {}", warned["status"]);
    Ok(())
}

pub(crate) async fn a_shorter_lifetime_of_the_class_gives_notice(world: &World) -> Result<()> {
    let name = "jupp-tightened";
    let lifetime = json!({"maxTTL": "1h", "warnBefore": ["10m", "6s"]});
    let space = create_class_and_space(world, "tightened", lifetime, name, json!({"ttl": "50m"})).await?;
    // As above: later than 10 s after the threshold that results from the new ceiling.
    sleep_until(created_at(&space)? + TimeDelta::seconds(13)).await;
    let tightened = now().trunc_subsecs(0);
    let patch = json!({"spec": {"lifetime": {"maxTTL": "1s"}}});
    world.admin().patch(a_class("tightened"), patch).await?;
    let refused = world.until("to be invalid and warned", a_space(name), |space| {
        let ready = condition(space, "Ready");
        ensure!(ready["reason"] == "InvalidSpec" && holds(space, "Expiring"), "its status is {}", space["status"]);
        Ok(())
    });
    let due = expires_at(&refused.await?)?;
    // Under the new ceiling the space would have expired long ago.
    ensure!(due >= tightened + MIN_NOTICE, "tightened at {tightened}, due {due}");
    Ok(())
}
