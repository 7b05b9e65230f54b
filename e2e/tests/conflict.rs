//! Names that are taken, transferred or protected, and owners over their limit: the operator does not touch namespaces
//! that it does not own, and a limit holds however many requests are concurrent.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        SOON, World, a_class, a_namespace, a_space, at, condition, config_map, forbidden, holds, name_of, namespace,
        run_concurrently, space, stays, text, uid_of, user,
    },
    scenarios,
};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn conflict() -> Result<()> {
    let world = World::start(&["--protected-namespaces", "monitoring,istio-*"]).await?;
    run_concurrently(scenarios![&world;
        a_foreign_namespace_is_not_changed,
        forged_ownership_metadata_is_ignored,
        an_administrator_offers_a_namespace_for_adoption,
        protected_names_are_refused,
        a_name_can_be_used_again,
        a_space_waits_for_a_terminating_namespace,
    ])
    .await?;
    // A separate run: the crowd would slow the others down.
    run_concurrently(
        scenarios![&world; concurrent_creations_stay_within_the_owner_limit, a_lowered_owner_limit_deletes_no_space],
    )
    .await?;
    world.ensure_operator_ready().await
}

async fn a_foreign_namespace_is_not_changed(world: &World) -> Result<()> {
    let admin = world.admin();
    let labels = json!({"team": "legacy", "pod-security.kubernetes.io/enforce": "privileged"});
    admin.create(&namespace("jana-legacy", labels, json!({"note": "older than the operator"}))).await?;
    admin.create(&config_map("jana-legacy", "precious")).await?;
    let before = namespace_at_rest(world, "jana-legacy").await?;
    admin.create(&space("jana-legacy", json!({"className": "standard", "owner": user("jana@example.com")}))).await?;
    let refused = world.until_not_ready("jana-legacy", "NamespaceConflict").await?;
    ensure!(holds(&refused, "Stalled"), "{}", refused["status"]);
    ensure!(refused["status"]["namespace"].is_null(), "the status claims it: {}", refused["status"]);
    // A further change of the space does not make the namespace the operator's either, and neither does the deletion of
    // the space.
    admin.patch(a_space("jana-legacy"), json!({"spec": {"description": "please"}})).await?;
    world.until_not_ready("jana-legacy", "NamespaceConflict").await?;
    admin.delete(a_space("jana-legacy")).await?;
    world.until_gone(a_space("jana-legacy")).await?;
    let after = admin.get(a_namespace("jana-legacy")).await?;
    ensure!(after == before, "the namespace was touched:\n{before}\n{after}");
    for kind in e2e::fixtures::CHILDREN {
        let inside = admin.list(kind, "jana-legacy").await?;
        ensure!(inside.is_empty(), "a {kind} was made there");
    }
    Ok(())
}

/// Returns the namespace after the controllers that write to every new namespace have done so.
async fn namespace_at_rest(world: &World, name: &str) -> Result<Value> {
    eventually("the default ServiceAccount", SOON, || async {
        world.admin().find(at("ServiceAccount", name, "default")).await
    })
    .await?;
    world.admin().get(a_namespace(name)).await
}

/// Labels and annotations are not the authority: a namespace with matching ones still does not belong to the space.
async fn forged_ownership_metadata_is_ignored(world: &World) -> Result<()> {
    let admin = world.admin();
    let victim = world
        .create_ready_space("klaus-real", json!({"className": "standard", "owner": user("klaus@example.com")}))
        .await?;
    let labels = json!({
        "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "klaus-forged", "developerspace.dev/class": "standard",
    });
    let annotations = json!({
        "developerspace.dev/space-uid": uid_of(&victim), "developerspace.dev/expires-at": "2020-01-01T00:00:00Z", "developerspace.dev/owner": "User:klaus@example.com",
    });
    admin.create(&namespace("klaus-forged", labels, annotations)).await?;
    let before = namespace_at_rest(world, "klaus-forged").await?;
    admin.create(&space("klaus-forged", json!({"className": "standard", "owner": user("klaus@example.com")}))).await?;
    world.until_not_ready("klaus-forged", "NamespaceConflict").await?;
    // The forged owner does not affect the real space either.
    world.until_ready("klaus-real").await?;
    admin.delete(a_space("klaus-forged")).await?;
    world.until_gone(a_space("klaus-forged")).await?;
    ensure!(admin.get(a_namespace("klaus-forged")).await? == before, "the namespace was touched");
    Ok(())
}

async fn an_administrator_offers_a_namespace_for_adoption(world: &World) -> Result<()> {
    let admin = world.admin();
    admin.create(&namespace("lena-old", json!({"team": "legacy"}), json!({}))).await?;
    admin.create(&config_map("lena-old", "precious")).await?;
    let old = namespace_at_rest(world, "lena-old").await?;
    admin.create(&space("lena-old", json!({"className": "standard", "owner": user("alice@example.com")}))).await?;
    world.until_not_ready("lena-old", "NamespaceConflict").await?;
    // An annotation that names another space does not hand the namespace over here.
    admin
        .patch(a_namespace("lena-old"), json!({"metadata": {"annotations": {"developerspace.dev/adopt": "lena-new"}}}))
        .await?;
    stays("the namespace to be nobody's", Duration::from_secs(3), || async {
        let space = admin.get(a_space("lena-old")).await?;
        ensure!(condition(&space, "Ready")["reason"] == "NamespaceConflict", "{}", space["status"]);
        Ok(())
    })
    .await?;
    let offer = |value: String| json!({"metadata": {"annotations": {"developerspace.dev/adopt": value}}});
    // Neither a name alone nor another owner hands it over.
    for value in ["lena-old", "lena-old/User:lena@example.com"] {
        admin.patch(a_namespace("lena-old"), offer(value.to_owned())).await?;
        world
            .until("to say that this hands nothing over", a_space("lena-old"), |space| {
                let ready = condition(space, "Ready");
                let message = text(ready, "/message");
                let command = format!(
                    "kubectl annotate namespace lena-old developerspace.dev/adopt=lena-old/{} --overwrite",
                    uid_of(space)
                );
                ensure!(ready["reason"] == "NamespaceConflict" && message.contains(&command), "{ready}");
                ensure!(
                    message.contains("to User:alice@example.com")
                        && message.contains("its annotation developerspace.dev/adopt"),
                    "{ready}"
                );
                Ok(())
            })
            .await?;
    }
    let adopt = offer(format!("lena-old/{}", uid_of(&admin.get(a_space("lena-old")).await?)));
    let alice = world.actor("alice@example.com").await?;
    forbidden("adoption by the space's user", alice.patch(a_namespace("lena-old"), adopt.clone()).await)?;
    admin.patch(a_namespace("lena-old"), adopt).await?;
    let adopted = world.until_ready("lena-old").await?;
    ensure!(text(&adopted, "/status/namespace/uid") == uid_of(&old), "another namespace was made");
    let now = admin.get(a_namespace("lena-old")).await?;
    ensure!(text(&now, "/metadata/labels/team") == "legacy", "a foreign label went: {}", now["metadata"]);
    ensure!(text(&now, "/metadata/labels/developerspace.dev~1space") == "lena-old", "{}", now["metadata"]);
    ensure!(admin.find(at("ConfigMap", "lena-old", "precious")).await?.is_some(), "what was in it is gone");
    admin.get(at("ResourceQuota", "lena-old", "developerspace")).await?;
    alice.list("Pod", "lena-old").await.context("the owner has no access")?;
    Ok(())
}

async fn protected_names_are_refused(world: &World) -> Result<()> {
    let admin = world.admin();
    for name in ["monitoring", "istio-system", "developerspace-system"] {
        admin.create(&space(name, json!({"className": "standard", "owner": user("mona@example.com")}))).await?;
        let refused = world.until_not_ready(name, "NamespaceConflict").await?;
        ensure!(text(condition(&refused, "Ready"), "/message").contains(name), "{}", refused["status"]);
    }
    for name in ["monitoring", "istio-system"] {
        ensure!(admin.find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
    }
    for name in ["monitoring", "istio-system", "developerspace-system"] {
        admin.delete(a_space(name)).await?;
        world.until_gone(a_space(name)).await?;
    }
    let home = admin.get(a_namespace("developerspace-system")).await?;
    ensure!(home["status"]["phase"] == "Active", "the operator's own namespace is going: {}", home["status"]);
    // A name that only resembles a protected name is free.
    world
        .create_ready_space("monitoring-2", json!({"className": "standard", "owner": user("mona@example.com")}))
        .await?;
    Ok(())
}

async fn a_name_can_be_used_again(world: &World) -> Result<()> {
    let admin = world.admin();
    let first = world
        .create_ready_space("nils-again", json!({"className": "standard", "owner": user("nils@example.com")}))
        .await?;
    admin.delete(a_space("nils-again")).await?;
    world.until_gone(a_space("nils-again")).await?;
    let second = world
        .create_ready_space("nils-again", json!({"className": "small", "owner": user("nina@example.com")}))
        .await?;
    ensure!(uid_of(&first) != uid_of(&second), "it is the same space");
    let namespace = admin.get(a_namespace("nils-again")).await?;
    ensure!(
        text(&namespace, "/metadata/annotations/developerspace.dev~1space-uid") == uid_of(&second),
        "{}",
        namespace["metadata"]
    );
    ensure!(
        text(&namespace, "/metadata/annotations/developerspace.dev~1owner") == "User:nina@example.com",
        "{}",
        namespace["metadata"]
    );
    Ok(())
}

async fn a_space_waits_for_a_terminating_namespace(world: &World) -> Result<()> {
    let admin = world.admin();
    admin.create(&namespace("otto-slow", json!({}), json!({}))).await?;
    let mut held = config_map("otto-slow", "held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    admin.create(&held).await?;
    admin.delete(a_namespace("otto-slow")).await?;
    admin.create(&space("otto-slow", json!({"className": "standard", "owner": user("otto@example.com")}))).await?;
    world
        .until("to wait", a_space("otto-slow"), |space| {
            let reason = text(condition(space, "Ready"), "/reason");
            ensure!(
                ["NamespaceTerminating", "NamespaceConflict"].contains(&reason),
                "its status is {}",
                space["status"]
            );
            Ok(())
        })
        .await?;
    admin.patch(at("ConfigMap", "otto-slow", "held"), json!({"metadata": {"finalizers": null}})).await?;
    world.until_ready("otto-slow").await.map(drop)
}

async fn concurrent_creations_stay_within_the_owner_limit(world: &World) -> Result<()> {
    world
        .create_accepted_class("three-each", json!({"maxSpacesPerOwner": 3, "lifetime": {"defaultTTL": "7d"}}))
        .await?;
    let admin = world.admin();
    let names: Vec<String> = (0..60).map(|number| format!("crowd-{number:02}")).collect();
    let spec = json!({"className": "three-each", "owner": user("paula@example.com")});
    let objects: Vec<Value> = names.iter().map(|name| space(name, spec.clone())).collect();
    try_join_all(objects.iter().map(|object| admin.create(object))).await?;
    // Another owner is not affected.
    world
        .create_ready_space("quentin-only", json!({"className": "three-each", "owner": user("quentin@example.com")}))
        .await?;
    let admitted = eventually("all to be judged", SOON, || async {
        let spaces = crowd_spaces(world).await?;
        let refused = spaces.iter().filter(|space| condition(space, "Ready")["reason"] == "OwnerLimitExceeded").count();
        let ready: Vec<String> =
            spaces.iter().filter(|space| holds(space, "Ready")).map(|space| name_of(space).to_owned()).collect();
        ensure!(ready.len() == 3 && refused == 57, "{} ready, {refused} refused", ready.len());
        Ok(Some(ready))
    })
    .await?;
    ensure_namespaces(world, &admitted).await?;
    // No other space was admitted and evicted again.
    let created_namespaces = join_all(names.iter().map(|name| admin.find(a_namespace(name)))).await;
    ensure!(
        created_namespaces.iter().filter(|found| matches!(found, Ok(Some(_)))).count() == 3,
        "the namespaces do not agree"
    );
    let created = world.cluster().audit().read()?;
    let created: Vec<&str> = created
        .iter()
        .filter(|entry| entry.mutates() && entry.resource == "namespaces" && entry.name.starts_with("crowd-"))
        .map(|entry| entry.name.as_str())
        .filter(|name| !admitted.iter().any(|admitted| admitted == name))
        .collect();
    ensure!(created.is_empty(), "namespaces were written beyond the limit: {created:?}");

    admin.delete(a_space(&admitted[0])).await?;
    world.until_gone(a_space(&admitted[0])).await?;
    eventually("the next to be let in", SOON, || async {
        let ready: Vec<String> = crowd_spaces(world)
            .await?
            .iter()
            .filter(|space| holds(space, "Ready"))
            .map(|space| name_of(space).to_owned())
            .collect();
        ensure!(ready.len() == 3, "{ready:?} are ready");
        ensure_namespaces(world, &ready).await?;
        Ok(Some(()))
    })
    .await
}

async fn crowd_spaces(world: &World) -> Result<Vec<Value>> {
    let spaces = world.admin().list("DeveloperSpace", "").await?;
    Ok(spaces.into_iter().filter(|space| name_of(space).starts_with("crowd-")).collect())
}

async fn ensure_namespaces(world: &World, expected: &[String]) -> Result<()> {
    let namespaces = world.admin().list("Namespace", "").await?;
    let found: Vec<&str> = namespaces.iter().map(name_of).filter(|name| name.starts_with("crowd-")).collect();
    ensure!(found == expected, "the namespaces are {found:?}, ready are {expected:?}");
    Ok(())
}

async fn a_lowered_owner_limit_deletes_no_space(world: &World) -> Result<()> {
    world.create_accepted_class("shrinking", json!({"maxSpacesPerOwner": 2})).await?;
    let spec = json!({"className": "shrinking", "owner": user("ralf@example.com")});
    for name in ["ralf-one", "ralf-two"] {
        world.create_ready_space(name, spec.clone()).await?;
    }
    world.admin().patch(a_class("shrinking"), json!({"spec": {"maxSpacesPerOwner": 0}})).await?;
    world.until_accepted("shrinking").await?;
    world.admin().create(&space("ralf-three", spec)).await?;
    world.until_not_ready("ralf-three", "OwnerLimitExceeded").await?;
    for name in ["ralf-one", "ralf-two"] {
        let namespace = world.admin().get(a_namespace(name)).await?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is going");
    }
    Ok(())
}
