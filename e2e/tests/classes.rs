//! Changes of classes by administrators: mistakes, selectors that owners can match, ClusterRoles that are deleted and
//! recreated, two defaults. No space loses anything by them.

use anyhow::{Result, ensure};
use e2e::{
    fixtures::{
        SOON, World, a_class, a_namespace, a_space, at, class, cluster_role, cluster_role_binding, cluster_wide,
        condition, ensure_equal, holds, is_observed, run_concurrently, space, stays, text, user,
    },
    scenarios,
};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn classes() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        a_missing_cluster_role_is_reported,
        classes_that_owners_can_open_are_not_accepted,
        a_label_key_that_another_class_allows_later_refuses_the_class,
        a_class_that_admits_the_namespace_of_a_space_is_not_accepted,
        the_older_of_two_default_classes_applies,
        an_invalid_change_of_a_class_affects_no_space,
    ])
    .await?;
    world.ensure_operator_ready().await
}

/// Waits until the current spec of the class is not accepted for `reason`, with a message that contains all of the
/// given texts.
async fn until_refused(world: &World, name: &str, reason: &str, expected_texts: &[&str]) -> Result<Value> {
    world
        .until(&format!("to be refused: {reason}"), a_class(name), |class| {
            let accepted = condition(class, "Accepted");
            let message = text(accepted, "/message");
            let is_refused = accepted["status"] == "False"
                && accepted["reason"] == reason
                && expected_texts.iter().all(|words| message.contains(words));
            ensure!(is_refused && is_observed(class), "its status is {}", class["status"]);
            Ok(())
        })
        .await
}

/// Allows the operator to bind a role as docs/classes.md shows it, under "ClusterRoles of your own".
async fn allow_operator_to_bind(world: &World, role: &str) -> Result<()> {
    let name = format!("developerspace-operator-bind-{role}");
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": [role]}]);
    world.admin().create(&cluster_role(&name, &rules)).await?;
    let operator =
        json!({"kind": "ServiceAccount", "name": "developerspace-operator", "namespace": "developerspace-system"});
    world.admin().create(&cluster_role_binding(&name, &name, &operator)).await.map(drop)
}

async fn a_missing_cluster_role_is_reported(world: &World) -> Result<()> {
    let admin = world.admin();
    allow_operator_to_bind(world, "data-scientist").await?;
    let spec = json!({"ownerRole": "ds", "roles": [{"name": "ds", "clusterRole": "data-scientist"}, {"name": "look", "clusterRole": "view"}]});
    admin.create(&class("ds-lab", spec)).await?;
    let missing = "ClusterRole data-scientist does not exist";
    until_refused(world, "ds-lab", "RoleNotFound", &[missing]).await?;
    let member = json!({"kind": "User", "name": "mira@example.com", "role": "look"});
    admin
        .create(&space(
            "vera-models",
            json!({"className": "ds-lab", "owner": user("vera@example.com"), "members": [member]}),
        ))
        .await?;
    let waiting = world.until_not_ready("vera-models", "RoleNotAllowed").await?;
    ensure!(text(condition(&waiting, "Ready"), "/message").contains(missing), "{}", waiting["status"]);
    // The refusal concerns that role only.
    world.until("to be there", at("RoleBinding", "vera-models", "developerspace-look"), |_| Ok(())).await?;
    ensure!(
        admin.find(at("RoleBinding", "vera-models", "developerspace-owner")).await?.is_none(),
        "a binding to nothing was made"
    );

    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "create"]}]);
    admin.create(&cluster_role("data-scientist", &rules)).await?;
    world.until_accepted("ds-lab").await?;
    world.until_ready("vera-models").await?;
    let before = world.snapshot("vera-models").await?;

    admin.delete(cluster_wide("ClusterRole", "data-scientist")).await?;
    until_refused(world, "ds-lab", "RoleNotFound", &[missing]).await?;
    world.until_not_ready("vera-models", "RoleNotAllowed").await?;
    ensure_equal("the space of a class whose ClusterRole went", &world.snapshot("vera-models").await?, &before)?;
    admin.create(&cluster_role("data-scientist", &rules)).await?;
    world.until_ready("vera-models").await?;

    // Once the current spec is refused, the class reports nothing about its roles, and the earlier spec stays in force.
    admin.patch(a_class("ds-lab"), json!({"spec": {"lifetime": {"defaultTTL": "1d", "maxTTL": "2s"}}})).await?;
    until_refused(world, "ds-lab", "InvalidSpec", &["defaultTTL"]).await?;
    admin.delete(cluster_wide("ClusterRole", "data-scientist")).await?;
    world.until_not_ready("vera-models", "RoleNotAllowed").await?;
    admin.create(&cluster_role("data-scientist", &rules)).await?;
    world.until_ready("vera-models").await.map(drop)
}

fn enforced_network(selector: &Value) -> Value {
    json!({"network": {"isolation": "Namespace", "enforced": true, "allowFromNamespaces": [selector]}})
}

async fn classes_that_owners_can_open_are_not_accepted(world: &World) -> Result<()> {
    let shipped = world.admin().get(a_class("standard")).await?;
    ensure!(shipped["spec"]["metadata"]["allowedKeys"] == json!(["example.com/*"]), "{}", shipped["spec"]);
    for (name, selector, expected_texts) in [
        (
            "walled-in",
            json!({"matchLabels": {"example.com/role": "ingress"}}),
            ["label example.com/role", "example.com/* in SpaceClass standard"],
        ),
        (
            "walled-two",
            json!({"matchLabels": {"developerspace.dev/team": "payments"}}),
            ["developerspace.dev/team", "spec.contact.team"],
        ),
        (
            "walled-not",
            json!({"matchExpressions": [{"key": "platform.test/quarantine", "operator": "DoesNotExist"}]}),
            ["platform.test/quarantine", "DoesNotExist"],
        ),
        ("walled-all", json!({}), ["an empty selector", "every namespace"]),
    ] {
        world.admin().create(&class(name, enforced_network(&selector))).await?;
        until_refused(world, name, "InvalidSpec", &expected_texts).await?;
    }
    world
        .create_accepted_class(
            "walled-ok",
            enforced_network(&json!({"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}})),
        )
        .await
}

async fn a_label_key_that_another_class_allows_later_refuses_the_class(world: &World) -> Result<()> {
    let admin = world.admin();
    world.create_accepted_class("gated", enforced_network(&json!({"matchLabels": {"zone.test/role": "gate"}}))).await?;
    let before = world
        .create_ready_space("tilda-gated", json!({"className": "gated", "owner": user("tilda@example.com")}))
        .await?;
    world.create_accepted_class("generous", json!({"metadata": {"allowedKeys": ["zone.test/*"]}})).await?;
    let gated =
        until_refused(world, "gated", "InvalidSpec", &["zone.test/role", "zone.test/* in SpaceClass generous"]).await?;
    ensure!(gated["status"]["accepted"]["network"] == gated["spec"]["network"], "{}", gated["status"]);
    // Its spaces keep the spec that was accepted last, and no owner can set the key.
    stays("the space is ready", Duration::from_secs(3), || async {
        let space = admin.get(a_space("tilda-gated")).await?;
        ensure!(
            holds(&space, "Ready") && space["status"]["namespace"] == before["status"]["namespace"],
            "{}",
            space["status"]
        );
        Ok(())
    })
    .await?;
    let spec =
        json!({"className": "generous", "owner": user("malin@example.com"), "labels": {"zone.test/role": "gate"}});
    admin.create(&space("malin-inside", spec)).await?;
    world.until_not_ready("malin-inside", "InvalidSpec").await?;
    admin.delete(a_space("malin-inside")).await?;
    admin.delete(a_class("generous")).await?;
    world.until_accepted("gated").await.map(drop)
}

async fn a_class_that_admits_the_namespace_of_a_space_is_not_accepted(world: &World) -> Result<()> {
    let admin = world.admin();
    world.create_ready_space("rosa-door", json!({"className": "standard", "owner": user("rosa@example.com")})).await?;
    admin
        .create(&class(
            "trusting",
            enforced_network(&json!({"matchLabels": {"kubernetes.io/metadata.name": "rosa-door"}})),
        ))
        .await?;
    until_refused(
        world,
        "trusting",
        "InvalidSpec",
        &["namespace rosa-door belongs to the DeveloperSpace of that name"],
    )
    .await?;
    admin.delete(a_space("rosa-door")).await?;
    world.until_gone(a_namespace("rosa-door")).await?;
    world.until_accepted("trusting").await.map(drop)
}

async fn the_older_of_two_default_classes_applies(world: &World) -> Result<()> {
    let admin = world.admin();
    let mut copied = class("younger", json!({}));
    copied["metadata"]["annotations"] = json!({"developerspace.dev/is-default-class": "true"});
    admin.create(&copied).await?;
    for (name, expected_text) in
        [("standard", "older than SpaceClass younger"), ("younger", "SpaceClass standard is older")]
    {
        world
            .until("to say which of two defaults holds", a_class(name), |class| {
                let accepted = condition(class, "Accepted");
                ensure!(
                    accepted["status"] == "True" && text(accepted, "/message").contains(expected_text),
                    "its status is {}",
                    class["status"]
                );
                Ok(())
            })
            .await?;
    }
    let created = world.create_ready_space("nils-default", json!({"owner": user("nils@example.com")})).await?;
    ensure!(created["status"]["className"] == "standard", "{}", created["status"]);
    admin.delete(a_class("younger")).await?;
    world
        .until("to be the only default", a_class("standard"), |class| {
            ensure!(
                !text(condition(class, "Accepted"), "/message").contains("younger"),
                "its status is {}",
                class["status"]
            );
            Ok(())
        })
        .await
        .map(drop)
}

async fn an_invalid_change_of_a_class_affects_no_space(world: &World) -> Result<()> {
    let admin = world.admin();
    let quota = json!({"hard": {"pods": "7"}});
    world
        .create_accepted_class("mistyped", json!({"quota": quota, "lifetime": {"defaultTTL": "1d", "maxTTL": "30d"}}))
        .await?;
    let before = world
        .create_ready_space("otto-steady", json!({"className": "mistyped", "owner": user("otto@example.com")}))
        .await?;
    let typo = json!({"spec": {"quota": {"hard": {"pods": "9"}}, "lifetime": {"maxTTL": "2s"}}});
    admin.patch(a_class("mistyped"), typo).await?;
    let class =
        until_refused(world, "mistyped", "InvalidSpec", &["lifetime.defaultTTL 1d is longer than lifetime.maxTTL 2s"])
            .await?;
    let accepted = json!({"defaultTTL": "1d", "maxTTL": "30d", "allowNever": false, "allowProtected": false});
    ensure!(class["status"]["accepted"]["lifetime"] == accepted, "{}", class["status"]);
    // Existing objects are maintained, and new ones are created, by the spec that was accepted last.
    admin.delete(at("ResourceQuota", "otto-steady", "developerspace")).await?;
    let created = world
        .create_ready_space("frida-steady", json!({"className": "mistyped", "owner": user("frida@example.com")}))
        .await?;
    ensure!(!created["status"]["expiresAt"].is_null(), "{}", created["status"]);
    for name in ["otto-steady", "frida-steady"] {
        world
            .until_within(SOON, "to be as last accepted", at("ResourceQuota", name, "developerspace"), |quota| {
                ensure!(quota["spec"]["hard"] == json!({"pods": "7"}), "{}", quota["spec"]);
                Ok(())
            })
            .await?;
    }
    stays("the space stays ready", Duration::from_secs(5), || async {
        let space = admin.get(a_space("otto-steady")).await?;
        let same = holds(&space, "Ready") && space["status"]["expiresAt"] == before["status"]["expiresAt"];
        ensure!(same && !holds(&space, "Expiring"), "{}", space["status"]);
        Ok(())
    })
    .await?;
    // The class was never accepted, so there is no spec for a new space.
    admin.create(&e2e::fixtures::class("hopeless", json!({"lifetime": {"defaultTTL": "1d", "maxTTL": "2s"}}))).await?;
    admin.create(&space("ella-waits", json!({"className": "hopeless", "owner": user("ella@example.com")}))).await?;
    world.until_not_ready("ella-waits", "ClassNotAccepted").await?;
    admin.patch(a_class("mistyped"), json!({"spec": {"lifetime": {"maxTTL": "20d"}}})).await?;
    world.until_accepted("mistyped").await?;
    world
        .until("to be as accepted now", at("ResourceQuota", "otto-steady", "developerspace"), |quota| {
            ensure!(quota["spec"]["hard"] == json!({"pods": "9"}), "{}", quota["spec"]);
            Ok(())
        })
        .await
        .map(drop)
}
