//! R21: random operations under random faults, in rounds. After each round everything must converge, and memory must
//! stay flat.

mod actions;
mod faults;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use futures::future::join_all;
use serde_json::Value;

use super::{
    Setting,
    setting::{create_ready, delete_spaces, ensure_no_writes, state, until_silent, without_history},
};
use crate::{
    fault_sweep::{
        cluster_view::Objects,
        path::UserAction,
        rig::{BYSTANDER, Rig},
        safety::orphans,
    },
    fixtures::{SOON, ensure_equal},
};
use actions::{SPACES, Slot, perform_random_actions, trace, variants};
use faults::{add_random_faults, disturb_network};

/// The memory that the last quarter of the rounds may use, as a percentage of the memory in the second quarter.
const MAX_GROWTH_PERCENT: u64 = 110;
/// The memory that may be added to that percentage.
const MAX_GROWTH_KIB: u64 = 4096;

/// Runs rounds until the time of the soak has passed.
pub(super) async fn soak(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    setting.add_note(format!("seed {}", setting.seed));
    let references = references(&setting, &rig).await?;
    let mut random = Rng::with_seed(setting.seed);
    let mut slots: Vec<Slot> =
        setting.names(SPACES).into_iter().map(|name| Slot { name, expected: None, may_go: false }).collect();
    let (begun, mut memory, mut operations) = (Instant::now(), vec![], 0);
    while begun.elapsed() < setting.soak {
        let from = rig.proxy.journal().len();
        let rules = add_random_faults(&rig, &mut random);
        let disturbance = random.u8(0..10);
        let mut action_random = Rng::with_seed(random.u64(..));
        let (acted, disturbed) = tokio::join!(
            perform_random_actions(&rig, &mut slots, &mut action_random),
            disturb_network(&setting, &rig, disturbance, &mut random)
        );
        operations += acted.with_context(|| format!("round {} of seed {}", memory.len(), setting.seed))?;
        disturbed?;
        for rule in rules {
            rig.proxy.remove_rule(rule);
        }
        check_round(&rig, &mut slots, &references, from)
            .await
            .with_context(|| format!("round {}, weather {disturbance}, seed {}", memory.len(), setting.seed))?;
        memory.push(rig.memory().await?);
    }
    setting.add_note(format!(
        "{} rounds, {operations} operations, {} requests",
        memory.len(),
        rig.proxy.journal().len()
    ));
    setting.add_note(format!("KiB resident after each round: {memory:?}"));
    ensure_flat_memory(&memory)?;
    let names: Vec<String> = slots.into_iter().map(|slot| slot.name).collect();
    delete_spaces(&rig, &names).await
}

/// The states of undisturbed spaces.
async fn references(setting: &Setting, rig: &Rig) -> Result<Vec<Value>> {
    let mut found = vec![];
    let names = Setting { name: format!("{}-reference", setting.name), ..setting.clone() }.names(variants().len());
    for (name, changes) in names.iter().zip(variants()) {
        create_ready(rig, std::slice::from_ref(name), changes).await?;
    }
    until_silent(rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    for name in &names {
        found.push(without_renewal(rig, name));
    }
    delete_spaces(rig, &names).await?;
    Ok(found)
}

/// The state, regardless of the time of the last renewal.
fn without_renewal(rig: &Rig, name: &str) -> Value {
    let mut state = without_history(state(rig, name));
    if let Some(spec) = state["DeveloperSpace"]["spec"].as_object_mut() {
        spec.remove("renewedAt");
    }
    state
}

/// Checks LIVE, END, SAFE, ORPH and QUIET after the faults.
async fn check_round(rig: &Rig, slots: &mut [Slot], references: &[Value], from: usize) -> Result<()> {
    rig.ensure_alive().await?;
    let checked = join_all(slots.iter().map(|slot| async {
        let checked = match slot.expected.and_then(|variant| references.get(variant)) {
            Some(expected) => until_expected(rig, &slot.name, expected).await,
            None => until_gone(rig, &slot.name).await,
        };
        checked.with_context(|| trace(rig, &slot.name, from))
    }));
    checked.await.into_iter().collect::<Result<()>>()?;
    until_silent(rig, from, Duration::from_secs(3)).await?;
    ensure_no_writes(rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    let may_go: HashSet<&str> = slots.iter().filter(|slot| slot.may_go).map(|slot| slot.name.as_str()).collect();
    for entry in rig.proxy.journal().writes(from) {
        let request_info = &entry.request_info;
        let name = request_info.space.as_deref().unwrap_or_default();
        ensure!(name != BYSTANDER, "a namespace that is not ours was written to: {}", entry.line());
        ensure!(
            request_info.verb != "delete" || request_info.uid.is_some(),
            "something was deleted without its UID: {}",
            entry.line()
        );
        let ends = request_info.seals || (request_info.verb == "delete" && request_info.namespace.is_empty());
        ensure!(!ends || may_go.contains(name), "nobody asked for the end of it: {}", entry.line());
    }
    let left = orphans(rig).await?;
    ensure!(left.is_empty(), "{left:?}");
    for slot in slots.iter_mut() {
        slot.may_go = false;
    }
    Ok(())
}

/// Waits until the space and its objects equal `expected`. The time until kube-controller-manager has set the status of
/// the quota is not the operator's: after a restart of the API server its own watches need a while.
async fn until_expected(rig: &Rig, name: &str, expected: &Value) -> Result<()> {
    let right = |_: &Objects| ensure_equal(name, &without_renewal(rig, name), expected);
    let is_quota_in_force = |objects: &Objects| {
        ensure!(!is_quota_pending(objects), "kube-controller-manager has not set the status of the ResourceQuota");
        Ok(())
    };
    let Err(late) = rig.view.until("to be as it should", name, SOON, right).await else { return Ok(()) };
    if !is_quota_pending(&rig.view.objects(name)) {
        return Err(late);
    }
    rig.view.until("to have a quota in force", name, SOON * 3, is_quota_in_force).await?;
    rig.view.until("to be as it should", name, SOON, right).await.map(drop)
}

/// Returns true if the space has a ResourceQuota whose spec is not in force yet.
fn is_quota_pending(objects: &Objects) -> bool {
    objects.get("ResourceQuota developerspace").is_some_and(|quota| quota["status"]["hard"] != quota["spec"]["hard"])
}

/// Waits until the space and its objects no longer exist. A fault may delay the change to the short-lived class until
/// after the renewal of the same request has counted. The change then brings the end nearer, and a notice of five
/// minutes applies. This function requests the deletion of such a space.
async fn until_gone(rig: &Rig, name: &str) -> Result<()> {
    let is_postponed =
        |objects: &Objects| objects.get("DeveloperSpace").is_some_and(|space| !space["status"]["postponed"].is_null());
    let is_gone = |objects: &Objects| {
        ensure!(objects.is_empty(), "{} is left", objects.keys().cloned().collect::<Vec<_>>().join(", "));
        Ok(())
    };
    let decided = |objects: &Objects| if is_postponed(objects) { Ok(()) } else { is_gone(objects) };
    match rig.view.until("to go, or to have notice", name, SOON, decided).await {
        Ok(objects) if objects.is_empty() => return Ok(()),
        Ok(_) => rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?,
        // The operator has deleted the namespace. The time in which kube-controller-manager empties it is not counted.
        Err(_) if is_terminating(&rig.view.objects(name)) => {}
        Err(late) => return Err(late),
    }
    rig.view.until("to be gone", name, SOON, is_gone).await.map(drop)
}

fn is_terminating(objects: &Objects) -> bool {
    objects.get("Namespace").is_some_and(|namespace| !namespace["metadata"]["deletionTimestamp"].is_null())
}

/// Compares the last quarter of the rounds with the second quarter, which follows the warm-up.
fn ensure_flat_memory(memory: &[u64]) -> Result<()> {
    let quarter = memory.len() / 4;
    if quarter < 2 {
        return Ok(());
    }
    let middle = |rounds: &[u64]| {
        let mut rounds = rounds.to_vec();
        rounds.sort_unstable();
        rounds[rounds.len() / 2]
    };
    let (early, late) = (middle(&memory[quarter..2 * quarter]), middle(&memory[memory.len() - quarter..]));
    ensure!(late <= early * MAX_GROWTH_PERCENT / 100 + MAX_GROWTH_KIB, "memory grows: from {early} KiB to {late} KiB");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_distinguished_from_noise() {
        let noisy: Vec<u64> = (0..40).map(|round| 40_000 + (round * 7919) % 3_000).collect();
        assert!(ensure_flat_memory(&noisy).is_ok());
        let growing: Vec<u64> = (0..40).map(|round| 40_000 + round * 500).collect();
        assert!(ensure_flat_memory(&growing).is_err());
    }
}
