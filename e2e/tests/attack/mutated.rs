//! Every single property of a space, changed by its own hostile owner in every way that the schema suggests.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_space, cluster_wide, condition, ensure_equal, holds, is_observed, refusal, space, text},
    mutations::{Mutation, mutations, reverse_patch},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    bystanders::{bystanders, ensure_unchanged},
    setup::{AttackSetup, CLASS},
};

/// The number of spaces that are changed concurrently.
const CONCURRENT_SPACES: usize = 16;

/// The outcomes of the changes.
#[derive(Default)]
struct OutcomeCounts {
    refused: Cell<usize>,
    reported: Cell<usize>,
    applied: Cell<usize>,
    failures: RefCell<Vec<String>>,
}

pub async fn no_change_of_a_hostile_owner_reaches_others(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    let crd = admin.get(cluster_wide("CustomResourceDefinition", "developerspaces.developerspace.dev")).await?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("the kind has no schema")?;
    let pending: RefCell<VecDeque<Mutation>> = RefCell::new(mutations(schema, &spec()).into());
    let count = pending.borrow().len();
    ensure!(count >= 500, "only {count} changes were made up");
    let (counts, before) = (OutcomeCounts::default(), bystanders(admin).await?);
    let names: Vec<String> = (0..CONCURRENT_SPACES).map(|number| format!("alice-hostile-{number}")).collect();
    join_all(names.iter().map(|name| apply_changes(setup, name, &before, &pending, &counts))).await.into_iter().collect::<Result<()>>()?;
    let failures = counts.failures.into_inner();
    ensure!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
    let (refused, reported, applied) = (counts.refused.get(), counts.reported.get(), counts.applied.get());
    ensure!(refused > 200 && reported > 0 && applied > 50, "of {count} changes {refused} were refused, {reported} told and {applied} done");
    Ok(())
}

/// Applies changes to one space of Alice, one after another, until none is left.
async fn apply_changes(
    setup: &AttackSetup,
    name: &str,
    before: &Value,
    pending: &RefCell<VecDeque<Mutation>>,
    counts: &OutcomeCounts,
) -> Result<()> {
    let admin = setup.world.admin();
    setup.alice.create(&space(name, spec())).await?;
    setup.world.until_ready(name).await?;
    let original = admin.get(a_space(name)).await?["spec"].clone();
    loop {
        let next = pending.borrow_mut().pop_front();
        let Some(mutation) = next else { break };
        let outcome = apply_change(setup, name, &mutation).await;
        let unchanged = ensure_unchanged(admin, before).await;
        let count = match outcome.and_then(|result| unchanged.map(|()| result)) {
            Ok(ChangeOutcome::Refused) => &counts.refused,
            Ok(ChangeOutcome::Reported) => &counts.reported,
            Ok(ChangeOutcome::Applied) => &counts.applied,
            Err(error) => {
                counts.failures.borrow_mut().push(format!("{}: {error:#}", mutation.label));
                &counts.applied
            }
        };
        count.set(count.get() + 1);
        let present = admin.get(a_space(name)).await?["spec"].clone();
        if present != original {
            admin.patch(a_space(name), json!({"spec": reverse_patch(&present, &original)})).await?;
            setup.world.until_ready(name).await?;
        }
    }
    admin.delete(a_space(name)).await
}

/// The effect of a change that Alice requested.
enum ChangeOutcome {
    Refused,
    Reported,
    Applied,
}

async fn apply_change(setup: &AttackSetup, name: &str, mutation: &Mutation) -> Result<ChangeOutcome> {
    let outcome = setup.alice.patch(a_space(name), json!({"spec": mutation.patch})).await;
    if outcome.is_err() {
        ensure!(!refusal(outcome)?.is_empty(), "refused without a word");
        return Ok(ChangeOutcome::Refused);
    }
    let space = eventually("the change to be done or told", SOON, || async {
        let space = setup.world.admin().get(a_space(name)).await?;
        let ready = condition(&space, "Ready");
        let is_decided = holds(&space, "Ready") || ready["status"] == "False" && !text(ready, "/message").is_empty();
        ensure!(is_observed(&space) && is_decided, "its status is {}", space["status"]);
        Ok(Some(space))
    })
    .await?;
    // Whatever else she may change, the space remains hers, and no subject that belongs to Kubernetes gets access to its namespace.
    ensure_equal("the owner", &space["spec"]["owner"], &spec()["owner"])?;
    for binding in setup.world.admin().list("RoleBinding", name).await? {
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            if text(subject, "/name").to_lowercase().starts_with("system:") {
                bail!("{subject} is bound");
            }
        }
        let role = text(&binding, "/roleRef/name");
        ensure!(["edit", "view"].contains(&role), "ClusterRole {role} is bound");
    }
    Ok(if holds(&space, "Ready") { ChangeOutcome::Applied } else { ChangeOutcome::Reported })
}

/// A spec that uses every property, except those that exclude each other.
fn spec() -> Value {
    json!({
        "className": CLASS, "owner": {"kind": "User", "name": "alice@example.com"},
        "members": [{"kind": "Group", "name": "ops", "role": "view"}, {"kind": "ServiceAccount", "name": "robot", "namespace": "ci", "role": "edit"}],
        "displayName": "A lab", "description": "Of a hostile owner",
        "contact": {"team": "payments", "email": "payments@example.com", "chat": "#payments", "url": "https://wiki.example.com/payments", "costCenter": "4711"},
        "labels": {"example.com/stage": "test"}, "annotations": {"example.com/note": "a note"},
        "quota": {"requests.cpu": "3"}, "protected": false, "deletionPolicy": "Delete",
        "limitRange": [{"type": "Container", "default": {"cpu": "200m", "memory": "200Mi"}, "defaultRequest": {"cpu": "20m", "memory": "20Mi"},
            "max": {"cpu": "2"}, "min": {"cpu": "1m"}, "maxLimitRequestRatio": {"cpu": "100"}}],
    })
}
