//! R19: every single property of both kinds is changed to valid and invalid values, and changed back. Each change is
//! rejected with a message, done, or reported in a condition; none is half done; and the change back restores the
//! state.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{bare, remove, state},
};
use crate::{
    fault_sweep::rig::Rig,
    fixtures::{At, SOON, class, cluster_wide, condition, ensure_equal, holds, is_observed, space, text},
    mutations::{Mutation, mutations, way_back},
    wait::eventually,
};

/// The number of spaces that are changed concurrently.
const SIDE_BY_SIDE: usize = 24;
/// A space has settled when nothing was written to it for this time.
const SETTLED: Duration = Duration::from_millis(800);
/// The maximum number of violations that are reported in full.
const TOLD: usize = 12;

pub(super) async fn of_spaces(setting: Setting) -> Result<()> {
    all(&setting, "DeveloperSpace", "developerspaces").await
}

pub(super) async fn of_classes(setting: Setting) -> Result<()> {
    all(&setting, "SpaceClass", "spaceclasses").await
}

/// The results of the changes.
#[derive(Default)]
struct Tally {
    refused: Cell<usize>,
    done: Cell<usize>,
    told: Cell<usize>,
    wrong: RefCell<Vec<String>>,
}

async fn all(setting: &Setting, kind: &'static str, plural: &str) -> Result<()> {
    let rig = setting.working().await?;
    let crd = rig.admin.get(cluster_wide("CustomResourceDefinition", &format!("{plural}.developerspace.dev"))).await?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("the kind has no schema")?;
    let spec = if kind == "SpaceClass" { class_spec() } else { space_spec("of-the-schema") };
    let todo: RefCell<VecDeque<Mutation>> = RefCell::new(mutations(schema, &spec).into());
    let count = todo.borrow().len();
    ensure!(count > 300, "only {count} changes were made up");
    let tally = Tally::default();
    let names = setting.names(SIDE_BY_SIDE);
    join_all(names.iter().map(|name| work(&rig, kind, name, &todo, &tally))).await.into_iter().collect::<Result<()>>()?;
    rig.ensure_alive().await?;
    setting.note(format!("{count} changes: {} refused, {} done, {} told", tally.refused.get(), tally.done.get(), tally.told.get()));
    let wrong = tally.wrong.into_inner();
    ensure!(wrong.is_empty(), "{} of {count}: {}", wrong.len(), wrong[..wrong.len().min(TOLD)].join("\n  "));
    ensure!(tally.refused.get() > 0 && tally.done.get() > 0 && tally.told.get() > 0, "some way to end was never taken");
    remove(&rig, &names).await?;
    for name in &names {
        rig.admin.delete(cluster_wide("SpaceClass", name)).await?;
    }
    Ok(())
}

/// Changes one space and its class repeatedly.
async fn work(rig: &Rig, kind: &str, name: &str, todo: &RefCell<VecDeque<Mutation>>, tally: &Tally) -> Result<()> {
    rig.admin.create(&class(name, class_spec())).await?;
    rig.admin.create(&space(name, space_spec(name))).await?;
    rig.ready(name).await?;
    settle(rig, name, Instant::now()).await?;
    let at = cluster_wide(kind, name);
    let spec = rig.admin.get(at).await?["spec"].clone();
    let before = bare(state(rig, name));
    loop {
        let next = todo.borrow_mut().pop_front();
        let Some(mutation) = next else { return Ok(()) };
        match there_and_back(rig, at, &mutation, (&spec, &before)).await {
            Ok(end) => {
                let count = match end {
                    End::Refused => &tally.refused,
                    End::Done => &tally.done,
                    End::Told => &tally.told,
                };
                count.set(count.get() + 1);
            }
            Err(error) => {
                tally.wrong.borrow_mut().push(format!("{}: {error:#}", mutation.label));
                // The error of this change must not be attributed to the next one.
                rig.view.until("to be itself again", name, SOON, |_| ensure_equal(name, &bare(state(rig, name)), &before)).await?;
            }
        }
    }
}

enum End {
    Refused,
    Done,
    Told,
}

async fn there_and_back(rig: &Rig, at: At<'_>, mutation: &Mutation, (spec, before): (&Value, &Value)) -> Result<End> {
    let begun = Instant::now();
    if let Err(error) = rig.admin.patch(at, json!({"spec": mutation.patch})).await {
        let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else { return Err(error) };
        ensure!(matches!(status.code, 400 | 422) && !status.message.is_empty(), "refused with {}: {}", status.code, status.message);
        return Ok(End::Refused);
    }
    let ready = settle(rig, at.name, begun).await;
    let after = state(rig, at.name);
    let present = rig.admin.get(at).await?["spec"].clone();
    rig.admin.patch(at, json!({"spec": way_back(&present, spec)})).await.context("the way back was refused")?;
    let back = rig.view.until("to be back", at.name, SOON, |_| ensure_equal(at.name, &bare(state(rig, at.name)), before)).await;
    let ready = ready?;
    if !ready {
        ensure_equal("what was told to be impossible, and was half done,", &without_ours(after), &without_ours(before.clone()))?;
    }
    back?;
    Ok(if ready { End::Done } else { End::Told })
}

/// Waits until the space reports the result of the change. Returns true if it is ready.
async fn settle(rig: &Rig, name: &str, since: Instant) -> Result<bool> {
    eventually("the change to be done or told", SOON, || async {
        let objects = rig.view.objects(name);
        let space = objects.get("DeveloperSpace").context("the space is gone")?;
        let class = objects.get("SpaceClass").context("the class is gone")?;
        ensure!(is_observed(space) && is_observed(class), "not looked at yet: {}", space["status"]);
        let quiet = rig.proxy.journal().writes_of(name, 0).last().is_none_or(|entry| entry.instant.elapsed() > SETTLED);
        ensure!(quiet && since.elapsed() > SETTLED, "it still writes");
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

/// Returns only the objects that a space manages: its namespace and the objects in it.
fn without_ours(mut state: Value) -> Value {
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
