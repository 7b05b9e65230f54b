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
    bystanders::{bystanders, ensure_unmoved},
    stage::{CLASS, Stage},
};

/// The number of spaces that are changed concurrently.
const SIDE_BY_SIDE: usize = 16;

/// The outcomes of the changes.
#[derive(Default)]
struct Tally {
    refused: Cell<usize>,
    told: Cell<usize>,
    done: Cell<usize>,
    wrong: RefCell<Vec<String>>,
}

pub async fn no_change_of_a_hostile_owner_reaches_others(stage: &Stage) -> Result<()> {
    let admin = stage.world.admin();
    let crd = admin.get(cluster_wide("CustomResourceDefinition", "developerspaces.developerspace.dev")).await?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("the kind has no schema")?;
    let todo: RefCell<VecDeque<Mutation>> = RefCell::new(mutations(schema, &spec()).into());
    let count = todo.borrow().len();
    ensure!(count >= 500, "only {count} changes were made up");
    let (tally, before) = (Tally::default(), bystanders(admin).await?);
    let names: Vec<String> = (0..SIDE_BY_SIDE).map(|number| format!("alice-hostile-{number}")).collect();
    join_all(names.iter().map(|name| work(stage, name, &before, &todo, &tally))).await.into_iter().collect::<Result<()>>()?;
    let wrong = tally.wrong.into_inner();
    ensure!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    let (refused, told, done) = (tally.refused.get(), tally.told.get(), tally.done.get());
    ensure!(refused > 200 && told > 0 && done > 50, "of {count} changes {refused} were refused, {told} told and {done} done");
    Ok(())
}

/// Changes one space of Alice's again and again.
async fn work(stage: &Stage, name: &str, before: &Value, todo: &RefCell<VecDeque<Mutation>>, tally: &Tally) -> Result<()> {
    let admin = stage.world.admin();
    stage.alice.create(&space(name, spec())).await?;
    stage.world.until_ready(name).await?;
    let first = admin.get(a_space(name)).await?["spec"].clone();
    loop {
        let next = todo.borrow_mut().pop_front();
        let Some(mutation) = next else { break };
        let outcome = try_one(stage, name, &mutation).await;
        let unmoved = ensure_unmoved(admin, before).await;
        let count = match outcome.and_then(|end| unmoved.map(|()| end)) {
            Ok(End::Refused) => &tally.refused,
            Ok(End::Told) => &tally.told,
            Ok(End::Done) => &tally.done,
            Err(error) => {
                tally.wrong.borrow_mut().push(format!("{}: {error:#}", mutation.label));
                &tally.done
            }
        };
        count.set(count.get() + 1);
        let present = admin.get(a_space(name)).await?["spec"].clone();
        if present != first {
            admin.patch(a_space(name), json!({"spec": reverse_patch(&present, &first)})).await?;
            stage.world.until_ready(name).await?;
        }
    }
    admin.delete(a_space(name)).await
}

enum End {
    Refused,
    Told,
    Done,
}

async fn try_one(stage: &Stage, name: &str, mutation: &Mutation) -> Result<End> {
    let outcome = stage.alice.patch(a_space(name), json!({"spec": mutation.patch})).await;
    if outcome.is_err() {
        ensure!(!refusal(outcome)?.is_empty(), "refused without a word");
        return Ok(End::Refused);
    }
    let space = eventually("the change to be done or told", SOON, || async {
        let space = stage.world.admin().get(a_space(name)).await?;
        let ready = condition(&space, "Ready");
        let settled = holds(&space, "Ready") || ready["status"] == "False" && !text(ready, "/message").is_empty();
        ensure!(is_observed(&space) && settled, "its status is {}", space["status"]);
        Ok(Some(space))
    })
    .await?;
    // Whatever else she may change, the space remains hers, and no subject that belongs to Kubernetes gets access to its namespace.
    ensure_equal("the owner", &space["spec"]["owner"], &spec()["owner"])?;
    for binding in stage.world.admin().list("RoleBinding", name).await? {
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            if text(subject, "/name").to_lowercase().starts_with("system:") {
                bail!("{subject} is bound");
            }
        }
        let role = text(&binding, "/roleRef/name");
        ensure!(["edit", "view"].contains(&role), "ClusterRole {role} is bound");
    }
    Ok(if holds(&space, "Ready") { End::Done } else { End::Told })
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
