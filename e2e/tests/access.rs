//! No user gets access before the limits are in force, and neither a failure nor a blocked deletion preserves any user's access.

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_namespace, a_space, at, cluster_wide, condition, forbidden, holds, is_observed, name_of, refusal,
        run_concurrently, space, text, user,
    },
    scenarios,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn access() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_binding_that_a_finalizer_holds_is_emptied,
        a_breach_of_isolation_lets_nobody_in,
        a_refused_spec_keeps_nobody_in,
        a_space_that_others_opened_is_not_admitted_behind_a_wall,
    ])
    .await?;
    // This scenario stops kube-controller-manager, so no other may run concurrently.
    nobody_gets_in_before_the_quota_is_in_force(&world).await?;
    world.ensure_operator_ready().await
}

fn rules(owner_role: &str) -> Value {
    json!({
        "ownerRole": owner_role,
        "roles": [{"name": "view", "clusterRole": "view"}, {"name": "edit", "clusterRole": "edit"}],
        "quota": {"hard": {"count/deployments.apps": "2"}},
        "lifetime": {"defaultTTL": "1h", "maxTTL": "1h"},
    })
}

fn deployment(namespace: &str, name: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "example.com/app"}]}},
        },
    })
}

fn policy(namespace: &str, name: &str) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": {"podSelector": {}, "ingress": [{}]}})
}

async fn names_in(actor: &Actor, kind: &str, namespace: &str) -> Result<Vec<String>> {
    Ok(actor.list(kind, namespace).await?.iter().map(|object| name_of(object).to_owned()).collect())
}

async fn nobody_gets_in_before_the_quota_is_in_force(world: &World) -> Result<()> {
    world.create_accepted_class("counted", rules("edit")).await?;
    let alice = world.actor("alice@example.com").await?;
    world.cluster().stop_component("kube-controller-manager")?;
    world.admin().create(&space("quota-gap", json!({"className": "counted", "owner": user("alice@example.com")}))).await?;
    let waiting = world.until_not_ready("quota-gap", "Provisioning").await?;
    let message = text(condition(&waiting, "Ready"), "/message").to_owned();
    ensure!(message.contains("the quota is not in force yet") && message.contains("kube-controller-manager"), "{message}");
    let bindings = names_in(world.admin(), "RoleBinding", "quota-gap").await?;
    ensure!(bindings.is_empty(), "somebody is in before the quota counts: {bindings:?}");
    forbidden("to deploy before the quota counts", alice.create(&deployment("quota-gap", "early")).await)?;
    world.cluster().start_component("kube-controller-manager")?;
    world.until_ready("quota-gap").await?;
    for name in ["one", "two"] {
        eventually("the owner to deploy", SOON, || async { Ok(alice.create(&deployment("quota-gap", name)).await.ok()) }).await?;
    }
    let sentence = refusal(alice.create(&deployment("quota-gap", "three")).await)?;
    ensure!(sentence.contains("exceeded quota"), "{sentence}");
    Ok(())
}

async fn a_binding_that_a_finalizer_holds_is_emptied(world: &World) -> Result<()> {
    world.create_accepted_class("adminlike", rules("admin")).await?;
    world.create_ready_space("held-binding", json!({"className": "adminlike", "owner": user("bob@example.com")})).await?;
    let (bob, binding) = (world.actor("bob@example.com").await?, at("RoleBinding", "held-binding", "developerspace-owner"));
    eventually("the owner's role to count", SOON, || async {
        Ok(bob.patch(binding, json!({"metadata": {"finalizers": ["example.com/hold"]}})).await.ok())
    })
    .await?;
    world.admin().patch(cluster_wide("SpaceClass", "adminlike"), json!({"spec": {"ownerRole": "edit"}})).await?;
    world
        .until("to lose its subjects", binding, |binding| {
            let subjects = binding["subjects"].as_array().map_or(0, Vec::len);
            ensure!(binding["metadata"]["deletionTimestamp"].is_string() && subjects == 0, "{binding}");
            Ok(())
        })
        .await?;
    let failed = world.until_not_ready("held-binding", "ApplyFailed").await?;
    let message = text(condition(&failed, "Ready"), "/message").to_owned();
    ensure!(message.contains("RoleBinding developerspace-owner in held-binding") && message.contains("finalizer"), "{message}");
    world.admin().patch(binding, json!({"metadata": {"finalizers": null}})).await?;
    world.until_ready("held-binding").await?;
    let made = world.admin().get(binding).await?;
    ensure!(text(&made, "/roleRef/name") == "edit" && text(&made, "/subjects/0/name") == "bob@example.com", "{made}");
    Ok(())
}

async fn a_breach_of_isolation_lets_nobody_in(world: &World) -> Result<()> {
    world.create_accepted_class("walled", rules("edit")).await?;
    world.create_ready_space("breached-lab", json!({"className": "walled", "owner": user("carol@example.com")})).await?;
    let (carol, admin) = (world.actor("carol@example.com").await?, world.admin());
    eventually("the owner to open the space", SOON, || async { Ok(carol.create(&policy("breached-lab", "open")).await.ok()) }).await?;
    admin.patch(cluster_wide("SpaceClass", "walled"), json!({"spec": {"network": {"isolation": "Namespace", "enforced": true}}})).await?;
    let breached = world.until_not_ready("breached-lab", "IsolationBreached").await?;
    let message = text(condition(&breached, "Ready"), "/message").to_owned();
    ensure!(message.contains("NetworkPolicy open") && message.contains("kubectl -n breached-lab delete networkpolicy open"), "{message}");
    let members = json!([{"kind": "Group", "name": "newcomers", "role": "view"}]);
    admin.patch(a_space("breached-lab"), json!({"spec": {"members": members}})).await?;
    world.until_not_ready("breached-lab", "IsolationBreached").await?;
    let bindings = names_in(admin, "RoleBinding", "breached-lab").await?;
    ensure!(bindings == ["developerspace-owner"], "{bindings:?}");
    carol.delete(at("NetworkPolicy", "breached-lab", "open")).await?;
    world
        .until("to be ready", a_space("breached-lab"), |space| {
            ensure!(is_observed(space) && holds(space, "Ready"), "{}", space["status"]);
            Ok(())
        })
        .await?;
    let bindings = names_in(admin, "RoleBinding", "breached-lab").await?;
    ensure!(bindings == ["developerspace-owner", "developerspace-view"], "{bindings:?}");
    forbidden("to open a walled space", carol.create(&policy("breached-lab", "again")).await)
}

async fn a_refused_spec_keeps_nobody_in(world: &World) -> Result<()> {
    world.create_accepted_class("frozen", rules("edit")).await?;
    let members = json!([{"kind": "User", "name": "bob@example.com", "role": "edit"}]);
    world
        .create_ready_space("poisoned-lab", json!({"className": "frozen", "owner": user("alice@example.com"), "members": members}))
        .await?;
    let (alice, bob, carol) =
        (world.actor("alice@example.com").await?, world.actor("bob@example.com").await?, world.actor("carol@example.com").await?);
    eventually("the member to work", SOON, || async { Ok(bob.create(&deployment("poisoned-lab", "before")).await.ok()) }).await?;
    alice.patch(a_space("poisoned-lab"), json!({"spec": {"renewedAt": "2099-01-01T00:00:00Z"}})).await?;
    world.until_not_ready("poisoned-lab", "InvalidSpec").await?;
    let eviction = json!({"spec": {"owner": user("carol@example.com"), "members": []}});
    world.admin().patch(a_space("poisoned-lab"), eviction).await?;
    eventually("the bindings to go", SOON, || async {
        let bindings = names_in(world.admin(), "RoleBinding", "poisoned-lab").await?;
        ensure!(bindings.is_empty(), "{bindings:?}");
        Ok(Some(()))
    })
    .await?;
    let explained = "until then neither User:carol@example.com nor User:alice@example.com has the access of the owner";
    world
        .until("to explain the transfer", a_space("poisoned-lab"), |space| {
            let message = text(condition(space, "Ready"), "/message");
            ensure!(message.contains("renewedAt") && message.contains(explained), "{message}");
            Ok(())
        })
        .await?;
    for (who, actor) in [("the evicted owner", &alice), ("the evicted member", &bob), ("the new owner of a refused spec", &carol)] {
        eventually(&format!("{who} to be shut out"), SOON, || async {
            Ok(forbidden(who, actor.create(&deployment("poisoned-lab", "after")).await).ok())
        })
        .await?;
    }
    world.admin().patch(a_space("poisoned-lab"), json!({"spec": {"renewedAt": null}})).await?;
    world.until_ready("poisoned-lab").await?;
    let owner = world.admin().get(at("RoleBinding", "poisoned-lab", "developerspace-owner")).await?;
    ensure!(text(&owner, "/subjects/0/name") == "carol@example.com", "{owner}");
    Ok(())
}

async fn a_space_that_others_opened_is_not_admitted_behind_a_wall(world: &World) -> Result<()> {
    let mut wall = rules("edit");
    wall["network"] = json!({"isolation": "Namespace", "enforced": true});
    world.create_accepted_class("meadow", rules("edit")).await?;
    world.create_accepted_class("keep", wall).await?;
    world.create_ready_space("opened-lab", json!({"className": "meadow", "owner": user("bob@example.com")})).await?;
    let bob = world.actor("bob@example.com").await?;
    eventually("the owner to open the space", SOON, || async { Ok(bob.create(&policy("opened-lab", "open")).await.ok()) }).await?;
    bob.patch(a_space("opened-lab"), json!({"spec": {"className": "keep"}})).await?;
    let refused = world.until_not_ready("opened-lab", "IsolationBreached").await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains("NetworkPolicy open") && message.contains("class keep"), "{message}");
    ensure!(text(&refused, "/status/className") == "meadow", "{}", refused["status"]);
    let namespace = world.admin().get(a_namespace("opened-lab")).await?;
    ensure!(namespace["metadata"]["labels"]["developerspace.dev/network-enforced"] == "true", "{namespace}");
    forbidden("to open it further", bob.create(&policy("opened-lab", "again")).await)?;
    bob.delete(at("NetworkPolicy", "opened-lab", "open")).await?;
    let admitted = world.until_ready("opened-lab").await?;
    ensure!(text(&admitted, "/status/className") == "keep", "{}", admitted["status"]);
    Ok(())
}
