//! R7 and R11: an operator that starts with a stale view of the cluster, or that sees one kind later than the others.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{change, create, namespace_uid, ready, remove, state, until_ended, until_equal},
    watches::WATCHED,
};
use crate::{
    fault_sweep::path::{Act, Ends, UNWARNED, soon},
    fixtures::moment,
    proxy::{Entry, Fault, Rule, Times},
};

/// The spec changes that select the class without warnings.
pub(super) fn unwarned() -> serde_json::Value {
    json!({"className": UNWARNED})
}

/// In the operator's view the space has expired; in the API server it was renewed.
pub(super) async fn stale_view(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(1);
    let name = names[0].as_str();
    ready(&bench, &names, unwarned()).await?;
    change(&bench, name, soon()).await?;
    bench
        .mirror
        .until("to know its end", name, Duration::from_secs(5), |objects| {
            let space = objects.get("DeveloperSpace").context("no space")?;
            ensure!(!space["status"]["expiresAt"].is_null() && crate::fixtures::is_observed(space), "{}", space["status"]);
            Ok(())
        })
        .await?;
    bench.terminate().await?;
    // The recording is the view of an operator that starts at this point.
    bench.proxy.record();
    bench.start().await?;
    let past = bench.proxy.recorded().context("nothing was recorded")?;
    bench.kill().await?;
    let uid = namespace_uid(&bench, name)?;
    change(&bench, name, json!({"expiresAt": null, "ttl": "1d"})).await?;
    moment(bench.moment(name).context("it has no end")? + chrono::TimeDelta::seconds(1)).await;
    let from = bench.proxy.journal().len();
    bench.proxy.sky(|sky| sky.past = Some(Arc::new(past)));
    bench.start().await?;
    let is_seal = |entry: &Entry| entry.facts.seals && entry.facts.space.as_deref() == Some(name);
    crate::wait::eventually("the operator to believe the old view", Duration::from_secs(20), || async {
        let seals = bench.proxy.journal().since(from, is_seal);
        Ok((!seals.is_empty()).then_some(()))
    })
    .await?;
    tokio::time::sleep(setting.either(4, 25)).await;
    bench.proxy.sky(|sky| sky.past = None);
    until_ended(&bench, name, Ends::Ready).await?;
    let accepted = bench.proxy.journal().since(from, |entry| is_seal(entry) && entry.was_done());
    ensure!(accepted.is_empty(), "it was sealed though it was renewed: {}", accepted[0].line());
    let deleted = bench.proxy.journal().since(from, |entry| entry.facts.verb == "delete" && entry.was_done());
    ensure!(deleted.is_empty(), "something was deleted: {}", deleted[0].line());
    ensure!(namespace_uid(&bench, name)? == uid, "the namespace is another");
    remove(&bench, &names).await
}

/// One kind is listed later than all others, but before the operator's timeout for the list. Until then the operator
/// must not treat any object as missing.
pub(super) async fn late_store(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(2);
    ready(&bench, &names[..1], json!({})).await?;
    let before = state(&bench, &names[0]);
    let resources: &[&str] = if setting.bounded { &["developerspaces", "namespaces", "rolebindings"] } else { &WATCHED };
    for resource in resources {
        bench.kill().await?;
        bench.perform(&names[0], &Act::Delete("ResourceQuota", "developerspace")).await?;
        create(&bench, &names[1], json!({})).await?;
        let from = bench.proxy.journal().len();
        let late = (*resource).to_owned();
        let rule = Rule::new("late", Fault::Delay(setting.either(4, 25)), move |facts, _| facts.verb == "list" && facts.resource == late);
        // The first list of a kind with a CRD only checks that the kind exists.
        let has_crd = ["developerspaces", "spaceclasses"].contains(resource);
        let rule = bench.proxy.arm(rule.times(Times::Count(if has_crd { 2 } else { 1 })));
        bench.spawn().await?;
        until_equal(&bench, &names[0], &before).await?;
        until_ended(&bench, &names[1], Ends::Ready).await?;
        bench.proxy.disarm(rule);
        let lists = bench.proxy.journal().since(from, |entry| entry.rule.is_some());
        let listed = lists.last().with_context(|| format!("{resource} were not listed"))?;
        let first = bench.proxy.journal().writes(from).into_iter().find(|entry| entry.facts.resource != "spaceclasses");
        let first = first.context("nothing was written")?;
        let waited = listed.took.is_some_and(|took| first.instant >= listed.instant + took);
        ensure!(waited, "written before {resource} were listed: {}", first.line());
        remove(&bench, &names[1..]).await?;
        until_ended(&bench, &names[1], Ends::Gone).await?;
    }
    remove(&bench, &names).await
}
