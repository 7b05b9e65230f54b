//! R15: a clock that is an hour off, and ends that are far in the future.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{
        change_spec, create, create_ready, delete_spaces, ensure_no_writes, namespace_uid, until_end_state,
        until_silent,
    },
    views::unwarned_class,
};
use crate::{
    fault_sweep::{path::EndState, rig::Rig},
    fixtures::{SOON, a_class, class, now, rfc3339, sleep_until, time},
    proxy::Entry,
    wait::eventually,
};

/// The offset of the clock.
const CLOCK_OFFSET: TimeDelta = TimeDelta::hours(1);

/// The machine's clock differs from the API server's by an hour. Times in objects are the API server's, so its clock
/// applies: a space that has expired only by the machine's clock stays, and a space that has expired by the API
/// server's clock is deleted.
pub(super) async fn clock_steps(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    let [early, late] = [names[0].as_str(), names[1].as_str()];
    create_ready(&rig, &names, unwarned_class()).await?;
    let uid = namespace_uid(&rig, early)?;
    let from = rig.proxy.journal().len();
    set_clock(&rig, -CLOCK_OFFSET, early).await?;
    change_spec(&rig, early, json!({"expiresAt": "$SOON"})).await?;
    sleep_until(rig.due_time(early).context("it has no end")? + TimeDelta::seconds(2)).await;
    tokio::time::sleep(setting.duration(4, 20)).await;
    ensure!(namespace_uid(&rig, early)? == uid, "the namespace is another");
    let ended =
        rig.proxy.journal().since(from, |entry| entry.request_info.seals || entry.request_info.verb == "delete");
    ensure!(ended.is_empty(), "due by the machine's clock alone, it was ended: {}", ended[0].line());
    set_clock(&rig, TimeDelta::zero(), early).await?;
    until_namespace_deleted(&rig, early).await?;
    set_clock(&rig, CLOCK_OFFSET, late).await?;
    let due = now() + TimeDelta::minutes(50);
    change_spec(&rig, late, json!({"renewedAt": "$NOW", "expiresAt": rfc3339(due)})).await?;
    until_namespace_deleted(&rig, late).await?;
    rig.proxy.network(|network| network.clock = TimeDelta::zero());
    rig.ensure_alive().await?;
    delete_spaces(&rig, &names).await
}

/// Steps the clock, and waits until the operator has received two responses with the new time: it does not trust a
/// single one.
async fn set_clock(rig: &Rig, by: TimeDelta, name: &str) -> Result<()> {
    rig.proxy.network(|network| network.clock = by);
    let from = rig.proxy.journal().len();
    change_spec(rig, name, json!({"contact": {"team": format!("clock moved by {}", by.num_minutes())}})).await?;
    let responded = |entry: &Entry| entry.request_info.is_numbered() && entry.code.is_some();
    eventually("the operator to hear the time", SOON, || async {
        Ok((rig.proxy.journal().since(from, responded).len() >= 2).then_some(()))
    })
    .await
}

/// Waits until the namespace no longer exists. [`until_end_state`] does not apply: the space itself is retained for an
/// hour.
async fn until_namespace_deleted(rig: &Rig, name: &str) -> Result<()> {
    let gone = |objects: &crate::fault_sweep::cluster_view::Objects| {
        ensure!(!objects.contains_key("Namespace"), "the namespace is still there");
        Ok(())
    };
    rig.view.until("to be collected", name, SOON, gone).await.map(drop)
}

const ENDLESS: &str = "sweep-endless";

/// Ends beyond the range of timers (some two years), and up to the last year that can be written.
pub(super) async fn far_ends(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    if rig.admin.find(a_class(ENDLESS)).await?.is_none() {
        let lifetime = json!({"defaultTTL": "7d", "allowNever": true, "warnBefore": ["1d"]});
        let mut endless = crate::fault_sweep::path::class(ENDLESS);
        endless["spec"]["lifetime"] = lifetime;
        rig.admin.create(&class(ENDLESS, endless["spec"].clone())).await?;
    }
    let ends: [Value; 5] = [
        json!({"expiresAt": "9999-12-31T23:59:59Z"}),
        json!({"expiresAt": "2100-01-01T00:00:00Z"}),
        json!({"ttl": "200d"}),
        json!({"ttl": "4000d"}),
        json!({"ttl": "never"}),
    ];
    let names = setting.names(ends.len());
    for (name, end) in names.iter().zip(&ends) {
        let mut spec = end.clone();
        spec["className"] = ENDLESS.into();
        create(&rig, name, spec).await?;
    }
    for name in &names {
        until_end_state(&rig, name, EndState::Ready).await?;
    }
    for (name, end) in names.iter().zip(&ends) {
        let objects = rig.view.objects(name);
        let space = objects.get("DeveloperSpace").context("no space")?;
        match (&end["expiresAt"], end["ttl"].as_str()) {
            (Value::String(at), _) => {
                ensure!(space["status"]["expiresAt"] == at.as_str(), "{name} ends {}", space["status"]["expiresAt"]);
            }
            (_, Some("never")) => {
                ensure!(space["status"]["expiresAt"].is_null(), "{name} ends {}", space["status"]["expiresAt"]);
            }
            _ => ensure!(
                time(space, "/status/expiresAt")? > now() + TimeDelta::days(190),
                "{name} ends {}",
                space["status"]["expiresAt"]
            ),
        }
    }
    until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    ensure_no_writes(&rig, rig.proxy.journal().len(), setting.duration(4, 30)).await?;
    rig.ensure_alive().await?;
    delete_spaces(&rig, &names).await
}
