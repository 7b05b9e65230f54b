//! R19: every single property of both kinds is changed to valid and invalid values, and changed back. Each change is
//! rejected with a message, done, or reported in a condition; none is half done; and the change back restores the
//! state.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use developerspace_operator::api::quantity::Quantity;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{delete_spaces, state, without_history},
};
use crate::{
    fault_sweep::rig::Rig,
    fixtures::{At, SOON, a_class, class, cluster_wide, condition, ensure_equal, holds, is_observed, space, text},
    mutation_run::{MutationOutcome, MutationRun, OutcomeCounts},
    mutations::{Mutation, reverse_patch},
    wait::eventually,
};

/// The number of spaces that are changed concurrently.
const MAX_CONCURRENT_SPACES: usize = 24;
/// A space has settled when nothing was written to it for this time.
const SETTLE_TIME: Duration = Duration::from_millis(800);
/// The maximum number of violations that are reported in full.
const MAX_REPORTED: usize = 12;

pub(super) async fn of_spaces(setting: Setting) -> Result<()> {
    change_all(&setting, "DeveloperSpace", "developerspaces").await
}

pub(super) async fn of_classes(setting: Setting) -> Result<()> {
    change_all(&setting, "SpaceClass", "spaceclasses").await
}

async fn change_all(setting: &Setting, kind: &'static str, plural: &str) -> Result<()> {
    let rig = setting.running_rig().await?;
    let spec = if kind == "SpaceClass" { class_spec() } else { space_spec("of-the-schema") };
    let run = MutationRun::new(&rig.admin, plural, &spec).await?;
    let count = run.total();
    ensure!(count > 300, "only {count} changes were made up");
    let names = setting.names(MAX_CONCURRENT_SPACES);
    join_all(names.iter().map(|name| change_repeatedly(&rig, kind, name, &run)))
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    rig.ensure_alive().await?;
    let OutcomeCounts { rejected, applied, reported } = run.counts();
    setting.add_note(format!("{count} changes: {rejected} refused, {applied} done, {reported} told"));
    let failures = run.failures();
    ensure!(
        failures.is_empty(),
        "{} of {count}: {}",
        failures.len(),
        failures[..failures.len().min(MAX_REPORTED)].join("\n  ")
    );
    ensure!(rejected > 0 && applied > 0 && reported > 0, "some way to end was never taken");
    delete_spaces(&rig, &names).await?;
    for name in &names {
        rig.admin.delete(a_class(name)).await?;
    }
    Ok(())
}

/// Changes one space and its class repeatedly.
async fn change_repeatedly(rig: &Rig, kind: &str, name: &str, run: &MutationRun) -> Result<()> {
    rig.admin.create(&class(name, class_spec())).await?;
    rig.admin.create(&space(name, space_spec(name))).await?;
    rig.ready(name).await?;
    until_settled(rig, name, Instant::now()).await?;
    let at = cluster_wide(kind, name);
    let spec = rig.admin.get(at).await?["spec"].clone();
    let before = state(rig, name);
    while let Some(mutation) = run.take() {
        let outcome = apply_and_revert(rig, at, &mutation, &spec, &before).await;
        let has_failed = outcome.is_err();
        run.record(&mutation, outcome);
        if has_failed {
            // The error of this change must not be attributed to the next one.
            rig.view.until("to be itself again", name, SOON, |_| ensure_restored(rig, at, &before)).await?;
        }
    }
    Ok(())
}

/// Returns an error unless the state of the space is again `before`, the state before a change that was reverted. A
/// warning that a change of the class caused has announced an end, and stays in force when the class is changed back.
fn ensure_restored(rig: &Rig, at: At<'_>, before: &Value) -> Result<()> {
    let (mut expected, mut after) = (before.clone(), state(rig, at.name));
    let is_warned = condition(&before["DeveloperSpace"], "Expiring")["status"] == "False"
        && !after["DeveloperSpace"]["status"]["lastWarning"].is_null();
    if at.kind == "SpaceClass" && is_warned {
        remove_expiring(&mut expected);
        remove_expiring(&mut after);
    }
    ensure_equal(at.name, &without_history(after), &without_history(expected))
}

fn remove_expiring(state: &mut Value) {
    if let Some(conditions) = state.pointer_mut("/DeveloperSpace/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != "Expiring");
    }
}

/// Makes a change and reverses it. Everything must be as before then.
async fn apply_and_revert(
    rig: &Rig,
    at: At<'_>,
    mutation: &Mutation,
    spec: &Value,
    before: &Value,
) -> Result<MutationOutcome> {
    let begun = Instant::now();
    if let Err(error) = rig.admin.patch(at, json!({"spec": mutation.patch})).await {
        let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else { return Err(error) };
        ensure!(
            matches!(status.code, 400 | 422) && !status.message.is_empty(),
            "refused with {}: {}",
            status.code,
            status.message
        );
        return Ok(MutationOutcome::Rejected);
    }
    let ready = until_settled(rig, at.name, begun).await;
    let after = state(rig, at.name);
    let present = rig.admin.get(at).await?["spec"].clone();
    rig.admin.patch(at, json!({"spec": reverse_patch(&present, spec)})).await.context("the way back was refused")?;
    let back = rig.view.until("to be back", at.name, SOON, |_| ensure_restored(rig, at, before)).await;
    let ready = ready?;
    if !ready {
        ensure_nothing_granted(&managed_objects(after), &managed_objects(before.clone()))?;
    }
    back?;
    Ok(if ready { MutationOutcome::Applied } else { MutationOutcome::Reported })
}

/// Waits until the space reports the result of the change. Returns true if it is ready.
async fn until_settled(rig: &Rig, name: &str, since: Instant) -> Result<bool> {
    eventually("the change to be done or told", SOON, || async {
        let objects = rig.view.objects(name);
        let space = objects.get("DeveloperSpace").context("the space is gone")?;
        let class = objects.get("SpaceClass").context("the class is gone")?;
        ensure!(is_observed(space) && is_observed(class), "not looked at yet: {}", space["status"]);
        let quiet =
            rig.proxy.journal().writes_of(name, 0).last().is_none_or(|entry| entry.instant.elapsed() > SETTLE_TIME);
        ensure!(quiet && since.elapsed() > SETTLE_TIME, "it still writes");
        let ready = condition(space, "Ready");
        if holds(space, "Ready") {
            ensure!(!holds(space, "Reconciling"), "still at work: {}", space["status"]);
            return Ok(Some(true));
        }
        if ready["status"] == "False" && !text(ready, "/message").is_empty() {
            return Ok(Some(false));
        }
        bail!("it says nothing: {}", space["status"])
    })
    .await
}

/// Checks the objects of a space whose spec is refused: they are as before, except for what a refused spec does not
/// keep. Bindings, their subjects, labels and annotations go if the space does not ask for them any more or the class
/// does not allow them, and amounts of the quota fall.
fn ensure_nothing_granted(after: &Value, before: &Value) -> Result<()> {
    let mut expected = before.clone();
    for (key, object) in expected.as_object_mut().into_iter().flatten() {
        let after = &after[key];
        if key == "Namespace" {
            for field in ["labels", "annotations"] {
                let kept = |name: &String, _: &mut Value| !after["metadata"][field][name].is_null();
                object["metadata"][field].as_object_mut().into_iter().for_each(|entries| entries.retain(kept));
            }
        } else if key.starts_with("RoleBinding ") {
            let left = after["subjects"].as_array();
            let kept = |subject: &Value| left.is_some_and(|left| left.contains(subject));
            object["subjects"].as_array_mut().into_iter().for_each(|subjects| subjects.retain(kept));
        } else if key.starts_with("ResourceQuota ") {
            for (name, amount) in object["spec"]["hard"].as_object_mut().into_iter().flatten() {
                let quantity = |amount: &Value| Quantity(amount.as_str().unwrap_or_default().to_owned());
                let fallen = &after["spec"]["hard"][name];
                if quantity(fallen).compare(&quantity(amount)) == Some(Ordering::Less) {
                    amount.clone_from(fallen);
                }
            }
        }
    }
    if let Some(objects) = expected.as_object_mut() {
        objects.retain(|key, _| !key.starts_with("RoleBinding ") || !after[key].is_null());
    }
    ensure_equal("what was told to be impossible, and was half done,", after, &expected)
}

/// Returns only the objects that a space manages: its namespace and the objects in it.
fn managed_objects(mut state: Value) -> Value {
    if let Some(objects) = state.as_object_mut() {
        objects.remove("DeveloperSpace");
        objects.remove("SpaceClass");
    }
    state
}

/// A space that uses every property, except for those that exclude each other.
fn space_spec(name: &str) -> Value {
    json!({
        "className": name, "owner": {"kind": "User", "name": format!("{name}@example.com")},
        "members": [
            {"kind": "Group", "name": "ops", "role": "view"}, {"kind": "ServiceAccount", "name": "robot", "namespace": "default", "role": "edit"}
        ],
        "displayName": "One of many", "description": "Changed again and again",
        "contact": {"team": "payments", "email": "payments@example.com", "chat": "#payments", "url": "https://wiki.example.com/payments", "costCenter": "4711"},
        "labels": {"example.com/stage": "test"}, "annotations": {"example.com/note": "a note"},
        "quota": {"requests.cpu": "3"}, "protected": false, "deletionPolicy": "Delete",
        "limitRange": [{"type": "Container", "default": {"cpu": "200m", "memory": "200Mi"}, "defaultRequest": {"cpu": "20m", "memory": "20Mi"},
            "max": {"cpu": "2"}, "min": {"cpu": "1m"}, "maxLimitRequestRatio": {"cpu": "100"}}],
    })
}

/// A class that uses every property.
fn class_spec() -> Value {
    json!({
        "description": "Changed again and again", "ownerRole": "edit",
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"requests.cpu": "4", "requests.memory": "2Gi"}, "max": {"requests.cpu": "8"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "100m", "memory": "64Mi"}, "defaultRequest": {"cpu": "10m", "memory": "32Mi"}}],
        "network": {"isolation": "Namespace", "enforced": false, "allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": "front-door"}}]},
        "podSecurity": {"enforce": "baseline", "audit": "restricted", "warn": "restricted"},
        "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "maxLifetime": "90d", "allowNever": false, "warnBefore": ["1d"], "retainExpired": "1d"},
        "metadata": {"labels": {"example.com/of": "class"}, "annotations": {"example.com/by": "class"}, "allowedKeys": ["example.com/*"]},
        "maxSpacesPerOwner": 3,
    })
}
