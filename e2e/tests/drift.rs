//! The operator restores its own objects and fields after any change, and leaves those of others unchanged.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        CHILDREN, SOON, World, a_class, a_namespace, a_space, at, class, config_map, ensure_equal, essence, holds, is_observed, name_of,
        run_concurrently, space, text, uid_of, user,
    },
    scenarios,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn drift() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        edits_are_undone,
        deletions_are_undone,
        labels_come_back_and_foreign_ones_stay,
        objects_of_others_are_left_alone,
        the_namespaces_metadata_comes_back,
        a_namespace_deleted_by_hand_is_made_again,
        members_come_and_go,
        contact_labels_follow_the_contact,
        the_owner_may_change,
        the_class_may_change,
        a_change_of_a_class_reaches_all_its_spaces,
        isolation_is_switched_off_and_on,
        a_roles_cluster_role_may_change,
        an_invalid_spec_changes_nothing,
        there_and_back_is_where_it_was,
    ])
    .await?;
    world.ensure_operator_ready().await
}

/// The spec of the class of one scenario, so that no other scenario is disturbed.
fn rules() -> Value {
    json!({
        "ownerRole": "edit",
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"pods": "7", "limits.memory": "9Gi", "requests.cpu": "1500m"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "300m", "memory": "300Mi"}, "defaultRequest": {"cpu": "30m", "memory": "30Mi"}}],
        "podSecurity": {"enforce": "baseline"},
        "metadata": {"allowedKeys": ["example.com/*"]},
        "lifetime": {"allowProtected": true},
        "allowRetain": true,
    })
}

/// Creates a class and a ready space of it with a group that may view, and returns its snapshot.
async fn subject(world: &World, class: &str, name: &str, owner: &str) -> Result<Value> {
    world.create_accepted_class(class, rules()).await?;
    let members = json!([{"kind": "Group", "name": "lookers", "role": "view"}]);
    let contact = json!({"team": "drifters", "costCenter": "0815"});
    world.create_ready_space(name, json!({"className": class, "owner": user(owner), "members": members, "contact": contact})).await?;
    world.snapshot(name).await
}

async fn edits_are_undone(world: &World) -> Result<()> {
    let before = subject(world, "edited", "uma-edited", "uma@example.com").await?;
    let admin = world.admin();
    let stranger = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory@example.com"}]);
    for (kind, name, patch) in [
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "700"}}})),
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"services": "1"}}})),
        ("ResourceQuota", "developerspace", json!({"spec": {"hard": {"requests.cpu": null}}})),
        ("LimitRange", "developerspace", json!({"spec": {"limits": []}})),
        ("LimitRange", "developerspace", json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1m"}}]}})),
        ("NetworkPolicy", "developerspace-isolation", json!({"spec": {"ingress": [{}]}})),
        ("NetworkPolicy", "developerspace-isolation", json!({"spec": {"podSelector": {"matchLabels": {"app": "none"}}}})),
        ("RoleBinding", "developerspace-owner", json!({"subjects": stranger})),
        ("RoleBinding", "developerspace-view", json!({"subjects": []})),
    ] {
        admin.patch(at(kind, "uma-edited", name), patch.clone()).await?;
        world.until_equal("uma-edited", &before).await.with_context(|| format!("{kind} {name} after {patch}"))?;
    }
    Ok(())
}

async fn deletions_are_undone(world: &World) -> Result<()> {
    let before = subject(world, "deleted", "vera-deleted", "vera@example.com").await?;
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

async fn labels_come_back_and_foreign_ones_stay(world: &World) -> Result<()> {
    let mut expected = subject(world, "stripped", "wanda-stripped", "wanda@example.com").await?;
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
    let ours = ["app.kubernetes.io/managed-by", "developerspace.dev/space", "developerspace.dev/class"];
    for kind in CHILDREN {
        for child in world.admin().list(kind, "wanda-stripped").await? {
            let mut metadata = foreign.clone();
            for label in ours {
                metadata["labels"][label] = Value::Null;
            }
            world.admin().patch(at(kind, "wanda-stripped", name_of(&child)), json!({"metadata": metadata})).await?;
        }
    }
    world.until_equal("wanda-stripped", &expected).await?;
    // Labels that name another space and another class.
    for kind in CHILDREN {
        for child in world.admin().list(kind, "wanda-stripped").await? {
            let lie = json!({"metadata": {"labels": {"developerspace.dev/space": "somebody-elses", "developerspace.dev/class": "large"}}});
            world.admin().patch(at(kind, "wanda-stripped", name_of(&child)), lie).await?;
        }
    }
    world.until_equal("wanda-stripped", &expected).await
}

async fn objects_of_others_are_left_alone(world: &World) -> Result<()> {
    subject(world, "shared", "xenia-shared", "xenia@example.com").await?;
    let admin = world.admin();
    let forged = json!({"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "xenia-shared", "developerspace.dev/class": "shared"});
    let metadata = |name: &str, labels: &Value| json!({"name": name, "namespace": "xenia-shared", "labels": labels});
    let plain = json!({});
    let theirs = [
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
    let mut made = vec![];
    for object in &theirs {
        made.push(admin.create(object).await?);
    }
    // Give the operator reasons to clean up: a changed spec and a changed class. A restart would have the same effect.
    admin.patch(a_space("xenia-shared"), json!({"spec": {"members": []}})).await?;
    admin.patch(a_class("shared"), json!({"spec": {"network": {"isolation": "None"}, "quota": {"hard": {"pods": "8"}}}})).await?;
    world.until_gone(at("NetworkPolicy", "xenia-shared", "developerspace-isolation")).await?;
    world.until_gone(at("RoleBinding", "xenia-shared", "developerspace-view")).await?;
    world.until_ready("xenia-shared").await?;
    for object in &made {
        let now = admin.get(at(text(object, "/kind"), "xenia-shared", name_of(object))).await?;
        ensure_equal(name_of(object), &essence(&now), &essence(object))?;
        ensure!(uid_of(&now) == uid_of(object), "{} was replaced", name_of(object));
    }
    Ok(())
}

async fn the_namespaces_metadata_comes_back(world: &World) -> Result<()> {
    let mut expected = subject(world, "labelled", "yara-labelled", "yara@example.com").await?;
    let admin = world.admin();
    let foreign = json!({"labels": {"other.example.org/cost": "high"}, "annotations": {"other.example.org/scanned": "yes"}});
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

async fn a_namespace_deleted_by_hand_is_made_again(world: &World) -> Result<()> {
    let before = subject(world, "remade", "zoe-remade", "zoe@example.com").await?;
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
        let about = events
            .iter()
            .filter(|event| text(event, "/regarding/kind") == "DeveloperSpace" && text(event, "/regarding/name") == "zoe-remade");
        let notes: Vec<&str> = about.map(|event| text(event, "/note")).collect();
        ensure!(notes.iter().any(|note| note.contains("delete")), "the events say {notes:?}");
        Ok(Some(()))
    })
    .await
}

async fn members_come_and_go(world: &World) -> Result<()> {
    subject(world, "peopled", "adam-peopled", "adam@example.com").await?;
    let admin = world.admin();
    let members = |members: Value| json!({"spec": {"members": members}});
    let who = |name: &str, role: &str| json!({"kind": "User", "name": name, "role": role});
    let bound = async |binding: &str, wanted: Vec<&str>| {
        world
            .until(&format!("to bind {wanted:?}"), at("RoleBinding", "adam-peopled", binding), |binding| {
                let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
                let names: Vec<&str> = subjects.iter().map(|subject| text(subject, "/name")).collect();
                ensure!(names == wanted, "it binds {names:?}");
                Ok(())
            })
            .await
    };
    admin.patch(a_space("adam-peopled"), members(json!([who("ben", "view"), who("cleo", "view"), who("dora", "edit")]))).await?;
    bound("developerspace-view", vec!["ben", "cleo"]).await?;
    bound("developerspace-edit", vec!["dora"]).await?;
    admin.patch(a_space("adam-peopled"), members(json!([who("cleo", "view"), who("dora", "view")]))).await?;
    bound("developerspace-view", vec!["cleo", "dora"]).await?;
    world.until_gone(at("RoleBinding", "adam-peopled", "developerspace-edit")).await?;
    admin.patch(a_space("adam-peopled"), json!({"spec": {"members": null}})).await?;
    world.until_gone(at("RoleBinding", "adam-peopled", "developerspace-view")).await?;
    bound("developerspace-owner", vec!["adam@example.com"]).await.map(drop)
}

async fn contact_labels_follow_the_contact(world: &World) -> Result<()> {
    subject(world, "contacted", "bert-contacted", "bert@example.com").await?;
    let admin = world.admin();
    let labels = async |wanted: Value| {
        world
            .until(&format!("to have {wanted}"), a_namespace("bert-contacted"), |namespace| {
                let labels = &namespace["metadata"]["labels"];
                ensure_equal(
                    "team and cost centre",
                    &json!([labels["developerspace.dev/team"], labels["developerspace.dev/cost-center"]]),
                    &wanted,
                )
            })
            .await
    };
    labels(json!(["drifters", "0815"])).await?;
    admin.patch(a_space("bert-contacted"), json!({"spec": {"contact": {"team": "no label value!", "costCenter": "4712"}}})).await?;
    let namespace = labels(json!([null, "4712"])).await?;
    ensure!(text(&namespace, "/metadata/annotations/developerspace.dev~1contact-team") == "no label value!", "{}", namespace["metadata"]);
    admin.patch(a_space("bert-contacted"), json!({"spec": {"contact": null}})).await?;
    let namespace = labels(json!([null, null])).await?;
    let team = &namespace["metadata"]["annotations"]["developerspace.dev/contact-team"];
    ensure!(team.is_null(), "contact-team is still {team}");
    Ok(())
}

async fn the_owner_may_change(world: &World) -> Result<()> {
    let mut expected = subject(world, "inherited", "cara-inherited", "cara@example.com").await?;
    let group = json!({"kind": "Group", "name": "heirs"});
    world.admin().patch(a_space("cara-inherited"), json!({"spec": {"owner": group}})).await?;
    expected["RoleBinding developerspace-owner"]["subjects"] =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "heirs"}]);
    expected["Namespace"]["metadata"]["annotations"]["developerspace.dev/owner"] = json!("Group:heirs");
    expected["Namespace"]["metadata"]["annotations"]["openshift.io/requester"] = json!("heirs");
    world.until_equal("cara-inherited", &expected).await
}

async fn the_class_may_change(world: &World) -> Result<()> {
    let mut expected = subject(world, "moved-from", "dina-moved", "dina@example.com").await?;
    world.create_accepted_class("moved-to", rules()).await?;
    world.admin().patch(a_space("dina-moved"), json!({"spec": {"className": "moved-to"}})).await?;
    for child in expected.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        child["metadata"]["labels"]["developerspace.dev/class"] = json!("moved-to");
    }
    world.until_equal("dina-moved", &expected).await?;
    let space = world.until_ready("dina-moved").await?;
    ensure!(space["status"]["className"] == "moved-to", "{}", space["status"]);
    Ok(())
}

async fn a_change_of_a_class_reaches_all_its_spaces(world: &World) -> Result<()> {
    world.create_accepted_class("popular", rules()).await?;
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

async fn isolation_is_switched_off_and_on(world: &World) -> Result<()> {
    let before = subject(world, "isolated", "fred-isolated", "fred@example.com").await?;
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
async fn a_roles_cluster_role_may_change(world: &World) -> Result<()> {
    let mut expected = subject(world, "promoted", "gina-promoted", "gina@example.com").await?;
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

async fn an_invalid_spec_changes_nothing(world: &World) -> Result<()> {
    let before = subject(world, "kept", "hugo-kept", "hugo@example.com").await?;
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
        let mut back = good.clone();
        back["spec"]["description"] = Value::Null;
        admin.patch(hugo, back).await?;
        world.until_ready("hugo-kept").await?;
        ensure_equal(&format!("{patch} and back"), &world.snapshot("hugo-kept").await?, &before)?;
    }
    // The binding of a role that the class no longer names is deleted, and nothing else changes.
    admin.patch(kept, json!({"spec": {"roles": [{"name": "edit", "clusterRole": "edit"}]}})).await?;
    world.until_not_ready("hugo-kept", "RoleNotAllowed").await?;
    let mut without = before.clone();
    without.as_object_mut().context("a snapshot is an object")?.remove("RoleBinding developerspace-view").context("there was a binding")?;
    world.until_equal("hugo-kept", &without).await?;
    // Without the class, existing objects stay unchanged.
    admin.delete(kept).await?;
    world.until_not_ready("hugo-kept", "ClassNotFound").await?;
    ensure_equal("the class gone", &world.snapshot("hugo-kept").await?, &without)?;
    admin.create(&class("kept", rules())).await?;
    world.until_ready("hugo-kept").await?;
    ensure_equal("the class back", &world.snapshot("hugo-kept").await?, &before)
}

async fn there_and_back_is_where_it_was(world: &World) -> Result<()> {
    let before = subject(world, "tossed", "ines-tossed", "ines@example.com").await?;
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
        let there = world
            .until("to be seen", a_space("ines-tossed"), |space| {
                ensure!(is_observed(space), "its status is {}", space["status"]);
                Ok(())
            })
            .await?;
        ensure!(holds(&there, "Ready"), "{change}: {}", there["status"]);
        let back = json!([{"op": "replace", "path": "/spec", "value": original}]);
        admin.json_patch(a_space("ines-tossed"), back).await?;
        world.until_ready("ines-tossed").await?;
        ensure_equal(&format!("{change} and back"), &world.snapshot("ines-tossed").await?, &before)?;
    }
    Ok(())
}
