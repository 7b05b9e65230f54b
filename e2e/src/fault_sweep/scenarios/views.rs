//! R7 and R11: an operator that starts with a stale view of the cluster, or that sees one kind later than the others.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{change_spec, create, create_ready, delete_spaces, namespace_uid, state, until_end_state, until_state},
    watches::WATCHED_RESOURCES,
};
use crate::{
    fault_sweep::path::{EndState, UNWARNED, UserAction, soon},
    fixtures::sleep_until,
    proxy::{Entry, Fault, FaultRule, RuleLimit},
};

/// The spec changes that select the class without warnings.
pub(super) fn unwarned_class() -> serde_json::Value {
    json!({"className": UNWARNED})
}

/// In the operator's view the space has expired; in the API server it was renewed.
pub(super) async fn stale_view(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    create_ready(&rig, &names, unwarned_class()).await?;
    change_spec(&rig, name, soon()).await?;
    rig.view
        .until("to know its end", name, Duration::from_secs(5), |objects| {
            let space = objects.get("DeveloperSpace").context("no space")?;
            ensure!(
                !space["status"]["expiresAt"].is_null() && crate::fixtures::is_observed(space),
                "{}",
                space["status"]
            );
            Ok(())
        })
        .await?;
    rig.terminate().await?;
    // The recording is the view of an operator that starts at this point.
    rig.proxy.record();
    rig.start().await?;
    let snapshot = rig.proxy.recorded().context("nothing was recorded")?;
    rig.kill().await?;
    let uid = namespace_uid(&rig, name)?;
    change_spec(&rig, name, json!({"expiresAt": null, "ttl": "1d"})).await?;
    sleep_until(rig.due_time(name).context("it has no end")? + chrono::TimeDelta::seconds(1)).await;
    let from = rig.proxy.journal().len();
    rig.proxy.network(|network| network.snapshot = Some(Arc::new(snapshot)));
    rig.start().await?;
    let is_seal = |entry: &Entry| entry.request_info.seals && entry.request_info.space.as_deref() == Some(name);
    crate::wait::eventually("the operator to believe the old view", Duration::from_secs(20), || async {
        let seals = rig.proxy.journal().since(from, is_seal);
        Ok((!seals.is_empty()).then_some(()))
    })
    .await?;
    tokio::time::sleep(setting.duration(4, 25)).await;
    rig.proxy.network(|network| network.snapshot = None);
    until_end_state(&rig, name, EndState::Ready).await?;
    let accepted = rig.proxy.journal().since(from, |entry| is_seal(entry) && entry.was_done());
    ensure!(accepted.is_empty(), "it was sealed though it was renewed: {}", accepted[0].line());
    let deleted = rig.proxy.journal().since(from, |entry| entry.request_info.verb == "delete" && entry.was_done());
    ensure!(deleted.is_empty(), "something was deleted: {}", deleted[0].line());
    ensure!(namespace_uid(&rig, name)? == uid, "the namespace is another");
    delete_spaces(&rig, &names).await
}

/// One kind is listed later than all others, but before the operator's timeout for the list. Until then the operator
/// must not treat any object as missing.
pub(super) async fn late_store(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(2);
    create_ready(&rig, &names[..1], json!({})).await?;
    let before = state(&rig, &names[0]);
    let resources: &[&str] =
        if setting.bounded { &["developerspaces", "namespaces", "rolebindings"] } else { &WATCHED_RESOURCES };
    for resource in resources {
        rig.kill().await?;
        rig.perform(&names[0], &UserAction::Delete("ResourceQuota", "developerspace")).await?;
        create(&rig, &names[1], json!({})).await?;
        let from = rig.proxy.journal().len();
        let late = (*resource).to_owned();
        let rule = FaultRule::new("late", Fault::Delay(setting.duration(4, 25)), move |request_info, _| {
            request_info.verb == "list" && request_info.resource == late
        });
        // The first list of a kind with a CRD only checks that the kind exists.
        let has_crd = ["developerspaces", "spaceclasses"].contains(resource);
        let rule = rig.proxy.add_rule(rule.limit(RuleLimit::Count(if has_crd { 2 } else { 1 })));
        rig.spawn().await?;
        until_state(&rig, &names[0], &before).await?;
        until_end_state(&rig, &names[1], EndState::Ready).await?;
        rig.proxy.remove_rule(rule);
        let lists = rig.proxy.journal().since(from, |entry| entry.rule.is_some());
        let listed = lists.last().with_context(|| format!("{resource} were not listed"))?;
        let first =
            rig.proxy.journal().writes(from).into_iter().find(|entry| entry.request_info.resource != "spaceclasses");
        let first = first.context("nothing was written")?;
        let waited = listed.took.is_some_and(|took| first.instant >= listed.instant + took);
        ensure!(waited, "written before {resource} were listed: {}", first.line());
        delete_spaces(&rig, &names[1..]).await?;
        until_end_state(&rig, &names[1], EndState::Gone).await?;
    }
    delete_spaces(&rig, &names).await
}
