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
    setting::{bare, no_writes, ready, remove, silence, state},
    watches::{WATCHED, compact},
};
use crate::{
    fault_sweep::{
        cluster_view::Objects,
        path::{Act, space, spec},
        rig::{BYSTANDER, Rig},
        safety::orphans,
    },
    fixtures::{SOON, a_space, ensure_equal},
    proxy::{Entry, Fault, FaultRule, RuleId, RuleLimit, WatchEnd},
    wait::eventually,
};

const SLOTS: usize = 40;
/// The duration of faults and operations in each round.
const ROUND: Duration = Duration::from_secs(45);
/// The memory that the last quarter of the rounds may use compared with the second: a percentage, and KiB in addition.
const GROWTH: (u64, u64) = (110, 4096);

/// A name under which spaces are created and deleted.
struct Slot {
    name: String,
    /// The variant of its space; `None` if there should be no space.
    wanted: Option<usize>,
    /// True if the deletion or the expiry of its space was requested since the last calm phase.
    may_go: bool,
}

pub(super) async fn soak(setting: Setting) -> Result<()> {
    let rig = setting.working().await?;
    setting.note(format!("seed {}", setting.seed));
    let references = references(&setting, &rig).await?;
    let mut chance = Rng::with_seed(setting.seed);
    let mut slots: Vec<Slot> = setting.names(SLOTS).into_iter().map(|name| Slot { name, wanted: None, may_go: false }).collect();
    let (begun, mut memory, mut operations) = (Instant::now(), vec![], 0);
    while begun.elapsed() < setting.soak {
        let from = rig.proxy.journal().len();
        let rules = stormy(&rig, &mut chance);
        let weather = chance.u8(0..10);
        let mut acting = Rng::with_seed(chance.u64(..));
        let (acted, weathered) = tokio::join!(act(&rig, &mut slots, &mut acting), weather_of(&setting, &rig, weather, &mut chance));
        operations += acted.with_context(|| format!("round {} of seed {}", memory.len(), setting.seed))?;
        weathered?;
        for rule in rules {
            rig.proxy.remove_rule(rule);
        }
        calm(&rig, &mut slots, &references, from)
            .await
            .with_context(|| format!("round {}, weather {weather}, seed {}", memory.len(), setting.seed))?;
        memory.push(rig.memory().await?);
    }
    setting.note(format!("{} rounds, {operations} operations, {} requests", memory.len(), rig.proxy.journal().len()));
    setting.note(format!("KiB resident after each round: {memory:?}"));
    is_flat(&memory)?;
    let names: Vec<String> = slots.into_iter().map(|slot| slot.name).collect();
    remove(&rig, &names).await
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
        ready(rig, std::slice::from_ref(name), changes).await?;
    }
    silence(rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    for name in &names {
        found.push(ageless(rig, name));
    }
    remove(rig, &names).await?;
    Ok(found)
}

/// The state, regardless of the time of the last renewal.
fn ageless(rig: &Rig, name: &str) -> Value {
    let mut state = bare(state(rig, name));
    if let Some(spec) = state["DeveloperSpace"]["spec"].as_object_mut() {
        spec.remove("renewedAt");
    }
    state
}

/// Adds the rules of the faults. Each request may meet any of them, and a few percent of the requests do.
fn stormy(rig: &Rig, chance: &mut Rng) -> Vec<RuleId> {
    let answer = |code, after| Fault::Respond { code, after };
    let faults = [
        (0.01, Fault::ResetBefore),
        (0.01, Fault::ResetAfter),
        (0.01, answer(409, false)),
        (0.01, answer(429, false)),
        (0.01, answer(500, false)),
        (0.01, answer(503, false)),
        (0.01, answer(504, true)),
        (0.01, Fault::Truncate),
        (0.01, Fault::Delay(Duration::from_secs(1))),
        (0.003, Fault::Hang { after: false }),
        (0.003, Fault::Hang { after: true }),
    ];
    let mut rules: Vec<RuleId> = faults
        .into_iter()
        .map(|(share, fault)| {
            let dice = Arc::new(Mutex::new(Rng::with_seed(chance.u64(..))));
            let strikes = move || dice.lock().unwrap_or_else(PoisonError::into_inner).f64() < share;
            rig.proxy.add_rule(
                FaultRule::new("storm", fault, move |request_info, _| request_info.verb != "watch" && strikes())
                    .limit(RuleLimit::For(SOON * 60)),
            )
        })
        .collect();
    let watches = FaultRule::new("storm", answer(500, false), |request_info, place| request_info.verb == "watch" && place.nth % 7 == 0);
    rules.push(rig.proxy.add_rule(watches.limit(RuleLimit::For(SOON * 60))));
    rules
}

/// Disturbs the network or the control plane for a part of the round.
async fn weather_of(setting: &Setting, rig: &Rig, weather: u8, chance: &mut Rng) -> Result<()> {
    let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    pause(5).await;
    match weather {
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
            let end = [WatchEnd::Reset, WatchEnd::Gone, WatchEnd::Silent][usize::from(weather - 2)];
            for _ in 0..3 {
                let resource = WATCHED[chance.usize(..WATCHED.len())];
                rig.proxy.end_watches(Some(resource), end);
                pause(8).await;
            }
        }
        5 => {
            let resource = WATCHED[chance.usize(..WATCHED.len())].to_owned();
            rig.proxy.network(|network| network.lag = HashMap::from([(resource, Duration::from_secs(3))]));
            pause(30).await;
            rig.proxy.network(|network| network.lag.clear());
        }
        6 | 7 => {
            if weather == 7 {
                compact(setting.cluster.etcd_port()).await?;
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

/// Performs acts one after another. Returns their number.
async fn act(rig: &Rig, slots: &mut [Slot], chance: &mut Rng) -> Result<usize> {
    let (begun, from, mut done) = (Instant::now(), rig.proxy.journal().len(), 0);
    while begun.elapsed() < ROUND {
        let number = chance.usize(..SLOTS);
        let (dice, variant) = (chance.u8(0..100), chance.usize(..variants().len()));
        let Slot { name, wanted, may_go } = &mut slots[number];
        let there = rig.view.objects(name).contains_key("DeveloperSpace");
        let (act, next) = match (*wanted, dice) {
            (None, _) if there => continue,
            (None, _) => (Act::Create(space(&spec(&variants()[variant]))), Some(variant)),
            (Some(_), 0..40) => (Act::Patch("DeveloperSpace", "$NAME", way_to(variant)), Some(variant)),
            (Some(same), 40..75) => (drift(chance), Some(same)),
            (Some(same), 75..85) => (Act::Patch("DeveloperSpace", "$NAME", json!({"spec": {"renewedAt": "$NOW"}})), Some(same)),
            (Some(_), 85..93) => (Act::Delete("DeveloperSpace", "$NAME"), None),
            (Some(_), _) => {
                let end = json!({"spec": {"className": "sweep-brief", "renewedAt": "$NOW", "expiresAt": "$SOON"}});
                (Act::Patch("DeveloperSpace", "$NAME", end), None)
            }
        };
        *may_go |= next.is_none();
        perform(rig, name, &act).await.with_context(|| trace(rig, name, from))?;
        *wanted = next;
        done += 1;
        tokio::time::sleep(Duration::from_millis(chance.u64(20..200))).await;
    }
    Ok(done)
}

/// Performs an act, and retries it while the API server is unavailable. An act on an object that does not exist, such
/// as a child that was just deleted, is skipped.
async fn perform(rig: &Rig, name: &str, act: &Act) -> Result<()> {
    eventually(&format!("{act:?} to be taken"), SOON, || async {
        let Err(error) = rig.perform(name, act).await else { return Ok(Some(())) };
        let answered = match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => status.code,
            _ => 0,
        };
        let is_needless = match (act, answered) {
            // The first attempt created the space and the response was lost, or the previous space of that name still
            // exists.
            (Act::Create(wanted), 409) => {
                let there = rig.admin.find(a_space(name)).await?;
                let lives = |there: &Value| there["metadata"]["deletionTimestamp"].is_null() && there["spec"]["expiresAt"].is_null();
                there.is_some_and(|there| lives(&there) && there["spec"]["className"] == wanted["spec"]["className"])
            }
            (Act::Create(_) | Act::Patch("DeveloperSpace", ..), _) => false,
            (_, code) => matches!(code, 404 | 409),
        };
        if is_needless { Ok(Some(())) } else { Err(error) }
    })
    .await
}

/// Returns the patch that turns any variant into this one.
fn way_to(variant: usize) -> Value {
    let wanted = spec(&variants()[variant]);
    let mut patch = json!({});
    for key in ["className", "members", "quota", "labels", "annotations", "contact"] {
        patch[key] = wanted[key].clone();
    }
    for key in ["email", "team"] {
        patch["contact"][key] = wanted["contact"][key].clone();
    }
    if wanted["labels"].is_null() {
        patch["labels"] = Value::Null;
    }
    json!({"spec": patch})
}

fn drift(chance: &mut Rng) -> Act {
    match chance.u8(0..9) {
        0 => Act::Delete("ResourceQuota", "developerspace"),
        1 => Act::Delete("LimitRange", "developerspace"),
        2 => Act::Delete("RoleBinding", "developerspace-owner"),
        3 => Act::Delete("NetworkPolicy", "developerspace-isolation"),
        4 => Act::Delete("Namespace", "$NAME"),
        5 => Act::Patch("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "1"}}})),
        6 => Act::Patch("LimitRange", "developerspace", json!({"spec": {"limits": []}})),
        7 => Act::Patch(
            "Namespace",
            "$NAME",
            json!({"metadata": {"labels": {"developerspace.dev/space": null, "developerspace.dev/team": "wrong"}}}),
        ),
        _ => Act::Patch("RoleBinding", "developerspace-owner", json!({"subjects": [], "metadata": {"labels": null}})),
    }
}

/// Checks LIVE, END, SAFE, ORPH and QUIET after the faults.
async fn calm(rig: &Rig, slots: &mut [Slot], references: &[Value], from: usize) -> Result<()> {
    rig.ensure_alive().await?;
    let judged = join_all(slots.iter().map(|slot| async {
        let judged = match slot.wanted.and_then(|variant| references.get(variant)) {
            Some(expected) => is_as_expected(rig, &slot.name, expected).await,
            None => gone(rig, &slot.name).await,
        };
        judged.with_context(|| trace(rig, &slot.name, from))
    }));
    judged.await.into_iter().collect::<Result<()>>()?;
    silence(rig, from, Duration::from_secs(3)).await?;
    no_writes(rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
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
async fn is_as_expected(rig: &Rig, name: &str, expected: &Value) -> Result<()> {
    let right = |_: &Objects| ensure_equal(name, &ageless(rig, name), expected);
    let counted = |objects: &Objects| {
        ensure!(!is_uncounted(objects), "kube-controller-manager has not set the status of the ResourceQuota");
        Ok(())
    };
    let Err(late) = rig.view.until("to be as it should", name, SOON, right).await else { return Ok(()) };
    if !is_uncounted(&rig.view.objects(name)) {
        return Err(late);
    }
    rig.view.until("to have a quota in force", name, SOON * 3, counted).await?;
    rig.view.until("to be as it should", name, SOON, right).await.map(drop)
}

/// Returns true if the space has a ResourceQuota whose spec is not in force yet.
fn is_uncounted(objects: &Objects) -> bool {
    objects.get("ResourceQuota developerspace").is_some_and(|quota| quota["status"]["hard"] != quota["spec"]["hard"])
}

/// Waits until the space and its objects no longer exist. A fault may delay the change to the short-lived class until
/// after the renewal of the same request has counted. The change then brings the end nearer, and a notice of five
/// minutes applies. This function requests the deletion of such a space.
async fn gone(rig: &Rig, name: &str) -> Result<()> {
    let is_postponed = |objects: &Objects| objects.get("DeveloperSpace").is_some_and(|space| !space["status"]["postponed"].is_null());
    let is_gone = |objects: &Objects| {
        ensure!(objects.is_empty(), "{} is left", objects.keys().cloned().collect::<Vec<_>>().join(", "));
        Ok(())
    };
    let decided = |objects: &Objects| if is_postponed(objects) { Ok(()) } else { is_gone(objects) };
    if !rig.view.until("to go, or to have notice", name, SOON, decided).await?.is_empty() {
        rig.perform(name, &Act::Delete("DeveloperSpace", "$NAME")).await?;
    }
    rig.view.until("to be gone", name, SOON, is_gone).await.map(drop)
}

fn trace(rig: &Rig, name: &str, from: usize) -> String {
    let lines: Vec<String> =
        rig.proxy.journal().since(from, |entry| entry.request_info.space.as_deref() == Some(name)).iter().map(Entry::line).collect();
    format!("the last requests about it:\n    {}", lines[lines.len().saturating_sub(25)..].join("\n    "))
}

/// Compares the last quarter of the rounds with the second quarter, which follows the warm-up.
fn is_flat(memory: &[u64]) -> Result<()> {
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
    ensure!(late <= early * GROWTH.0 / 100 + GROWTH.1, "memory grows: from {early} KiB to {late} KiB");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let noisy: Vec<u64> = (0..40).map(|round| 40_000 + (round * 7919) % 3_000).collect();
        assert!(is_flat(&noisy).is_ok());
        let growing: Vec<u64> = (0..40).map(|round| 40_000 + round * 500).collect();
        assert!(is_flat(&growing).is_err());
    }

    #[test]
    fn each_variant_leads_to_each_other() {
        for from in variants() {
            for (to, wanted) in variants().iter().enumerate() {
                let mut there = spec(&from);
                crate::mutations::merge(&mut there, &way_to(to)["spec"]);
                assert_eq!(there, spec(wanted), "{from} to {wanted}");
            }
        }
    }
}
