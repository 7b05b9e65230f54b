//! Invalid requests are refused by the expected component and with a helpful message, and requests at the limits are
//! admitted. `tests/fixtures/bad_input.yaml` is the table, which the unit tests of `src/api` use too.

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_namespace, a_space, cluster_wide, condition, holds, is_observed, name_of, refusal,
        run_concurrently, space, text, user,
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
    let checked = run_concurrently(vec![
        ("the_api_server_refuses_invalid_objects", Box::pin(the_api_server_refuses_invalid_objects(&world, &table))),
        ("the_operator_refuses_invalid_specs", Box::pin(the_operator_refuses_invalid_specs(&world, &table))),
        ("objects_at_the_limits_are_admitted", Box::pin(objects_at_the_limits_are_admitted(&world, &table))),
        (
            "the_status_of_the_largest_objects_is_reported",
            Box::pin(the_status_of_the_largest_objects_is_reported(&world, &table)),
        ),
    ])
    .await;
    // This scenario changes the CRD, so no other may run concurrently; one failure must not hide the other.
    let stored = run_concurrently(scenarios![&world; invalid_stored_objects_affect_no_other_space]).await;
    checked.and(stored)?;
    world.ensure_operator_ready().await
}

/// Reports all failures at once, so that a table can be corrected in one go.
fn ensure_no_failures(failures: &[String]) -> Result<()> {
    ensure!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

async fn the_api_server_refuses_invalid_objects(world: &World, table: &Table) -> Result<()> {
    let alice = world.actor("alice@example.com").await?;
    let mut failures = vec![];
    for case in table.refused_by(RefusedBy::Schema).chain(table.refused_by(RefusedBy::Cel)) {
        // Only administrators write classes.
        let actor = if case.kind == "SpaceClass" { world.admin() } else { &alice };
        match refusal(actor.create(&case.object()).await) {
            Ok(sentence) if sentence.contains(&case.says) => {}
            Ok(sentence) => failures.push(format!("{}: {sentence}", case.name)),
            Err(error) => failures.push(format!("{}: {error:#}", case.name)),
        }
    }
    ensure_no_failures(&failures)
}

async fn the_operator_refuses_invalid_specs(world: &World, table: &Table) -> Result<()> {
    for class in &table.classes {
        world.admin().create(&class.object()).await?;
        world.until_accepted(name_of(&class.object())).await?;
    }
    let cases: Vec<&Case> = table.refused_by(RefusedBy::Operator).collect();
    let checks = cases
        .iter()
        .enumerate()
        .map(|(number, case)| check_operator_refuses(world, case, format!("bad-input-{number}")));
    let failures = join_all(checks).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}"));
    ensure_no_failures(&failures.collect::<Vec<_>>())?;
    // All of them were reconciled and refused: none has left anything behind, and none affects a valid one.
    let namespaces = world.admin().list("Namespace", "").await?;
    let created: Vec<&str> = namespaces.iter().map(name_of).filter(|name| name.starts_with("bad-input")).collect();
    ensure!(created.is_empty(), "namespaces were made for invalid spaces: {created:?}");
    world
        .create_ready_space("good-after-bad", json!({"className": "bounded", "owner": user("olga@example.com")}))
        .await?;
    Ok(())
}

async fn check_operator_refuses(world: &World, case: &Case, name: String) -> Result<()> {
    let mut object = case.object();
    object["metadata"]["name"] = json!(name);
    world.admin().create(&object).await.with_context(|| case.name.clone())?;
    let type_ = if case.kind == "SpaceClass" { "Accepted" } else { "Ready" };
    let reason = case.reason.as_deref().unwrap_or_default();
    eventually(&format!("{} to be refused", case.name), SOON, || async {
        let object = world.admin().get(cluster_wide(&case.kind, &name)).await?;
        let reported = condition(&object, type_);
        let refused = reported["status"] == "False"
            && reported["reason"] == reason
            && text(reported, "/message").contains(&case.says);
        ensure!(
            refused && is_observed(&object),
            "wanted {reason} with {:?}, status is {}",
            case.says,
            object["status"]
        );
        Ok(Some(()))
    })
    .await
}

async fn objects_at_the_limits_are_admitted(world: &World, table: &Table) -> Result<()> {
    let mut failures = vec![];
    for case in table.accepted.iter().filter(|case| !is_largest(case)) {
        if let Err(error) = world.admin().try_create(&case.object()).await {
            failures.push(format!("{}: {error:#}", case.name));
        }
    }
    ensure_no_failures(&failures)
}

fn is_largest(case: &Case) -> bool {
    case.name.contains("everything at its greatest")
}

/// The API server's CEL budget must suffice for the largest objects again at every write of the finalizer and the
/// status.
async fn the_status_of_the_largest_objects_is_reported(world: &World, table: &Table) -> Result<()> {
    let largest: Vec<&Case> = table.accepted.iter().filter(|case| is_largest(case)).collect();
    ensure!(largest.len() == 2, "the table has {} greatest objects", largest.len());
    for case in largest {
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

/// Objects from before a rule, or from a broken migration: the operator cannot read one of them, and the other has a
/// forbidden name.
async fn invalid_stored_objects_affect_no_other_space(world: &World) -> Result<()> {
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
    until_stored(admin, &space("unreadable", json!({"owner": user("pavel@example.com"), "ttl": {"weeks": 1}}))).await?;
    until_stored(admin, &space("kube-pavel", json!({"className": "bounded", "owner": user("pavel@example.com")})))
        .await?;
    let spec = json!([{"op": "replace", "path": "/spec/versions", "value": strict["spec"]["versions"]}]);
    admin.json_patch(cluster_wide("CustomResourceDefinition", CRD), spec).await?;

    world
        .create_ready_space("beside-nonsense", json!({"className": "bounded", "owner": user("olga@example.com")}))
        .await?;
    // Rules on names apply at creation: the operator can still report the problem in the status of the stored space.
    world.until_not_ready("kube-pavel", "NamespaceConflict").await?;
    world.stop_operator().await?;
    world.start_operator().await?;
    world
        .create_ready_space("after-nonsense", json!({"className": "bounded", "owner": user("olga@example.com")}))
        .await?;
    for name in ["unreadable", "kube-pavel"] {
        ensure!(admin.find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
        admin.delete(a_space(name)).await?;
        world.until_gone(a_space(name)).await?;
    }
    Ok(())
}

/// Stores an object as soon as the relaxed schema is in force, which takes the API server a moment.
async fn until_stored(admin: &Actor, object: &Value) -> Result<()> {
    eventually(&format!("{} to be stored", name_of(object)), SOON, || async {
        let stored = admin.create(object).await?;
        if holds(&stored, "Ready") {
            bail!("it was born ready: {stored}");
        }
        Ok(Some(()))
    })
    .await
}
