//! Every single property of a space, changed by its own hostile owner in every way that the schema suggests.

use anyhow::{Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_space, condition, ensure_equal, holds, is_observed, refusal, space, text},
    mutation_run::{MutationOutcome, MutationRun, OutcomeCounts},
    mutations::{Mutation, reverse_patch},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    bystanders::{bystanders, ensure_unchanged},
    setup::{AttackSetup, CLASS},
};

/// The number of spaces that are changed concurrently.
const CONCURRENT_SPACES: usize = 16;

pub(crate) async fn no_change_of_a_hostile_owner_reaches_others(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    let run = MutationRun::new(admin, "developerspaces", &spec()).await?;
    let count = run.total();
    ensure!(count >= 500, "only {count} changes were made up");
    let before = bystanders(admin).await?;
    let names: Vec<String> = (0..CONCURRENT_SPACES).map(|number| format!("alice-hostile-{number}")).collect();
    join_all(names.iter().map(|name| apply_changes(setup, name, &before, &run)))
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    let failures = run.failures();
    ensure!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
    let OutcomeCounts { rejected, applied, reported } = run.counts();
    ensure!(
        rejected > 200 && reported > 0 && applied > 50,
        "of {count} changes {rejected} were refused, {reported} told and {applied} done"
    );
    Ok(())
}

/// Applies changes to one space of Alice, one after another, until none is left.
async fn apply_changes(setup: &AttackSetup, name: &str, before: &Value, run: &MutationRun) -> Result<()> {
    let admin = setup.world.admin();
    setup.alice.create(&space(name, spec())).await?;
    setup.world.until_ready(name).await?;
    let original = admin.get(a_space(name)).await?["spec"].clone();
    while let Some(mutation) = run.take() {
        let outcome = apply_change(setup, name, &mutation).await;
        let unchanged = ensure_unchanged(admin, before).await;
        run.record(&mutation, outcome.and_then(|outcome| unchanged.map(|()| outcome)));
        let present = admin.get(a_space(name)).await?["spec"].clone();
        if present != original {
            admin.patch(a_space(name), json!({"spec": reverse_patch(&present, &original)})).await?;
            setup.world.until_ready(name).await?;
        }
    }
    admin.delete(a_space(name)).await
}

async fn apply_change(setup: &AttackSetup, name: &str, mutation: &Mutation) -> Result<MutationOutcome> {
    let outcome = setup.alice.patch(a_space(name), json!({"spec": mutation.patch})).await;
    if outcome.is_err() {
        ensure!(!refusal(outcome)?.is_empty(), "refused without a word");
        return Ok(MutationOutcome::Rejected);
    }
    let space = eventually("the change to be done or told", SOON, || async {
        let space = setup.world.admin().get(a_space(name)).await?;
        let ready = condition(&space, "Ready");
        let is_decided = holds(&space, "Ready") || ready["status"] == "False" && !text(ready, "/message").is_empty();
        ensure!(is_observed(&space) && is_decided, "its status is {}", space["status"]);
        Ok(Some(space))
    })
    .await?;
    // Whatever else she may change, the space remains hers, and no subject that belongs to Kubernetes gets access to
    // its namespace.
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
    Ok(if holds(&space, "Ready") { MutationOutcome::Applied } else { MutationOutcome::Reported })
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
