//! R4, R5, R6: watches that deliver nothing, an unreachable network, a server that has lost its history or restarts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{change, create, no_writes, ready, remove, silence, state, until_ended, until_equal},
};
use crate::{
    fault_sweep::{
        path::{Act, Ends},
        rig::Bench,
    },
    fixtures::{SOON, a_namespace},
    proxy::{End, Fault, Rule, Times},
    wait::eventually,
};

/// Every resource that the operator watches.
pub const WATCHED: [&str; 7] =
    ["developerspaces", "spaceclasses", "namespaces", "resourcequotas", "limitranges", "networkpolicies", "rolebindings"];

/// Makes changes while the operator cannot see them.
pub async fn disturb(bench: &Bench, [first, second, new]: [&str; 3]) -> Result<()> {
    bench.perform(first, &Act::Delete("ResourceQuota", "developerspace")).await?;
    bench.perform(first, &Act::Patch("Namespace", "$NAME", json!({"metadata": {"labels": {"developerspace.dev/team": "wrong"}}}))).await?;
    bench.perform(first, &Act::Delete("RoleBinding", "developerspace-view")).await?;
    change(bench, second, json!({"contact": {"team": "others"}})).await?;
    create(bench, new, json!({})).await
}

/// Verifies that the operator saw all of these changes and corrected them in time.
pub async fn judge(bench: &Bench, [first, second, new]: [&str; 3], before: &serde_json::Value) -> Result<()> {
    until_equal(bench, first, before).await?;
    bench
        .mirror
        .until("to carry the new team", second, SOON, |objects| {
            let namespace = objects.get("Namespace").context("no namespace")?;
            ensure!(namespace["metadata"]["labels"]["developerspace.dev/team"] == "others", "{}", namespace["metadata"]["labels"]);
            Ok(())
        })
        .await?;
    until_ended(bench, second, Ends::Ready).await?;
    until_ended(bench, new, Ends::Ready).await
}

/// Disturbs all requests for the duration `lasts`. Afterwards everything must converge.
async fn outage(setting: Setting, lasts: Duration, begin: fn(&mut crate::proxy::Sky), end: fn(&mut crate::proxy::Sky)) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(3);
    let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
    ready(&bench, &names[..2], json!({})).await?;
    let before = state(&bench, trio[0]);
    bench.proxy.sky(begin);
    disturb(&bench, trio).await?;
    let begun = std::time::Instant::now();
    if lasts > Duration::from_secs(60) {
        bench.until_ready_within(lasts, 503).await.context("it does not notice")?;
    }
    tokio::time::sleep(lasts.saturating_sub(begun.elapsed())).await;
    bench.proxy.sky(end);
    judge(&bench, trio, &before).await?;
    bench.until_ready(200).await?;
    bench.ensure_alive().await?;
    silence(&bench, bench.proxy.journal().len(), Duration::from_secs(3)).await?;
    no_writes(&bench, bench.proxy.journal().len(), setting.either(3, 20)).await?;
    remove(&bench, &names).await
}

pub(super) async fn all_frozen(setting: Setting) -> Result<()> {
    let lasts = setting.either(35, 130);
    outage(setting, lasts, |sky| sky.frozen = true, |sky| sky.frozen = false).await
}

pub(super) async fn partition(setting: Setting) -> Result<()> {
    let lasts = setting.either(20, 300);
    outage(setting, lasts, |sky| sky.partition = true, |sky| sky.partition = false).await
}

pub(super) async fn black_hole(setting: Setting) -> Result<()> {
    outage(setting, Duration::from_secs(130), |sky| sky.black_hole = true, |sky| sky.black_hole = false).await
}

/// The connection of one watch at a time silently stops and stays open; all others continue.
pub(super) async fn each_frozen(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    for resource in WATCHED {
        let setting = Setting { name: format!("{}-{resource}", setting.name), ..setting.clone() };
        let names = setting.names(3);
        let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
        ready(&bench, &names[..2], json!({})).await?;
        let before = state(&bench, trio[0]);
        bench.proxy.order(Some(resource), End::Deaf);
        disturb(&bench, trio).await?;
        judge(&bench, trio, &before).await.with_context(|| format!("the watch of {resource} is dead"))?;
        remove(&bench, &names).await?;
    }
    bench.ensure_alive().await
}

pub(super) async fn gone_in_stream(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let from = bench.proxy.journal().len();
    for _ in 0..3 {
        let heard = bench.proxy.order(None, End::Gone);
        ensure!(heard >= WATCHED.len(), "only {heard} watches were open");
        no_writes(&bench, from, Duration::from_secs(3)).await?;
    }
    lists_again(&bench, from).await?;
    still_works(&setting, &bench).await
}

pub(super) async fn gone_on_open(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let from = bench.proxy.journal().len();
    let refuse = Rule::new("410", Fault::Answer { code: 410, after: false }, |facts, _| facts.verb == "watch");
    let rule = bench.proxy.arm(refuse.times(Times::For(Duration::from_secs(5))));
    bench.proxy.order(None, End::Reset);
    no_writes(&bench, from, Duration::from_secs(8)).await?;
    bench.proxy.disarm(rule);
    lists_again(&bench, from).await?;
    still_works(&setting, &bench).await
}

/// Waits until all watched resources were listed again. The back-off has grown by then, so that the list may come some
/// time later.
async fn lists_again(bench: &Bench, from: usize) -> Result<()> {
    for resource in WATCHED {
        eventually(&format!("{resource} to be listed again"), SOON, || async {
            let lists = bench.proxy.journal().since(from, |entry| entry.facts.verb == "list" && entry.facts.resource == resource);
            Ok((!lists.is_empty()).then_some(()))
        })
        .await?;
    }
    no_writes(bench, from, Duration::from_secs(2)).await
}

/// A space is created, repaired and deleted. Nothing is written after the repair.
async fn still_works(setting: &Setting, bench: &Bench) -> Result<()> {
    let names = setting.names(1);
    ready(bench, &names, json!({})).await?;
    bench.perform(&names[0], &Act::Delete("LimitRange", "developerspace")).await?;
    until_ended(bench, &names[0], Ends::Ready).await?;
    silence(bench, bench.proxy.journal().len(), Duration::from_secs(3)).await?;
    remove(bench, &names).await?;
    until_ended(bench, &names[0], Ends::Gone).await
}

pub(super) async fn api_server_restart(setting: Setting) -> Result<()> {
    restart(setting, "kube-apiserver").await
}

pub(super) async fn controller_manager_restart(setting: Setting) -> Result<()> {
    restart(setting, "kube-controller-manager").await
}

/// While the operator is disconnected, etcd compacts its history and the API server restarts.
/// Each watch then gets a real 410.
pub(super) async fn compaction(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let from = bench.proxy.journal().len();
    bench.proxy.sky(|sky| sky.partition = true);
    for number in 0..20 {
        let mark = json!({"metadata": {"annotations": {"example.com/mark": number.to_string()}}});
        bench.admin.patch(a_namespace("default"), mark).await?;
    }
    compact(setting.cluster.etcd_port()).await?;
    setting.cluster.stop_component("kube-apiserver")?;
    setting.cluster.start_component("kube-apiserver")?;
    bench.proxy.sky(|sky| sky.partition = false);
    bench.until_ready(200).await?;
    lists_again(&bench, from).await?;
    still_works(&setting, &bench).await
}

/// Compacts all etcd revisions before the current one.
pub async fn compact(etcd_port: u16) -> Result<()> {
    let (status, answer) = crate::http::post(etcd_port, "/v3/kv/range", r#"{"key":"AA=="}"#).await?;
    ensure!(status == 200, "etcd says {status}: {answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let revision = answer["header"]["revision"].as_str().context("etcd told no revision")?;
    let body = json!({"revision": revision, "physical": true}).to_string();
    let (status, answer) = crate::http::post(etcd_port, "/v3/kv/compaction", &body).await?;
    ensure!(status == 200, "etcd did not compact: {status}: {answer}");
    Ok(())
}

async fn restart(setting: Setting, component: &str) -> Result<()> {
    let bench = setting.working().await?;
    let from = bench.proxy.journal().len();
    setting.cluster.stop_component(component)?;
    setting.cluster.start_component(component)?;
    bench.until_ready(200).await?;
    no_writes(&bench, from, setting.either(5, 30)).await?;
    still_works(&setting, &bench).await
}
