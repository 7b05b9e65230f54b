//! No user gets access before the limits are in force, and neither a failure nor a blocked deletion preserves any
//! user's access.

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_class, a_namespace, a_space, at, condition, deployment, forbidden, holds, is_observed,
        name_of, network_policy, refusal, run_concurrently, space, text, user,
    },
    scenarios,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn access() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_role_binding_with_a_finalizer_loses_its_subjects,
        a_breach_of_isolation_grants_no_new_access,
        a_refused_spec_revokes_access,
        an_open_space_cannot_move_to_an_enforced_class,
    ])
    .await?;
    // This scenario stops kube-controller-manager, so no other may run concurrently.
    access_is_granted_only_after_the_quota_is_in_force(&world).await?;
    world.ensure_operator_ready().await
}

fn class_spec(owner_role: &str) -> Value {
    json!({
        "ownerRole": owner_role,
        "roles": [{"name": "view", "clusterRole": "view"}, {"name": "edit", "clusterRole": "edit"}],
        "quota": {"hard": {"count/deployments.apps": "2"}},
        "lifetime": {"defaultTTL": "1h", "maxTTL": "1h"},
    })
}

/// A Deployment without pods.
fn empty_deployment(namespace: &str, name: &str) -> Value {
    deployment(namespace, name, 0)
}

/// A `NetworkPolicy` that admits all traffic.
fn open_policy(namespace: &str, name: &str) -> Value {
    network_policy(namespace, name, &json!({"podSelector": {}, "ingress": [{}]}))
}

async fn names_in(actor: &Actor, kind: &str, namespace: &str) -> Result<Vec<String>> {
    Ok(actor.list(kind, namespace).await?.iter().map(|object| name_of(object).to_owned()).collect())
}

async fn access_is_granted_only_after_the_quota_is_in_force(world: &World) -> Result<()> {
    world.create_accepted_class("counted", class_spec("edit")).await?;
    let alice = world.actor("alice@example.com").await?;
    world.cluster().stop_component("kube-controller-manager")?;
    world
        .admin()
        .create(&space("quota-gap", json!({"className": "counted", "owner": user("alice@example.com")})))
        .await?;
    let waiting = world.until_not_ready("quota-gap", "Provisioning").await?;
    let message = text(condition(&waiting, "Ready"), "/message").to_owned();
    ensure!(
        message.contains("the quota is not in force yet") && message.contains("kube-controller-manager"),
        "{message}"
    );
    let bindings = names_in(world.admin(), "RoleBinding", "quota-gap").await?;
    ensure!(bindings.is_empty(), "somebody is in before the quota counts: {bindings:?}");
    forbidden("to deploy before the quota counts", alice.create(&empty_deployment("quota-gap", "early")).await)?;
    world.cluster().start_component("kube-controller-manager")?;
    world.until_ready("quota-gap").await?;
    for name in ["one", "two"] {
        eventually("the owner to deploy", SOON, || async {
            Ok(alice.create(&empty_deployment("quota-gap", name)).await.ok())
        })
        .await?;
    }
    let sentence = refusal(alice.create(&empty_deployment("quota-gap", "three")).await)?;
    ensure!(sentence.contains("exceeded quota"), "{sentence}");
    Ok(())
}

async fn a_role_binding_with_a_finalizer_loses_its_subjects(world: &World) -> Result<()> {
    world.create_accepted_class("adminlike", class_spec("admin")).await?;
    world
        .create_ready_space("held-binding", json!({"className": "adminlike", "owner": user("bob@example.com")}))
        .await?;
    let (bob, binding) =
        (world.actor("bob@example.com").await?, at("RoleBinding", "held-binding", "developerspace-owner"));
    eventually("the owner's role to count", SOON, || async {
        Ok(bob.patch(binding, json!({"metadata": {"finalizers": ["example.com/hold"]}})).await.ok())
    })
    .await?;
    world.admin().patch(a_class("adminlike"), json!({"spec": {"ownerRole": "edit"}})).await?;
    world
        .until("to lose its subjects", binding, |binding| {
            let subjects = binding["subjects"].as_array().map_or(0, Vec::len);
            ensure!(binding["metadata"]["deletionTimestamp"].is_string() && subjects == 0, "{binding}");
            Ok(())
        })
        .await?;
    let failed = world.until_not_ready("held-binding", "ApplyFailed").await?;
    let message = text(condition(&failed, "Ready"), "/message").to_owned();
    ensure!(
        message.contains("RoleBinding developerspace-owner in held-binding") && message.contains("finalizer"),
        "{message}"
    );
    world.admin().patch(binding, json!({"metadata": {"finalizers": null}})).await?;
    world.until_ready("held-binding").await?;
    let restored = world.admin().get(binding).await?;
    ensure!(
        text(&restored, "/roleRef/name") == "edit" && text(&restored, "/subjects/0/name") == "bob@example.com",
        "{restored}"
    );
    Ok(())
}

async fn a_breach_of_isolation_grants_no_new_access(world: &World) -> Result<()> {
    world.create_accepted_class("walled", class_spec("edit")).await?;
    world
        .create_ready_space("breached-lab", json!({"className": "walled", "owner": user("carol@example.com")}))
        .await?;
    let (carol, admin) = (world.actor("carol@example.com").await?, world.admin());
    eventually("the owner to open the space", SOON, || async {
        Ok(carol.create(&open_policy("breached-lab", "open")).await.ok())
    })
    .await?;
    admin.patch(a_class("walled"), json!({"spec": {"network": {"isolation": "Namespace", "enforced": true}}})).await?;
    let breached = world.until_not_ready("breached-lab", "IsolationBreached").await?;
    let message = text(condition(&breached, "Ready"), "/message").to_owned();
    ensure!(
        message.contains("NetworkPolicy open") && message.contains("kubectl -n breached-lab delete networkpolicy open"),
        "{message}"
    );
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
    forbidden("to open a walled space", carol.create(&open_policy("breached-lab", "again")).await)
}

async fn a_refused_spec_revokes_access(world: &World) -> Result<()> {
    world.create_accepted_class("frozen", class_spec("edit")).await?;
    let members = json!([{"kind": "User", "name": "bob@example.com", "role": "edit"}]);
    world
        .create_ready_space(
            "poisoned-lab",
            json!({"className": "frozen", "owner": user("alice@example.com"), "members": members}),
        )
        .await?;
    let (alice, bob, carol) = (
        world.actor("alice@example.com").await?,
        world.actor("bob@example.com").await?,
        world.actor("carol@example.com").await?,
    );
    eventually("the member to work", SOON, || async {
        Ok(bob.create(&empty_deployment("poisoned-lab", "before")).await.ok())
    })
    .await?;
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
    for (label, actor) in
        [("the evicted owner", &alice), ("the evicted member", &bob), ("the new owner of a refused spec", &carol)]
    {
        eventually(&format!("{label} to be shut out"), SOON, || async {
            Ok(forbidden(label, actor.create(&empty_deployment("poisoned-lab", "after")).await).ok())
        })
        .await?;
    }
    world.admin().patch(a_space("poisoned-lab"), json!({"spec": {"renewedAt": null}})).await?;
    world.until_ready("poisoned-lab").await?;
    let owner = world.admin().get(at("RoleBinding", "poisoned-lab", "developerspace-owner")).await?;
    ensure!(text(&owner, "/subjects/0/name") == "carol@example.com", "{owner}");
    Ok(())
}

async fn an_open_space_cannot_move_to_an_enforced_class(world: &World) -> Result<()> {
    let mut enforced = class_spec("edit");
    enforced["network"] = json!({"isolation": "Namespace", "enforced": true});
    world.create_accepted_class("meadow", class_spec("edit")).await?;
    world.create_accepted_class("keep", enforced).await?;
    world.create_ready_space("opened-lab", json!({"className": "meadow", "owner": user("bob@example.com")})).await?;
    let bob = world.actor("bob@example.com").await?;
    eventually("the owner to open the space", SOON, || async {
        Ok(bob.create(&open_policy("opened-lab", "open")).await.ok())
    })
    .await?;
    bob.patch(a_space("opened-lab"), json!({"spec": {"className": "keep"}})).await?;
    let refused = world.until_not_ready("opened-lab", "IsolationBreached").await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains("NetworkPolicy open") && message.contains("class keep"), "{message}");
    ensure!(text(&refused, "/status/className") == "meadow", "{}", refused["status"]);
    let namespace = world.admin().get(a_namespace("opened-lab")).await?;
    ensure!(namespace["metadata"]["labels"]["developerspace.dev/network-enforced"] == "true", "{namespace}");
    forbidden("to open it further", bob.create(&open_policy("opened-lab", "again")).await)?;
    bob.delete(at("NetworkPolicy", "opened-lab", "open")).await?;
    let admitted = world.until_ready("opened-lab").await?;
    ensure!(text(&admitted, "/status/className") == "keep", "{}", admitted["status"]);
    Ok(())
}
