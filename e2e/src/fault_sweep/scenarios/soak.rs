//! R21: random operations under random faults, in rounds. After each round everything must converge, and memory must
//! stay flat.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{create_ready, delete_spaces, ensure_no_writes, state, until_silent, without_history},
    watches::{WATCHED_RESOURCES, compact_etcd},
};
use crate::{
    fault_sweep::{
        cluster_view::Objects,
        path::{UserAction, space, spec},
        rig::{BYSTANDER, Rig},
        safety::orphans,
    },
    fixtures::{SOON, a_space, ensure_equal},
    proxy::{Entry, Fault, FaultRule, RuleId, RuleLimit, WatchEnd},
    wait::eventually,
};

/// The number of names.
const SPACES: usize = 40;
/// The duration of faults and operations in each round.
const ROUND_DURATION: Duration = Duration::from_secs(45);
/// The memory that the last quarter of the rounds may use, as a percentage of the memory in the second quarter.
const MAX_GROWTH_PERCENT: u64 = 110;
/// The memory that may be added to that percentage.
const MAX_GROWTH_KIB: u64 = 4096;

/// A name under which spaces are created and deleted.
struct Slot {
    name: String,
    /// The variant of its space; `None` if there should be no space.
    expected: Option<usize>,
    /// True if the deletion or the expiry of its space was requested since the last calm phase.
    may_go: bool,
}

/// Runs rounds until the time of the soak has passed.
pub(super) async fn soak(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    setting.add_note(format!("seed {}", setting.seed));
    let references = references(&setting, &rig).await?;
    let mut random = Rng::with_seed(setting.seed);
    let mut slots: Vec<Slot> = setting.names(SPACES).into_iter().map(|name| Slot { name, expected: None, may_go: false }).collect();
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
    setting.add_note(format!("{} rounds, {operations} operations, {} requests", memory.len(), rig.proxy.journal().len()));
    setting.add_note(format!("KiB resident after each round: {memory:?}"));
    ensure_flat_memory(&memory)?;
    let names: Vec<String> = slots.into_iter().map(|slot| slot.name).collect();
    delete_spaces(&rig, &names).await
}

/// The variants of a space's spec.
fn variants() -> [Value; 6] {
    [
        json!({}),
        json!({"quota": {"requests.cpu": "3"}}),
        json!({"members": []}),
        json!({"className": "sweep-roomy"}),
        json!({"labels": {"example.com/stage": "test"}, "annotations": {"example.com/note": "a note"}}),
        json!({"contact": {"team": "others"}, "members": [{"kind": "Group", "name": "ops", "role": "edit"}]}),
    ]
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

/// Adds the rules of the faults. Each request may meet any of them, and a few percent of the requests do.
fn add_random_faults(rig: &Rig, random: &mut Rng) -> Vec<RuleId> {
    let respond = |code, after| Fault::Respond { code, after };
    let faults = [
        (0.01, Fault::ResetBefore),
        (0.01, Fault::ResetAfter),
        (0.01, respond(409, false)),
        (0.01, respond(429, false)),
        (0.01, respond(500, false)),
        (0.01, respond(503, false)),
        (0.01, respond(504, true)),
        (0.01, Fault::Truncate),
        (0.01, Fault::Delay(Duration::from_secs(1))),
        (0.003, Fault::Hang { after: false }),
        (0.003, Fault::Hang { after: true }),
    ];
    let mut rules: Vec<RuleId> = faults
        .into_iter()
        .map(|(share, fault)| {
            let generator = Arc::new(Mutex::new(Rng::with_seed(random.u64(..))));
            let applies = move || generator.lock().unwrap_or_else(PoisonError::into_inner).f64() < share;
            rig.proxy.add_rule(
                FaultRule::new("storm", fault, move |request_info, _| request_info.verb != "watch" && applies())
                    .limit(RuleLimit::For(SOON * 60)),
            )
        })
        .collect();
    let watches = FaultRule::new("storm", respond(500, false), |request_info, place| request_info.verb == "watch" && place.nth % 7 == 0);
    rules.push(rig.proxy.add_rule(watches.limit(RuleLimit::For(SOON * 60))));
    rules
}

/// Disturbs the network or the control plane for a part of the round.
async fn disturb_network(setting: &Setting, rig: &Rig, disturbance: u8, random: &mut Rng) -> Result<()> {
    let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    pause(5).await;
    match disturbance {
        0 => {
            rig.proxy.network(|network| network.partition = true);
            pause(8).await;
            rig.proxy.network(|network| network.partition = false);
        }
        1 => {
            rig.proxy.network(|network| network.frozen = true);
            pause(38).await;
            rig.proxy.network(|network| network.frozen = false);
        }
        2..=4 => {
            let end = [WatchEnd::Reset, WatchEnd::Gone, WatchEnd::Silent][usize::from(disturbance - 2)];
            for _ in 0..3 {
                let resource = WATCHED_RESOURCES[random.usize(..WATCHED_RESOURCES.len())];
                rig.proxy.end_watches(Some(resource), end);
                pause(8).await;
            }
        }
        5 => {
            let resource = WATCHED_RESOURCES[random.usize(..WATCHED_RESOURCES.len())].to_owned();
            rig.proxy.network(|network| network.lag = HashMap::from([(resource, Duration::from_secs(3))]));
            pause(30).await;
            rig.proxy.network(|network| network.lag.clear());
        }
        6 | 7 => {
            if disturbance == 7 {
                compact_etcd(setting.cluster.etcd_port()).await?;
            }
            setting.cluster.stop_component("kube-apiserver")?;
            setting.cluster.start_component("kube-apiserver")?;
        }
        8 => {
            rig.proxy.network(|network| network.black_hole = true);
            pause(12).await;
            rig.proxy.network(|network| network.black_hole = false);
        }
        _ => {}
    }
    Ok(())
}

/// Performs random actions one after another. Returns their number.
async fn perform_random_actions(rig: &Rig, slots: &mut [Slot], random: &mut Rng) -> Result<usize> {
    let (begun, from, mut done) = (Instant::now(), rig.proxy.journal().len(), 0);
    while begun.elapsed() < ROUND_DURATION {
        let number = random.usize(..SPACES);
        let (roll, variant) = (random.u8(0..100), random.usize(..variants().len()));
        let Slot { name, expected, may_go } = &mut slots[number];
        let exists = rig.view.objects(name).contains_key("DeveloperSpace");
        let (action, next) = match (*expected, roll) {
            (None, _) if exists => continue,
            (None, _) => (UserAction::Create(space(&spec(&variants()[variant]))), Some(variant)),
            (Some(_), 0..40) => (UserAction::Patch("DeveloperSpace", "$NAME", patch_to_variant(variant)), Some(variant)),
            (Some(same), 40..75) => (random_drift(random), Some(same)),
            (Some(same), 75..85) => (UserAction::Patch("DeveloperSpace", "$NAME", json!({"spec": {"renewedAt": "$NOW"}})), Some(same)),
            (Some(_), 85..93) => (UserAction::Delete("DeveloperSpace", "$NAME"), None),
            (Some(_), _) => {
                let end = json!({"spec": {"className": "sweep-brief", "renewedAt": "$NOW", "expiresAt": "$SOON"}});
                (UserAction::Patch("DeveloperSpace", "$NAME", end), None)
            }
        };
        *may_go |= next.is_none();
        perform(rig, name, &action).await.with_context(|| trace(rig, name, from))?;
        *expected = next;
        done += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
    }
    Ok(done)
}

/// Performs an action, and retries it while the API server is unavailable. An action on an object that does not exist, such
/// as a child that was just deleted, is skipped.
async fn perform(rig: &Rig, name: &str, act: &UserAction) -> Result<()> {
    eventually(&format!("{act:?} to be taken"), SOON, || async {
        let Err(error) = rig.perform(name, act).await else { return Ok(Some(())) };
        let code = match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => status.code,
            _ => 0,
        };
        let is_needless = match (act, code) {
            // The first attempt created the space and the response was lost, or the previous space of that name still
            // exists.
            (UserAction::Create(expected), 409) => {
                let existing = rig.admin.find(a_space(name)).await?;
                let lives =
                    |existing: &Value| existing["metadata"]["deletionTimestamp"].is_null() && existing["spec"]["expiresAt"].is_null();
                existing.is_some_and(|existing| lives(&existing) && existing["spec"]["className"] == expected["spec"]["className"])
            }
            (UserAction::Create(_) | UserAction::Patch("DeveloperSpace", ..), _) => false,
            (_, code) => matches!(code, 404 | 409),
        };
        if is_needless { Ok(Some(())) } else { Err(error) }
    })
    .await
}

/// Returns the patch that turns any variant into this one.
fn patch_to_variant(variant: usize) -> Value {
    let expected = spec(&variants()[variant]);
    let mut patch = json!({});
    for key in ["className", "members", "quota", "labels", "annotations", "contact"] {
        patch[key] = expected[key].clone();
    }
    for key in ["email", "team"] {
        patch["contact"][key] = expected["contact"][key].clone();
    }
    if expected["labels"].is_null() {
        patch["labels"] = Value::Null;
    }
    json!({"spec": patch})
}

/// A change of a namespace or of an object in it that the operator must undo.
fn random_drift(random: &mut Rng) -> UserAction {
    match random.u8(0..9) {
        0 => UserAction::Delete("ResourceQuota", "developerspace"),
        1 => UserAction::Delete("LimitRange", "developerspace"),
        2 => UserAction::Delete("RoleBinding", "developerspace-owner"),
        3 => UserAction::Delete("NetworkPolicy", "developerspace-isolation"),
        4 => UserAction::Delete("Namespace", "$NAME"),
        5 => UserAction::Patch("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "1"}}})),
        6 => UserAction::Patch("LimitRange", "developerspace", json!({"spec": {"limits": []}})),
        7 => UserAction::Patch(
            "Namespace",
            "$NAME",
            json!({"metadata": {"labels": {"developerspace.dev/space": null, "developerspace.dev/team": "wrong"}}}),
        ),
        _ => UserAction::Patch("RoleBinding", "developerspace-owner", json!({"subjects": [], "metadata": {"labels": null}})),
    }
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
        ensure!(request_info.verb != "delete" || request_info.uid.is_some(), "something was deleted without its UID: {}", entry.line());
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

/// Waits until the space and its objects equal `expected`. The time until kube-controller-manager has set the status of the quota is not the operator's:
/// after a restart of the API server its own watches need a while.
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
    let is_postponed = |objects: &Objects| objects.get("DeveloperSpace").is_some_and(|space| !space["status"]["postponed"].is_null());
    let is_gone = |objects: &Objects| {
        ensure!(objects.is_empty(), "{} is left", objects.keys().cloned().collect::<Vec<_>>().join(", "));
        Ok(())
    };
    let decided = |objects: &Objects| if is_postponed(objects) { Ok(()) } else { is_gone(objects) };
    if !rig.view.until("to go, or to have notice", name, SOON, decided).await?.is_empty() {
        rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    }
    rig.view.until("to be gone", name, SOON, is_gone).await.map(drop)
}

/// The last requests that concern the space, for messages.
fn trace(rig: &Rig, name: &str, from: usize) -> String {
    let lines: Vec<String> =
        rig.proxy.journal().since(from, |entry| entry.request_info.space.as_deref() == Some(name)).iter().map(Entry::line).collect();
    format!("the last requests about it:\n    {}", lines[lines.len().saturating_sub(25)..].join("\n    "))
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

    #[test]
    fn a_patch_turns_any_variant_into_any_other() {
        for from in variants() {
            for (to, expected) in variants().iter().enumerate() {
                let mut changed = spec(&from);
                crate::mutations::merge(&mut changed, &patch_to_variant(to)["spec"]);
                assert_eq!(changed, spec(expected), "{from} to {expected}");
            }
        }
    }
}
