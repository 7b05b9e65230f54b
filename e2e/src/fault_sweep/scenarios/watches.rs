//! R4, R5, R6: watches that deliver nothing, an unreachable network, a server that has lost its history or restarts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{
        change_spec, create, create_ready, delete_spaces, ensure_no_writes, state, until_end_state, until_silent,
        until_state,
    },
};
use crate::{
    fault_sweep::{
        path::{EndState, UserAction},
        rig::Rig,
    },
    fixtures::{SOON, a_namespace},
    proxy::{Fault, FaultRule, RuleLimit, WatchEnd},
    wait::eventually,
};

/// Every resource that the operator watches.
pub(super) const WATCHED_RESOURCES: [&str; 7] = [
    "developerspaces",
    "spaceclasses",
    "namespaces",
    "resourcequotas",
    "limitranges",
    "networkpolicies",
    "rolebindings",
];

/// Makes changes while the operator cannot see them.
pub(super) async fn change_unseen(rig: &Rig, [first, second, new]: [&str; 3]) -> Result<()> {
    rig.perform(first, &UserAction::Delete("ResourceQuota", "developerspace")).await?;
    rig.perform(
        first,
        &UserAction::Patch("Namespace", "$NAME", json!({"metadata": {"labels": {"developerspace.dev/team": "wrong"}}})),
    )
    .await?;
    rig.perform(first, &UserAction::Delete("RoleBinding", "developerspace-view")).await?;
    change_spec(rig, second, json!({"contact": {"team": "others"}})).await?;
    create(rig, new, json!({})).await
}

/// Verifies that the operator saw all of these changes and corrected them in time.
pub(super) async fn ensure_repaired(
    rig: &Rig,
    [first, second, new]: [&str; 3],
    before: &serde_json::Value,
) -> Result<()> {
    until_state(rig, first, before).await?;
    rig.view
        .until("to carry the new team", second, SOON, |objects| {
            let namespace = objects.get("Namespace").context("no namespace")?;
            ensure!(
                namespace["metadata"]["labels"]["developerspace.dev/team"] == "others",
                "{}",
                namespace["metadata"]["labels"]
            );
            Ok(())
        })
        .await?;
    until_end_state(rig, second, EndState::Ready).await?;
    until_end_state(rig, new, EndState::Ready).await
}

/// Disturbs all requests for the duration `lasts`. Afterwards everything must converge.
async fn outage(
    setting: Setting,
    lasts: Duration,
    begin: fn(&mut crate::proxy::NetworkState),
    end: fn(&mut crate::proxy::NetworkState),
) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(3);
    let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
    create_ready(&rig, &names[..2], json!({})).await?;
    let before = state(&rig, trio[0]);
    rig.proxy.network(begin);
    change_unseen(&rig, trio).await?;
    let begun = std::time::Instant::now();
    if lasts > Duration::from_secs(60) {
        rig.until_ready_within(lasts, 503).await.context("it does not notice")?;
    }
    tokio::time::sleep(lasts.saturating_sub(begun.elapsed())).await;
    rig.proxy.network(end);
    ensure_repaired(&rig, trio, &before).await?;
    rig.until_ready(200).await?;
    rig.ensure_alive().await?;
    until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    ensure_no_writes(&rig, rig.proxy.journal().len(), setting.duration(3, 20)).await?;
    delete_spaces(&rig, &names).await
}

pub(super) async fn all_frozen(setting: Setting) -> Result<()> {
    let lasts = setting.duration(35, 130);
    outage(setting, lasts, |network| network.frozen = true, |network| network.frozen = false).await
}

pub(super) async fn partition(setting: Setting) -> Result<()> {
    let lasts = setting.duration(20, 300);
    outage(setting, lasts, |network| network.partition = true, |network| network.partition = false).await
}

pub(super) async fn black_hole(setting: Setting) -> Result<()> {
    outage(setting, Duration::from_secs(130), |network| network.black_hole = true, |network| network.black_hole = false)
        .await
}

/// The connection of one watch at a time silently stops and stays open; all others continue.
pub(super) async fn each_frozen(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    for resource in WATCHED_RESOURCES {
        let setting = Setting { name: format!("{}-{resource}", setting.name), ..setting.clone() };
        let names = setting.names(3);
        let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
        create_ready(&rig, &names[..2], json!({})).await?;
        let before = state(&rig, trio[0]);
        rig.proxy.end_watches(Some(resource), WatchEnd::Silent);
        change_unseen(&rig, trio).await?;
        ensure_repaired(&rig, trio, &before).await.with_context(|| format!("the watch of {resource} is dead"))?;
        delete_spaces(&rig, &names).await?;
    }
    rig.ensure_alive().await
}

pub(super) async fn gone_in_stream(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let from = rig.proxy.journal().len();
    for _ in 0..3 {
        let open_watches = rig.proxy.end_watches(None, WatchEnd::Gone);
        ensure!(open_watches >= WATCHED_RESOURCES.len(), "only {open_watches} watches were open");
        ensure_no_writes(&rig, from, Duration::from_secs(3)).await?;
    }
    ensure_relisted(&rig, from).await?;
    ensure_operational(&setting, &rig).await
}

pub(super) async fn gone_on_open(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let from = rig.proxy.journal().len();
    let refuse = FaultRule::new("410", Fault::Respond { code: 410, after: false }, |request_info, _| {
        request_info.verb == "watch"
    });
    let rule = rig.proxy.add_rule(refuse.limit(RuleLimit::For(Duration::from_secs(5))));
    rig.proxy.end_watches(None, WatchEnd::Reset);
    ensure_no_writes(&rig, from, Duration::from_secs(8)).await?;
    rig.proxy.remove_rule(rule);
    ensure_relisted(&rig, from).await?;
    ensure_operational(&setting, &rig).await
}

/// Waits until all watched resources were listed again. The back-off has grown by then, so that the list may come some
/// time later.
async fn ensure_relisted(rig: &Rig, from: usize) -> Result<()> {
    for resource in WATCHED_RESOURCES {
        eventually(&format!("{resource} to be listed again"), SOON, || async {
            let lists = rig
                .proxy
                .journal()
                .since(from, |entry| entry.request_info.verb == "list" && entry.request_info.resource == resource);
            Ok((!lists.is_empty()).then_some(()))
        })
        .await?;
    }
    ensure_no_writes(rig, from, Duration::from_secs(2)).await
}

/// A space is created, repaired and deleted. Nothing is written after the repair.
async fn ensure_operational(setting: &Setting, rig: &Rig) -> Result<()> {
    let names = setting.names(1);
    create_ready(rig, &names, json!({})).await?;
    rig.perform(&names[0], &UserAction::Delete("LimitRange", "developerspace")).await?;
    until_end_state(rig, &names[0], EndState::Ready).await?;
    until_silent(rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    delete_spaces(rig, &names).await?;
    until_end_state(rig, &names[0], EndState::Gone).await
}

pub(super) async fn api_server_restart(setting: Setting) -> Result<()> {
    restart_component(setting, "kube-apiserver").await
}

pub(super) async fn controller_manager_restart(setting: Setting) -> Result<()> {
    restart_component(setting, "kube-controller-manager").await
}

/// While the operator is disconnected, etcd compacts its history and the API server restarts.
/// Each watch then gets a real 410.
pub(super) async fn compaction(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let from = rig.proxy.journal().len();
    rig.proxy.network(|network| network.partition = true);
    for number in 0..20 {
        let mark = json!({"metadata": {"annotations": {"example.com/mark": number.to_string()}}});
        rig.admin.patch(a_namespace("default"), mark).await?;
    }
    compact_etcd(setting.cluster.etcd_port()).await?;
    setting.cluster.stop_component("kube-apiserver")?;
    setting.cluster.start_component("kube-apiserver")?;
    rig.proxy.network(|network| network.partition = false);
    rig.until_ready(200).await?;
    ensure_relisted(&rig, from).await?;
    ensure_operational(&setting, &rig).await
}

/// Compacts all etcd revisions before the current one.
pub(super) async fn compact_etcd(etcd_port: u16) -> Result<()> {
    let (status, response) = crate::http::post(etcd_port, "/v3/kv/range", r#"{"key":"AA=="}"#).await?;
    ensure!(status == 200, "etcd says {status}: {response}");
    let response: serde_json::Value = serde_json::from_str(&response)?;
    let revision = response["header"]["revision"].as_str().context("etcd told no revision")?;
    let body = json!({"revision": revision, "physical": true}).to_string();
    let (status, response) = crate::http::post(etcd_port, "/v3/kv/compaction", &body).await?;
    ensure!(status == 200, "etcd did not compact: {status}: {response}");
    Ok(())
}

async fn restart_component(setting: Setting, component: &str) -> Result<()> {
    let rig = setting.running_rig().await?;
    let from = rig.proxy.journal().len();
    setting.cluster.stop_component(component)?;
    setting.cluster.start_component(component)?;
    rig.until_ready(200).await?;
    ensure_no_writes(&rig, from, setting.duration(5, 30)).await?;
    ensure_operational(&setting, &rig).await
}
