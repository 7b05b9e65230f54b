//! Changes by others inside of a namespace: the operator restores its own objects and fields only.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        CHILDREN, SOON, World, a_class, a_namespace, a_space, at, config_map, ensure_equal, essence, name_of, text,
        uid_of,
    },
};
use serde_json::{Value, json};

use crate::create_and_snapshot;

pub(crate) async fn edits_are_reverted(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "edited", "uma-edited", "uma@example.com").await?;
    let admin = world.admin();
    let stranger = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory@example.com"}]);
    for (kind, name, patch) in [
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "700"}}})),
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"services": "1"}}})),
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"requests.cpu": null}}})),
        ("LimitRange", "developerspace", json!({"spec": {"limits": []}})),
        ("LimitRange", "developerspace", json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1m"}}]}})),
        ("NetworkPolicy", "developerspace-isolation", json!({"spec": {"ingress": [{}]}})),
        (
            "NetworkPolicy",
            "developerspace-isolation",
            json!({"spec": {"podSelector": {"matchLabels": {"app": "none"}}}}),
        ),
        ("RoleBinding", "developerspace-owner", json!({"subjects": stranger})),
        ("RoleBinding", "developerspace-view", json!({"subjects": []})),
    ] {
        admin.patch(at(kind, "uma-edited", name), patch.clone()).await?;
        world.until_equal("uma-edited", &before).await.with_context(|| format!("{kind} {name} after {patch}"))?;
    }
    Ok(())
}

pub(crate) async fn deleted_objects_are_recreated(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "deleted", "vera-deleted", "vera@example.com").await?;
    for kind in CHILDREN {
        for child in world.admin().list(kind, "vera-deleted").await? {
            world.admin().delete(at(kind, "vera-deleted", name_of(&child))).await?;
            world.until_equal("vera-deleted", &before).await.with_context(|| format!("{kind} {}", name_of(&child)))?;
        }
    }
    // All of them at once, too.
    for kind in CHILDREN {
        for child in world.admin().list(kind, "vera-deleted").await? {
            world.admin().delete(at(kind, "vera-deleted", name_of(&child))).await?;
        }
    }
    world.until_equal("vera-deleted", &before).await
}

pub(crate) async fn labels_are_restored_and_foreign_labels_are_kept(world: &World) -> Result<()> {
    let mut expected = create_and_snapshot(world, "stripped", "wanda-stripped", "wanda@example.com").await?;
    let foreign = json!({
        "labels": {"other.example.org/colour": "red"},
        "annotations": {"other.example.org/note": "not the operator's"},
    });
    for (key, child) in expected.as_object_mut().context("a snapshot is a map")? {
        if key != "Namespace" {
            child["metadata"]["labels"]["other.example.org/colour"] = json!("red");
            child["metadata"]["annotations"] = foreign["annotations"].clone();
        }
    }
    let operator_labels = ["app.kubernetes.io/managed-by", "developerspace.dev/space", "developerspace.dev/class"];
    for kind in CHILDREN {
        for child in world.admin().list(kind, "wanda-stripped").await? {
            let mut metadata = foreign.clone();
            for label in operator_labels {
                metadata["labels"][label] = Value::Null;
            }
            world.admin().patch(at(kind, "wanda-stripped", name_of(&child)), json!({"metadata": metadata})).await?;
        }
    }
    world.until_equal("wanda-stripped", &expected).await?;
    // Labels that name another space and another class.
    for kind in CHILDREN {
        for child in world.admin().list(kind, "wanda-stripped").await? {
            let forged = json!({"metadata": {"labels": {"developerspace.dev/space": "somebody-elses", "developerspace.dev/class": "large"}}});
            world.admin().patch(at(kind, "wanda-stripped", name_of(&child)), forged).await?;
        }
    }
    world.until_equal("wanda-stripped", &expected).await
}

pub(crate) async fn foreign_objects_are_not_changed(world: &World) -> Result<()> {
    create_and_snapshot(world, "shared", "xenia-shared", "xenia@example.com").await?;
    let admin = world.admin();
    let forged = json!({"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "xenia-shared", "developerspace.dev/class": "shared"});
    let metadata = |name: &str, labels: &Value| json!({"name": name, "namespace": "xenia-shared", "labels": labels});
    let plain = json!({});
    let foreign_objects = [
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata("theirs", &plain), "spec": {"hard": {"services": "3"}}}),
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata("theirs", &plain), "spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("theirs", &plain), "spec": {"podSelector": {}, "ingress": [{}]}}),
        // Users who may write NetworkPolicies may also write the operator's labels onto them.
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("forged", &forged), "spec": {"podSelector": {}, "ingress": [{}]}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("theirs", &plain),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "auditors"}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("developerspace-auditors", &plain),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "auditors"}],
        }),
    ];
    let mut created = vec![];
    for object in &foreign_objects {
        created.push(admin.create(object).await?);
    }
    // Give the operator reasons to clean up: a changed spec and a changed class. A restart would have the same effect.
    admin.patch(a_space("xenia-shared"), json!({"spec": {"members": []}})).await?;
    admin
        .patch(a_class("shared"), json!({"spec": {"network": {"isolation": "None"}, "quota": {"hard": {"pods": "8"}}}}))
        .await?;
    world.until_gone(at("NetworkPolicy", "xenia-shared", "developerspace-isolation")).await?;
    world.until_gone(at("RoleBinding", "xenia-shared", "developerspace-view")).await?;
    world.until_ready("xenia-shared").await?;
    for object in &created {
        let now = admin.get(at(text(object, "/kind"), "xenia-shared", name_of(object))).await?;
        ensure_equal(name_of(object), &essence(&now), &essence(object))?;
        ensure!(uid_of(&now) == uid_of(object), "{} was replaced", name_of(object));
    }
    Ok(())
}

pub(crate) async fn the_metadata_of_the_namespace_is_restored(world: &World) -> Result<()> {
    let mut expected = create_and_snapshot(world, "labelled", "yara-labelled", "yara@example.com").await?;
    let admin = world.admin();
    let foreign =
        json!({"labels": {"other.example.org/cost": "high"}, "annotations": {"other.example.org/scanned": "yes"}});
    admin.patch(a_namespace("yara-labelled"), json!({"metadata": foreign})).await?;
    expected["Namespace"]["metadata"]["labels"]["other.example.org/cost"] = json!("high");
    expected["Namespace"]["metadata"]["annotations"]["other.example.org/scanned"] = json!("yes");
    for patch in [
        json!({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}),
        json!({"labels": {"pod-security.kubernetes.io/enforce": null, "developerspace.dev/class": null, "developerspace.dev/team": "other"}}),
        json!({"labels": {"app.kubernetes.io/managed-by": null, "developerspace.dev/space": null}}),
        json!({"annotations": {"developerspace.dev/owner": "User:mallory@example.com", "developerspace.dev/space-uid": "forged"}}),
        json!({"annotations": {"developerspace.dev/space-uid": null, "openshift.io/requester": null}}),
        json!({"annotations": {"developerspace.dev/owner": null, "developerspace.dev/contact-team": null}}),
    ] {
        admin.patch(a_namespace("yara-labelled"), json!({"metadata": patch.clone()})).await?;
        world.until_equal("yara-labelled", &expected).await.with_context(|| format!("after {patch}"))?;
    }
    Ok(())
}

pub(crate) async fn a_deleted_namespace_is_recreated(world: &World) -> Result<()> {
    let before = create_and_snapshot(world, "remade", "zoe-remade", "zoe@example.com").await?;
    let admin = world.admin();
    admin.create(&config_map("zoe-remade", "lost")).await?;
    let old = uid_of(&admin.get(a_namespace("zoe-remade")).await?).to_owned();
    admin.delete(a_namespace("zoe-remade")).await?;
    let new = world
        .until("to be another namespace", a_space("zoe-remade"), |space| {
            let uid = text(space, "/status/namespace/uid");
            ensure!(!uid.is_empty() && uid != old, "its status is {}", space["status"]);
            Ok(())
        })
        .await?;
    world.until_ready("zoe-remade").await?;
    let mut expected = before;
    expected["Namespace"]["metadata"]["annotations"]["developerspace.dev/replaces"] = json!(old);
    world.until_equal("zoe-remade", &expected).await?;
    let namespace = admin.get(a_namespace("zoe-remade")).await?;
    ensure!(uid_of(&namespace) == text(&new, "/status/namespace/uid"), "the status names another namespace");
    ensure!(admin.find(at("ConfigMap", "zoe-remade", "lost")).await?.is_none(), "it is not empty");
    eventually("an Event that says so", SOON, || async {
        let events = admin.list("Event", "default").await?;
        let of_space = events.iter().filter(|event| {
            text(event, "/regarding/kind") == "DeveloperSpace" && text(event, "/regarding/name") == "zoe-remade"
        });
        let notes: Vec<&str> = of_space.map(|event| text(event, "/note")).collect();
        ensure!(notes.iter().any(|note| note.contains("delete")), "the events say {notes:?}");
        Ok(Some(()))
    })
    .await
}
