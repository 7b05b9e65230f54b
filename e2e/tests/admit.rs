//! Invalid requests are refused by the expected component and with a helpful message, and requests at the limits are admitted.
//! `tests/fixtures/bad_input.yaml` is the table, which the unit tests of `src/api` use too.

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_namespace, a_space, cluster_wide, condition, holds, is_observed, name_of, refusal, run_concurrently, space,
        text, user,
    },
    scenarios,
};
use futures::future::join_all;
use serde_json::{Value, json};

#[path = "../../tests/fixtures/bad_input.rs"]
mod table;

use table::{Case, RefusedBy, Table};

const CRD: &str = "developerspaces.developerspace.dev";

#[tokio::test(flavor = "multi_thread")]
async fn admit() -> Result<()> {
    let world = World::start(&[]).await?;
    let table = Table::read()?;
    let judged = run_concurrently(vec![
        ("the_server_refuses", Box::pin(the_server_refuses(&world, &table))),
        ("the_operator_refuses", Box::pin(the_operator_refuses(&world, &table))),
        ("edges_are_admitted", Box::pin(edges_are_admitted(&world, &table))),
        ("the_greatest_are_reported", Box::pin(the_greatest_are_reported(&world, &table))),
    ])
    .await;
    // This scenario changes the CRD, so no other may run concurrently; one failure must not hide the other.
    let nonsense = run_concurrently(scenarios![&world; stored_nonsense_stops_nobody_else]).await;
    judged.and(nonsense)?;
    world.ensure_operator_ready().await
}

/// Reports all failures at once, so that a table can be corrected in one go.
fn none(complaints: &[String]) -> Result<()> {
    ensure!(complaints.is_empty(), "{} cases:\n{}", complaints.len(), complaints.join("\n"));
    Ok(())
}

async fn the_server_refuses(world: &World, table: &Table) -> Result<()> {
    let alice = world.actor("alice@example.com").await?;
    let mut complaints = vec![];
    for case in table.refused_by(RefusedBy::Schema).chain(table.refused_by(RefusedBy::Cel)) {
        // Only administrators write classes.
        let actor = if case.kind == "SpaceClass" { world.admin() } else { &alice };
        match refusal(actor.create(&case.object()).await) {
            Ok(sentence) if sentence.contains(&case.says) => {}
            Ok(sentence) => complaints.push(format!("{}: {sentence}", case.name)),
            Err(error) => complaints.push(format!("{}: {error:#}", case.name)),
        }
    }
    none(&complaints)
}

async fn the_operator_refuses(world: &World, table: &Table) -> Result<()> {
    for class in &table.classes {
        world.admin().create(&class.object()).await?;
        world.until_accepted(name_of(&class.object())).await?;
    }
    let cases: Vec<&Case> = table.refused_by(RefusedBy::Operator).collect();
    let judged = cases.iter().enumerate().map(|(number, case)| judge(world, case, format!("bad-input-{number}")));
    let complaints = join_all(judged).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}"));
    none(&complaints.collect::<Vec<_>>())?;
    // All of them were reconciled and refused: none has left anything behind, and none affects a valid one.
    let namespaces = world.admin().list("Namespace", "").await?;
    let made: Vec<&str> = namespaces.iter().map(name_of).filter(|name| name.starts_with("bad-input")).collect();
    ensure!(made.is_empty(), "namespaces were made for invalid spaces: {made:?}");
    world.create_ready_space("good-after-bad", json!({"className": "bounded", "owner": user("olga@example.com")})).await?;
    Ok(())
}

async fn judge(world: &World, case: &Case, name: String) -> Result<()> {
    let mut object = case.object();
    object["metadata"]["name"] = json!(name);
    world.admin().create(&object).await.with_context(|| case.name.clone())?;
    let type_ = if case.kind == "SpaceClass" { "Accepted" } else { "Ready" };
    let reason = case.reason.as_deref().unwrap_or_default();
    eventually(&format!("{} to be refused", case.name), SOON, || async {
        let object = world.admin().get(cluster_wide(&case.kind, &name)).await?;
        let said = condition(&object, type_);
        let refused = said["status"] == "False" && said["reason"] == reason && text(said, "/message").contains(&case.says);
        ensure!(refused && is_observed(&object), "wanted {reason} with {:?}, status is {}", case.says, object["status"]);
        Ok(Some(()))
    })
    .await
}

async fn edges_are_admitted(world: &World, table: &Table) -> Result<()> {
    let mut complaints = vec![];
    for case in table.accepted.iter().filter(|case| !is_greatest(case)) {
        if let Err(error) = world.admin().try_create(&case.object()).await {
            complaints.push(format!("{}: {error:#}", case.name));
        }
    }
    none(&complaints)
}

fn is_greatest(case: &Case) -> bool {
    case.name.contains("everything at its greatest")
}

/// The API server's CEL budget must suffice for the greatest objects again at every write of the finalizer and the status.
async fn the_greatest_are_reported(world: &World, table: &Table) -> Result<()> {
    let greatest: Vec<&Case> = table.accepted.iter().filter(|case| is_greatest(case)).collect();
    ensure!(greatest.len() == 2, "the table has {} greatest objects", greatest.len());
    for case in greatest {
        let object = case.object();
        world.admin().create(&object).await.with_context(|| case.name.clone())?;
        let at = cluster_wide(&case.kind, name_of(&object));
        world
            .until("to be judged", at, |object| {
                ensure!(is_observed(object), "its status is {}", object["status"]);
                Ok(())
            })
            .await?;
        world.admin().patch(at, json!({"metadata": {"labels": {"seen": "yes"}}})).await?;
    }
    Ok(())
}

/// Objects from before a rule, or from a broken migration: the operator cannot read one of them, and the other has a forbidden name.
async fn stored_nonsense_stops_nobody_else(world: &World) -> Result<()> {
    let admin = world.admin();
    let strict = admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    let relaxed = json!([
        {"op": "remove", "path": format!("{schema}/x-kubernetes-validations")},
        {"op": "replace", "path": format!("{schema}/properties/spec/properties/ttl"), "value": anything},
        {"op": "remove", "path": format!("{schema}/properties/spec/x-kubernetes-validations")},
    ]);
    admin.json_patch(cluster_wide("CustomResourceDefinition", CRD), relaxed).await?;
    store(admin, &space("unreadable", json!({"owner": user("pavel@example.com"), "ttl": {"weeks": 1}}))).await?;
    store(admin, &space("kube-pavel", json!({"className": "bounded", "owner": user("pavel@example.com")}))).await?;
    let spec = json!([{"op": "replace", "path": "/spec/versions", "value": strict["spec"]["versions"]}]);
    admin.json_patch(cluster_wide("CustomResourceDefinition", CRD), spec).await?;

    world.create_ready_space("beside-nonsense", json!({"className": "bounded", "owner": user("olga@example.com")})).await?;
    // Rules on names apply at creation: the operator can still report the problem in the status of the stored space.
    world.until_not_ready("kube-pavel", "NamespaceConflict").await?;
    world.stop_operator().await?;
    world.start_operator().await?;
    world.create_ready_space("after-nonsense", json!({"className": "bounded", "owner": user("olga@example.com")})).await?;
    for name in ["unreadable", "kube-pavel"] {
        ensure!(admin.find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
        admin.delete(a_space(name)).await?;
        world.until_gone(a_space(name)).await?;
    }
    Ok(())
}

/// Stores an object as soon as the relaxed schema is in force, which takes the API server a moment.
async fn store(admin: &Actor, object: &Value) -> Result<()> {
    eventually(&format!("{} to be stored", name_of(object)), SOON, || async {
        let stored = admin.create(object).await?;
        if holds(&stored, "Ready") {
            bail!("it was born ready: {stored}");
        }
        Ok(Some(()))
    })
    .await
}
