//! Requests of an owner beyond the limits of the class, on a real API server and with the owner's own token.

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        Actor, SOON, World, a_class, a_namespace, a_space, at, binding, class, cluster_role, condition, ensure_equal,
        pod, refusal, run_concurrently, space, text, user,
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
        the_limit_range_of_the_class_applies_to_its_spaces,
        a_class_with_an_unusable_ceiling_is_not_accepted,
        quotas_of_storage_classes_are_written,
        requests_rise_with_limits_only,
        names_that_others_rely_on_are_refused,
        a_name_is_available_once_no_service_account_refers_to_it,
        a_contact_field_that_is_required_later_is_reported,
        every_row_of_the_ledger_is_refused,
    ])
    .await?;
    world.ensure_operator_ready().await
}

/// Row 4: a space's item neither replaces nor loosens the bounds of the class.
async fn the_limit_range_of_the_class_applies_to_its_spaces(world: &World) -> Result<()> {
    let roles = json!([{"name": "edit", "clusterRole": "edit"}]);
    let item = json!({
        "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}, "max": {"cpu": "2"}, "min": {"cpu": "50m"},
        "maxLimitRequestRatio": {"cpu": "4"},
    });
    world.create_accepted_class("measured", json!({"roles": roles, "limitRange": [item]})).await?;
    world.create_ready_space("alice-measured", json!({"className": "measured", "owner": user(ALICE)})).await?;
    let alice = world.actor(ALICE).await?;
    let limit_range_patch = |item: Value| json!({"spec": {"limitRange": [item]}});
    alice
        .patch(a_space("alice-measured"), limit_range_patch(json!({"type": "Container", "default": {"cpu": "800m"}})))
        .await?;
    world.until_ready("alice-measured").await?;
    let mut expected = item.clone();
    expected["default"]["cpu"] = json!("800m");
    let range = at("LimitRange", "alice-measured", "developerspace");
    ensure_equal("the limits", &world.admin().get(range).await?["spec"]["limits"], &json!([expected]))?;
    for (looser, expected_text) in [
        (json!({"type": "Container", "max": {"cpu": "40"}}), "above the class's 2"),
        (json!({"type": "Container", "min": {"cpu": "1m"}}), "below the class's 50m"),
        (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "100"}}), "above the class's 4"),
        (json!({"type": "Container", "default": {"cpu": "40"}}), "above max 2"),
    ] {
        alice.patch(a_space("alice-measured"), limit_range_patch(looser)).await?;
        world
            .until("to be refused", a_space("alice-measured"), |space| {
                let ready = condition(space, "Ready");
                ensure!(
                    ready["reason"] == "InvalidSpec" && text(ready, "/message").contains(expected_text),
                    "wanted {expected_text:?}: {ready}"
                );
                Ok(())
            })
            .await?;
    }
    let mut greedy = pod("alice-measured", "greedy");
    greedy["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "40"}, "requests": {"cpu": "40"}});
    let sentence = refusal(alice.create(&greedy).await)?;
    ensure!(sentence.contains("maximum cpu usage per Container is 2"), "{sentence}");
    Ok(())
}

/// Row 25: such a ceiling would bind only the spaces that set the resource.
async fn a_class_with_an_unusable_ceiling_is_not_accepted(world: &World) -> Result<()> {
    let hard = json!({"requests.cpu": "4", "limits.cpu": "8"});
    for (name, quota, expected_text) in [
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
        (
            "no-room",
            json!({"hard": {"count/rolebindings.rbac.authorization.k8s.io": "0"}}),
            "leaves no room for the 1 RoleBindings",
        ),
    ] {
        world.admin().create(&class(name, json!({"quota": quota}))).await?;
        world
            .until("to be refused", a_class(name), |class| {
                let accepted = condition(class, "Accepted");
                let is_refused = accepted["status"] == "False" && accepted["reason"] == "InvalidSpec";
                ensure!(
                    is_refused && text(accepted, "/message").contains(expected_text),
                    "wanted {expected_text:?}: {accepted}"
                );
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
    world
        .create_accepted_class(
            "gold-lab",
            json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "quota": {"hard": hard}}),
        )
        .await?;
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

/// F07: the shipped class allows limits to rise with requests, and the operator reports a space that raises requests
/// alone.
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
    for (name, expected_text) in [
        ("com", "without a dash"),
        ("xn--fiqs8s", "begins with xn--"),
        ("ingress-nginx", "allows traffic from the namespace of that name"),
        ("prod-orders", "names.denied"),
    ] {
        world.admin().create(&space(name, json!({"className": "standard", "owner": user("bob@example.com")}))).await?;
        let refused = world.until_not_ready(name, "NamespaceConflict").await?;
        let message = text(condition(&refused, "Ready"), "/message").to_owned();
        ensure!(message.contains(expected_text), "{name}: {message}");
        ensure!(world.admin().find(a_namespace(name)).await?.is_none(), "namespace {name} was made");
    }
    Ok(())
}

async fn a_name_is_available_once_no_service_account_refers_to_it(world: &World) -> Result<()> {
    let members = json!([{"kind": "ServiceAccount", "namespace": "carol-jobs", "name": "deployer", "role": "edit"}]);
    world
        .create_ready_space(
            "carol-shop",
            json!({"className": "small", "owner": user("carol@example.com"), "members": members}),
        )
        .await?;
    world.admin().create(&space("carol-jobs", json!({"className": "small", "owner": user("bob@example.com")}))).await?;
    let refused = world.until_not_ready("carol-jobs", "NamespaceConflict").await?;
    let message = text(condition(&refused, "Ready"), "/message").to_owned();
    ensure!(message.contains("DeveloperSpace carol-shop of another owner"), "{message}");
    world.actor("carol@example.com").await?.patch(a_space("carol-shop"), json!({"spec": {"members": []}})).await?;
    world.until_ready("carol-jobs").await.map(drop)
}

async fn a_contact_field_that_is_required_later_is_reported(world: &World) -> Result<()> {
    world.create_accepted_class("reachable", json!({})).await?;
    let contact = json!({"team": "payments"});
    world
        .create_ready_space(
            "alice-reachable",
            json!({"className": "reachable", "owner": user(ALICE), "contact": contact}),
        )
        .await?;
    let patch = json!({"spec": {"metadata": {"requiredContact": ["team", "chat"]}}});
    world.admin().patch(a_class("reachable"), patch).await?;
    eventually("the message to ask for it", SOON, || async {
        let space = world.until_ready("alice-reachable").await?;
        let message = text(condition(&space, "Ready"), "/message").to_owned();
        ensure!(message.contains("spec.contact lacks chat, which SpaceClass reachable requires"), "{message}");
        Ok(Some(()))
    })
    .await?;
    world
        .admin()
        .create(&space(
            "bob-reachable",
            json!({"className": "reachable", "owner": user("bob@example.com"), "contact": contact}),
        ))
        .await?;
    world.until_not_ready("bob-reachable", "InvalidSpec").await.map(drop)
}

/// Checks the table of the `src/desired/ledger.rs` tests against the policies and the operator.
async fn every_row_of_the_ledger_is_refused(world: &World) -> Result<()> {
    let ledger = Ledger::read()?;
    let name = &ledger.class.name;
    world.create_accepted_class(name, ledger.class.spec.clone()).await?;
    let rule = json!({"apiGroups": ["developerspace.dev"], "resources": ["spaceclasses"], "resourceNames": [name], "verbs": ["use"]});
    world.admin().create(&cluster_role("use-bounded", &json!([rule]))).await?;
    world.admin().create(&binding("User", ALICE, "use-bounded")).await?;
    let alice = world.actor(ALICE).await?;
    let mut failures = vec![];
    for (number, row) in ledger.rows.iter().filter(|row| row.free.is_none()).enumerate() {
        if let Err(error) = check_row(world, &alice, &ledger, row, &format!("ledger-{number}")).await {
            failures.push(format!("{}: {error:#}", row.property));
        }
    }
    ensure!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
    alice.create(&owned_by(&ledger.asking(None), ALICE, "ledger-accepted")).await?;
    world.until_ready("ledger-accepted").await.map(drop)
}

async fn check_row(world: &World, alice: &Actor, ledger: &Ledger, row: &Row, name: &str) -> Result<()> {
    let requested = ledger.asking(Some(row));
    let name = row.name.as_deref().unwrap_or(name);
    // Only an administrator may create a space of another owner.
    let is_other_owner = row.property.starts_with("spec.owner");
    let object = if is_other_owner { with_name(&requested, name) } else { owned_by(&requested, ALICE, name) };
    let actor = if is_other_owner { world.admin() } else { alice };
    if let Some(expected_text) = &row.admission {
        let sentence = refusal(actor.create(&object).await)?;
        ensure!(sentence.contains(expected_text), "the policies say {sentence}");
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

fn with_name(space: &Value, name: &str) -> Value {
    let mut space = space.clone();
    space["metadata"] = json!({"name": name});
    space
}

fn owned_by(space: &Value, owner: &str, name: &str) -> Value {
    let mut space = with_name(space, name);
    space["spec"]["owner"] = user(owner);
    space
}
