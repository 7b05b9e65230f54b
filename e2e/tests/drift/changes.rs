//! Changes of a space or a class: the objects follow, and a refused change has no effect.

use anyhow::{Context, Result, ensure};
use e2e::fixtures::{
    World, a_class, a_namespace, a_space, at, class, ensure_equal, holds, is_observed, space, text, user,
};
use serde_json::{Value, json};

use crate::{class_spec, create_and_snapshot};

pub(crate) async fn members_are_added_and_removed(world: &World) -> Result<()> {
    create_and_snapshot(world, "peopled", "adam-peopled", "adam@example.com").await?;
    let admin = world.admin();
    let members = |members: Value| json!({"spec": {"members": members}});
    let member = |name: &str, role: &str| json!({"kind": "User", "name": name, "role": role});
    let until_bound = async |binding: &str, expected: Vec<&str>| {
        world
            .until(&format!("to bind {expected:?}"), at("RoleBinding", "adam-peopled", binding), |binding| {
                let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
                let names: Vec<&str> = subjects.iter().map(|subject| text(subject, "/name")).collect();
                ensure!(names == expected, "it binds {names:?}");
                Ok(())
            })
            .await
    };
    admin
        .patch(
            a_space("adam-peopled"),
            members(json!([member("ben", "view"), member("cleo", "view"), member("dora", "edit")])),
        )
        .await?;
    until_bound("developerspace-view", vec!["ben", "cleo"]).await?;
    until_bound("developerspace-edit", vec!["dora"]).await?;
    admin.patch(a_space("adam-peopled"), members(json!([member("cleo", "view"), member("dora", "view")]))).await?;
    until_bound("developerspace-view", vec!["cleo", "dora"]).await?;
    world.until_gone(at("RoleBinding", "adam-peopled", "developerspace-edit")).await?;
    admin.patch(a_space("adam-peopled"), json!({"spec": {"members": null}})).await?;
    world.until_gone(at("RoleBinding", "adam-peopled", "developerspace-view")).await?;
    until_bound("developerspace-owner", vec!["adam@example.com"]).await.map(drop)
}

pub(crate) async fn contact_labels_follow_the_contact(world: &World) -> Result<()> {
    create_and_snapshot(world, "contacted", "bert-contacted", "bert@example.com").await?;
    let admin = world.admin();
    let labels = async |expected: Value| {
        world
            .until(&format!("to have {expected}"), a_namespace("bert-contacted"), |namespace| {
                let labels = &namespace["metadata"]["labels"];
                ensure_equal(
                    "team and cost centre",
                    &json!([labels["developerspace.dev/team"], labels["developerspace.dev/cost-center"]]),
                    &expected,
                )
            })
            .await
    };
    labels(json!(["drifters", "0815"])).await?;
    admin
        .patch(
            a_space("bert-contacted"),
            json!({"spec": {"contact": {"team": "no label value!", "costCenter": "4712"}}}),
        )
        .await?;
    let namespace = labels(json!([null, "4712"])).await?;
    ensure!(
        text(&namespace, "/metadata/annotations/developerspace.dev~1contact-team") == "no label value!",
        "{}",
        namespace["metadata"]
    );
    admin.patch(a_space("bert-contacted"), json!({"spec": {"contact": null}})).await?;
    let namespace = labels(json!([null, null])).await?;
    let team = &namespace["metadata"]["annotations"]["developerspace.dev/contact-team"];
    ensure!(team.is_null(), "contact-team is still {team}");
    Ok(())
}

pub(crate) async fn the_owner_may_change(world: &World) -> Result<()> {
    let mut expected = create_and_snapshot(world, "inherited", "cara-inherited", "cara@example.com").await?;
    let group = json!({"kind": "Group", "name": "heirs"});
    world.admin().patch(a_space("cara-inherited"), json!({"spec": {"owner": group}})).await?;
    expected["RoleBinding developerspace-owner"]["subjects"] =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "heirs"}]);
    expected["Namespace"]["metadata"]["annotations"]["developerspace.dev/owner"] = json!("Group:heirs");
    expected["Namespace"]["metadata"]["annotations"]["openshift.io/requester"] = json!("heirs");
    world.until_equal("cara-inherited", &expected).await
}

pub(crate) async fn the_class_may_change(world: &World) -> Result<()> {
    let mut expected = create_and_snapshot(world, "moved-from", "dina-moved", "dina@example.com").await?;
    world.create_accepted_class("moved-to", class_spec()).await?;
    world.admin().patch(a_space("dina-moved"), json!({"spec": {"className": "moved-to"}})).await?;
    for child in expected.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        child["metadata"]["labels"]["developerspace.dev/class"] = json!("moved-to");
    }
    world.until_equal("dina-moved", &expected).await?;
    let space = world.until_ready("dina-moved").await?;
    ensure!(space["status"]["className"] == "moved-to", "{}", space["status"]);
    Ok(())
}

pub(crate) async fn a_change_of_a_class_reaches_all_its_spaces(world: &World) -> Result<()> {
    world.create_accepted_class("popular", class_spec()).await?;
    let names: Vec<String> = (0..8).map(|number| format!("fan-{number}")).collect();
    for name in &names {
        world.admin().create(&space(name, json!({"className": "popular", "owner": user("erik@example.com")}))).await?;
    }
    let mut expected = vec![];
    for name in &names {
        world.until_ready(name).await?;
        expected.push(world.snapshot(name).await?);
    }
    let change = json!({
        "quota": {"hard": {"pods": "70"}}, "podSecurity": {"enforce": "restricted", "warn": "restricted"},
        "metadata": {"labels": {"example.com/tier": "popular"}},
    });
    world.admin().patch(a_class("popular"), json!({"spec": change})).await?;
    for (name, expected) in names.iter().zip(&mut expected) {
        expected["ResourceQuota developerspace"]["spec"]["hard"]["pods"] = json!("70");
        let labels = &mut expected["Namespace"]["metadata"]["labels"];
        labels["pod-security.kubernetes.io/enforce"] = json!("restricted");
        labels["pod-security.kubernetes.io/warn"] = json!("restricted");
        labels["example.com/tier"] = json!("popular");
        world.until_equal(name, expected).await?;
    }
    Ok(())
}

pub(crate) async fn isolation_is_switched_off_and_on(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "isolated", "fred-isolated", "fred@example.com").await?;
    let isolation = async |value: &str| {
        let patch = json!({"spec": {"network": {"isolation": value}}});
        world.admin().patch(a_class("isolated"), patch).await
    };
    isolation("None").await?;
    world.until_gone(at("NetworkPolicy", "fred-isolated", "developerspace-isolation")).await?;
    isolation("Namespace").await?;
    world.until_equal("fred-isolated", &before).await
}

/// A roleRef is immutable: the binding has to be replaced.
pub(crate) async fn the_cluster_role_of_a_role_may_change(world: &World) -> Result<()> {
    let mut expected = create_and_snapshot(world, "promoted", "gina-promoted", "gina@example.com").await?;
    let roles = json!([{"name": "edit", "clusterRole": "admin"}, {"name": "view", "clusterRole": "edit"}]);
    world.admin().patch(a_class("promoted"), json!({"spec": {"roles": roles}})).await?;
    expected["RoleBinding developerspace-owner"]["roleRef"]["name"] = json!("admin");
    expected["RoleBinding developerspace-view"]["roleRef"]["name"] = json!("edit");
    world.until_equal("gina-promoted", &expected).await?;
    world.until_ready("gina-promoted").await?;
    // A binding that another user deletes is recreated with the same role.
    let binding = at("RoleBinding", "gina-promoted", "developerspace-view");
    world.admin().delete(binding).await?;
    world.until_equal("gina-promoted", &expected).await
}

pub(crate) async fn an_invalid_spec_changes_nothing(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "kept", "hugo-kept", "hugo@example.com").await?;
    let admin = world.admin();
    let (hugo, kept) = (a_space("hugo-kept"), a_class("kept"));
    let lookers = json!({"kind": "Group", "name": "lookers", "role": "view"});
    let good = json!({"spec": {"members": [lookers.clone()], "quota": null, "ttl": null, "className": "kept"}});
    for (patch, reason) in [
        (
            json!({"spec": {"members": [lookers.clone(), {"kind": "User", "name": "ivo", "role": "root"}], "description": "not to be half applied"}}),
            "RoleNotAllowed",
        ),
        (json!({"spec": {"quota": {"pods": "8"}, "description": "not to be half applied"}}), "QuotaExceedsClass"),
        (json!({"spec": {"ttl": "never", "description": "not to be half applied"}}), "InvalidSpec"),
        (json!({"spec": {"className": "no-such-class", "description": "not to be half applied"}}), "ClassNotFound"),
    ] {
        admin.patch(hugo, patch.clone()).await?;
        world.until_not_ready("hugo-kept", reason).await?;
        ensure_equal(&format!("after {patch}"), &world.snapshot("hugo-kept").await?, &before)?;
        let mut revert = good.clone();
        revert["spec"]["description"] = Value::Null;
        admin.patch(hugo, revert).await?;
        world.until_ready("hugo-kept").await?;
        ensure_equal(&format!("{patch} and back"), &world.snapshot("hugo-kept").await?, &before)?;
    }
    // The binding of a role that the class no longer names is deleted, and nothing else changes.
    admin.patch(kept, json!({"spec": {"roles": [{"name": "edit", "clusterRole": "edit"}]}})).await?;
    world.until_not_ready("hugo-kept", "RoleNotAllowed").await?;
    let mut expected = before.clone();
    expected
        .as_object_mut()
        .context("a snapshot is an object")?
        .remove("RoleBinding developerspace-view")
        .context("there was a binding")?;
    world.until_equal("hugo-kept", &expected).await?;
    // Without the class, existing objects stay unchanged.
    admin.delete(kept).await?;
    world.until_not_ready("hugo-kept", "ClassNotFound").await?;
    ensure_equal("the class gone", &world.snapshot("hugo-kept").await?, &expected)?;
    admin.create(&class("kept", class_spec())).await?;
    world.until_ready("hugo-kept").await?;
    ensure_equal("the class back", &world.snapshot("hugo-kept").await?, &before)
}

pub(crate) async fn a_reverted_change_restores_the_original_state(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "tossed", "ines-tossed", "ines@example.com").await?;
    let admin = world.admin();
    let original = admin.get(a_space("ines-tossed")).await?["spec"].clone();
    for change in [
        json!({"displayName": "Another name"}),
        json!({"description": "Another\ntext"}),
        json!({"contact": {"team": "others", "email": "others@example.com", "chat": "#others", "url": "https://example.com/others", "costCenter": "1"}}),
        json!({"labels": {"example.com/a": "1", "example.com/b": "2"}}),
        json!({"annotations": {"example.com/a": "any text"}}),
        json!({"quota": {"pods": "3"}}),
        json!({"limitRange": [{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "1", "memory": "1Gi"}}]}),
        json!({"protected": true}),
        json!({"deletionPolicy": "Retain"}),
        json!({"ttl": "3d"}),
        json!({"expiresAt": "2099-12-01T00:00:00Z"}),
        json!({"members": [{"kind": "ServiceAccount", "name": "robot", "namespace": "lab", "role": "edit"}]}),
    ] {
        admin.patch(a_space("ines-tossed"), json!({"spec": change.clone()})).await?;
        let changed = world
            .until("to be seen", a_space("ines-tossed"), |space| {
                ensure!(is_observed(space), "its status is {}", space["status"]);
                Ok(())
            })
            .await?;
        ensure!(holds(&changed, "Ready"), "{change}: {}", changed["status"]);
        let revert = json!([{"op": "replace", "path": "/spec", "value": original}]);
        admin.json_patch(a_space("ines-tossed"), revert).await?;
        world.until_ready("ines-tossed").await?;
        ensure_equal(&format!("{change} and back"), &world.snapshot("ines-tossed").await?, &before)?;
    }
    Ok(())
}
