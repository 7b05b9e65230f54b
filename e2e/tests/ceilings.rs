//! Requests of an owner beyond the limits of the class, on a real API server and with the owner's own token.

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_namespace, a_space, at, binding, class, cluster_wide, condition, ensure_equal, refusal, run_concurrently,
        space, text, user,
    },
    scenarios,
};
use serde_json::{Value, json};

#[path = "../../tests/fixtures/ledger.rs"]
mod table;

use table::{Ledger, Row};

const ALICE: &str = "alice@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn ceilings() -> Result<()> {
    let world = World::self_service(&[]).await?;
    run_concurrently(scenarios![&world;
        bounds_of_the_class_hold,
        a_ceiling_without_a_limit_is_the_classs_mistake,
        quotas_of_storage_classes_are_written,
        requests_rise_with_limits_only,
        names_that_others_rely_on_are_refused,
        a_name_is_free_again_when_no_account_of_it_is_named,
        a_contact_that_is_required_later_is_asked_for,
        every_row_of_the_ledger_is_refused,
    ])
    .await?;
    world.ensure_operator_ready().await
}

/// Row 4: a space's item neither replaces nor loosens the bounds of the class.
async fn bounds_of_the_class_hold(world: &World) -> Result<()> {
    let roles = json!([{"name": "edit", "clusterRole": "edit"}]);
    let item = json!({
        "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}, "max": {"cpu": "2"}, "min": {"cpu": "50m"},
        "maxLimitRequestRatio": {"cpu": "4"},
    });
    world.create_accepted_class("measured", json!({"roles": roles, "limitRange": [item]})).await?;
    world.create_ready_space("alice-measured", json!({"className": "measured", "owner": user(ALICE)})).await?;
    let alice = world.actor(ALICE).await?;
    let asks = |item: Value| json!({"spec": {"limitRange": [item]}});
    alice.patch(a_space("alice-measured"), asks(json!({"type": "Container", "default": {"cpu": "800m"}}))).await?;
    world.until_ready("alice-measured").await?;
    let mut expected = item.clone();
    expected["default"]["cpu"] = json!("800m");
    let range = at("LimitRange", "alice-measured", "developerspace");
    ensure_equal("the limits", &world.admin().get(range).await?["spec"]["limits"], &json!([expected]))?;
    for (looser, says) in [
        (json!({"type": "Container", "max": {"cpu": "40"}}), "above the class's 2"),
        (json!({"type": "Container", "min": {"cpu": "1m"}}), "below the class's 50m"),
        (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "100"}}), "above the class's 4"),
        (json!({"type": "Container", "default": {"cpu": "40"}}), "above max 2"),
    ] {
        alice.patch(a_space("alice-measured"), asks(looser)).await?;
        world
            .until("to be refused", a_space("alice-measured"), |space| {
                let ready = condition(space, "Ready");
                ensure!(ready["reason"] == "InvalidSpec" && text(ready, "/message").contains(says), "wanted {says:?}: {ready}");
                Ok(())
            })
            .await?;
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greedy", "namespace": "alice-measured"},
        "spec": {"containers": [{"name": "main", "image": "app:1", "resources": {"limits": {"cpu": "40"}, "requests": {"cpu": "40"}}}]},
    });
    let sentence = refusal(alice.create(&pod).await)?;
    ensure!(sentence.contains("maximum cpu usage per Container is 2"), "{sentence}");
    Ok(())
}

/// Row 25: such a ceiling would bind only the spaces that set the resource.
async fn a_ceiling_without_a_limit_is_the_classs_mistake(world: &World) -> Result<()> {
    let hard = json!({"requests.cpu": "4", "limits.cpu": "8"});
    for (name, quota, says) in [
        (
            "ceiling-only",
            json!({"hard": hard, "max": {"requests.cpu": "8", "services.loadbalancers": "2"}}),
            "quota.max services.loadbalancers",
        ),
        (
            "beyond-limits",
            json!({"hard": hard, "max": {"requests.cpu": "16"}}),
            "quota.max requests.cpu: 16 cannot be used under limits.cpu 8",
        ),
        ("no-room", json!({"hard": {"count/rolebindings.rbac.authorization.k8s.io": "0"}}), "leaves no room for the 1 RoleBindings"),
    ] {
        world.admin().create(&class(name, json!({"quota": quota}))).await?;
        world
            .until("to be refused", cluster_wide("SpaceClass", name), |class| {
                let accepted = condition(class, "Accepted");
                let is_refused = accepted["status"] == "False" && accepted["reason"] == "InvalidSpec";
                ensure!(is_refused && text(accepted, "/message").contains(says), "wanted {says:?}: {accepted}");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// F14: the keys that quotas of shared clusters have.
async fn quotas_of_storage_classes_are_written(world: &World) -> Result<()> {
    let hard = json!({
        "requests.ephemeral-storage": "10Gi", "gold.storageclass.storage.k8s.io/requests.storage": "100Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "3", "local-path.storageclass.storage.k8s.io/requests.storage": "0",
        "count/ingresses.networking.k8s.io": "5", "count/horizontalpodautoscalers.autoscaling": "5", "requests.nvidia.com/gpu": "1",
    });
    world.create_accepted_class("gold-lab", json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "quota": {"hard": hard}})).await?;
    world.create_ready_space("alice-gold", json!({"className": "gold-lab", "owner": user(ALICE)})).await?;
    let quota = at("ResourceQuota", "alice-gold", "developerspace");
    ensure_equal("the quota", &world.admin().get(quota).await?["spec"]["hard"], &hard)?;
    let key = "gold.storageclass.storage.k8s.io/requests.storage";
    let alice = world.actor(ALICE).await?;
    alice.patch(a_space("alice-gold"), json!({"spec": {"quota": {key: "50Gi"}}})).await?;
    world
        .until("to be lowered", quota, |quota| {
            ensure!(quota["spec"]["hard"][key] == "50Gi", "{}", quota["spec"]);
            Ok(())
        })
        .await
        .map(drop)
}

/// F07: the shipped class allows limits to rise with requests, and the operator reports a space that raises requests alone.
async fn requests_rise_with_limits_only(world: &World) -> Result<()> {
    let alice = world.actor(ALICE).await?;
    let spec = json!({"className": "standard", "owner": user(ALICE), "quota": {"requests.cpu": "20"}});
    alice.create(&space("alice-heavy", spec)).await?;
    let refused = world.until_not_ready("alice-heavy", "InvalidSpec").await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains("requests.cpu: 20 cannot be used under limits.cpu 10"), "{message}");
    alice.patch(a_space("alice-heavy"), json!({"spec": {"quota": {"limits.cpu": "20"}}})).await?;
    world.until_ready("alice-heavy").await.map(drop)
}

/// Rows 5 and 6 for callers that admission does not check: they hold `assign`.
async fn names_that_others_rely_on_are_refused(world: &World) -> Result<()> {
    for (name, says) in [
        ("com", "without a dash"),
        ("xn--fiqs8s", "begins with xn--"),
        ("ingress-nginx", "allows traffic from the namespace of that name"),
        ("prod-orders", "names.denied"),
    ] {
        world.admin().create(&space(name, json!({"className": "standard", "owner": user("bob@example.com")}))).await?;
        let refused = world.until_not_ready(name, "NamespaceConflict").await?;
        let message = text(condition(&refused, "Ready"), "/message").to_owned();
        ensure!(message.contains(says), "{name}: {message}");
        ensure!(world.admin().find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
    }
    Ok(())
}

async fn a_name_is_free_again_when_no_account_of_it_is_named(world: &World) -> Result<()> {
    let members = json!([{"kind": "ServiceAccount", "namespace": "carol-jobs", "name": "deployer", "role": "edit"}]);
    world.create_ready_space("carol-shop", json!({"className": "small", "owner": user("carol@example.com"), "members": members})).await?;
    world.admin().create(&space("carol-jobs", json!({"className": "small", "owner": user("bob@example.com")}))).await?;
    let refused = world.until_not_ready("carol-jobs", "NamespaceConflict").await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains("DeveloperSpace carol-shop of another owner"), "{message}");
    world.actor("carol@example.com").await?.patch(a_space("carol-shop"), json!({"spec": {"members": []}})).await?;
    world.until_ready("carol-jobs").await.map(drop)
}

async fn a_contact_that_is_required_later_is_asked_for(world: &World) -> Result<()> {
    world.create_accepted_class("reachable", json!({})).await?;
    let contact = json!({"team": "payments"});
    world.create_ready_space("alice-reachable", json!({"className": "reachable", "owner": user(ALICE), "contact": contact})).await?;
    let requires = json!({"spec": {"metadata": {"requiredContact": ["team", "chat"]}}});
    world.admin().patch(cluster_wide("SpaceClass", "reachable"), requires).await?;
    eventually("the message to ask for it", SOON, || async {
        let space = world.until_ready("alice-reachable").await?;
        let message = text(condition(&space, "Ready"), "/message").to_owned();
        ensure!(message.contains("spec.contact lacks chat, which SpaceClass reachable requires"), "{message}");
        Ok(Some(()))
    })
    .await?;
    world
        .admin()
        .create(&space("bob-reachable", json!({"className": "reachable", "owner": user("bob@example.com"), "contact": contact})))
        .await?;
    world.until_not_ready("bob-reachable", "InvalidSpec").await.map(drop)
}

/// Checks the table of the `src/desired/ledger.rs` tests against the policies and the operator.
async fn every_row_of_the_ledger_is_refused(world: &World) -> Result<()> {
    let ledger = Ledger::read()?;
    let name = &ledger.class.name;
    world.create_accepted_class(name, ledger.class.spec.clone()).await?;
    let use_it = json!({"apiGroups": ["developerspace.dev"], "resources": ["spaceclasses"], "resourceNames": [name], "verbs": ["use"]});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "use-bounded"}, "rules": [use_it],
    });
    world.admin().create(&role).await?;
    world.admin().create(&binding("User", ALICE, "use-bounded")).await?;
    let alice = world.actor(ALICE).await?;
    let mut complaints = vec![];
    for (number, row) in ledger.rows.iter().filter(|row| row.free.is_none()).enumerate() {
        if let Err(error) = ask(world, &alice, &ledger, row, &format!("ledger-{number}")).await {
            complaints.push(format!("{}: {error:#}", row.property));
        }
    }
    ensure!(complaints.is_empty(), "{} rows:\n{}", complaints.len(), complaints.join("\n"));
    alice.create(&owned_by(&ledger.asking(None), ALICE, "ledger-accepted")).await?;
    world.until_ready("ledger-accepted").await.map(drop)
}

async fn ask(world: &World, alice: &Actor, ledger: &Ledger, row: &Row, name: &str) -> Result<()> {
    let asking = ledger.asking(Some(row));
    let name = row.name.as_deref().unwrap_or(name);
    // Only an administrator may create a space of another owner.
    let is_anothers = row.property.starts_with("spec.owner");
    let object = if is_anothers { named(&asking, name) } else { owned_by(&asking, ALICE, name) };
    let actor = if is_anothers { world.admin() } else { alice };
    if let Some(says) = &row.admission {
        let sentence = refusal(actor.create(&object).await)?;
        ensure!(sentence.contains(says), "the policies say {sentence}");
        // Admission does not check holders of `assign`, and the operator refuses all the same.
        world.admin().create(&object).await?;
    } else {
        actor.create(&object).await?;
    }
    let refused = world.until_not_ready(name, &row.reason).await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains(&row.says), "the operator says {message}");
    ensure!(world.admin().find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
    Ok(())
}

fn named(space: &Value, name: &str) -> Value {
    let mut space = space.clone();
    space["metadata"] = json!({"name": name});
    space
}

fn owned_by(space: &Value, owner: &str, name: &str) -> Value {
    let mut space = named(space, name);
    space["spec"]["owner"] = user(owner);
    space
}
