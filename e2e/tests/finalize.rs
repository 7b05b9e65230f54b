//! The deletion of a space by a user: the namespace is deleted first, the status reports what blocks it, and retained
//! objects remain.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{
    audit::AuditEntry,
    binaries, eventually,
    fixtures::{
        SOON, World, a_namespace, a_space, at, cluster_wide, condition, config_map, ensure_equal, holds, name_of,
        rbac_subject, refusal, role_binding, run_concurrently, space, stays, text, uid_of, user,
    },
    operator, scenarios,
};
use serde_json::{Value, json};

const CRD: &str = "developerspaces.developerspace.dev";

#[tokio::test(flavor = "multi_thread")]
async fn finalize() -> Result<()> {
    let world = World::start(&[]).await?;
    let by_deletion = run_concurrently(scenarios![&world;
        the_namespace_is_deleted_before_the_space,
        every_propagation_policy_deletes_the_namespace,
        a_space_without_a_namespace_is_deleted,
        a_retained_namespace_is_released,
        the_status_reports_a_blocked_deletion,
        a_foreign_namespace_of_the_same_name_is_kept,
        a_protected_space_cannot_be_deleted,
        an_expired_protected_space_can_be_deleted,
    ])
    .await;
    // The last scenario: it removes the CRD that all others use.
    let by_removal = run_concurrently(scenarios![&world; removing_the_crd_keeps_the_namespaces]).await;
    by_deletion.and(by_removal)?;
    world.ensure_operator_ready().await?;
    run_concurrently(scenarios![&world; the_removal_commands_of_the_readme_work]).await
}

fn spec(owner: &str) -> Value {
    json!({"className": "standard", "owner": user(owner)})
}

async fn the_namespace_is_deleted_before_the_space(world: &World) -> Result<()> {
    let admin = world.admin();
    let space = world.create_ready_space("sara-first", spec("sara@example.com")).await?;
    let finalizers = &space["metadata"]["finalizers"];
    ensure!(*finalizers == json!(["developerspace.dev/namespace"]), "finalizers are {finalizers}");
    let uid = uid_of(&admin.get(a_namespace("sara-first")).await?).to_owned();
    let mut audit = world.cluster().audit_from_now()?;
    admin.delete(a_space("sara-first")).await?;
    eventually("the space to be gone after its namespace", SOON, || async {
        // In this order: a namespace that exists after its space was seen to be gone breaks the promise.
        let space = admin.find(a_space("sara-first")).await?;
        let namespace = admin.find(a_namespace("sara-first")).await?;
        match (space, namespace) {
            (None, Some(_)) => Ok(Some(Err(anyhow::anyhow!("the space went before its namespace")))),
            (None, None) => Ok(Some(Ok(()))),
            (Some(space), _) => Err(anyhow::anyhow!("its status is {}", space["status"])),
        }
    })
    .await??;
    let about =
        |entry: &AuditEntry| entry.resource == "namespaces" && entry.verb == "delete" && entry.name == "sara-first";
    let deletions: Vec<AuditEntry> = World::writes(&mut audit)?.into_iter().filter(about).collect();
    ensure!(deletions.len() == 1, "{} deletions", deletions.len());
    let sent = deletions[0].request_object.as_ref().and_then(|sent| sent.pointer("/preconditions/uid"));
    ensure!(sent == Some(&json!(uid)), "the deletion was sent without the UID: {:?}", deletions[0].request_object);
    Ok(())
}

async fn every_propagation_policy_deletes_the_namespace(world: &World) -> Result<()> {
    for propagation in ["orphan", "foreground", "background"] {
        let name = format!("sven-{propagation}");
        world.create_ready_space(&name, spec("sven@example.com")).await?;
        let cascade = format!("--cascade={propagation}");
        world.cluster().kubectl(&["delete", "dspace", &name, &cascade, "--wait=false"]).await?.ok()?;
        world.until_gone(a_namespace(&name)).await?;
        world.until_gone(a_space(&name)).await?;
    }
    Ok(())
}

async fn a_space_without_a_namespace_is_deleted(world: &World) -> Result<()> {
    let admin = world.admin();
    admin
        .create(&space("tilda-never", json!({"className": "no-such-class", "owner": user("tilda@example.com")})))
        .await?;
    world.until_not_ready("tilda-never", "ClassNotFound").await?;
    admin.delete(a_space("tilda-never")).await?;
    world.until_gone(a_space("tilda-never")).await
}

async fn a_retained_namespace_is_released(world: &World) -> Result<()> {
    let admin = world.admin();
    let class = json!({
        "roles": [{"name": "view", "clusterRole": "view"}], "allowRetain": true, "podSecurity": {"enforce": "baseline"},
        "quota": {"hard": {"requests.cpu": "2", "limits.cpu": "2"}},
    });
    world.create_accepted_class("keeping", class).await?;
    let mut space_spec = spec("ulf@example.com");
    space_spec["className"] = json!("keeping");
    space_spec["deletionPolicy"] = json!("Retain");
    space_spec["members"] = json!([{"kind": "User", "name": "ursa@example.com", "role": "view"}]);
    space_spec["contact"] = json!({"team": "keepers", "email": "keepers@example.com"});
    space_spec["displayName"] = json!("Kept");
    let kept = world.create_ready_space("ulf-kept", space_spec).await?;
    admin.create(&config_map("ulf-kept", "precious")).await?;
    let foreign =
        json!({"metadata": {"labels": {"other.example.org/a": "1"}, "annotations": {"other.example.org/b": "2"}}});
    admin.patch(a_namespace("ulf-kept"), foreign).await?;
    admin.create(&role_binding("ulf-kept", "theirs", "view", &rbac_subject("Group", "auditors"))).await?;
    let before = world.snapshot("ulf-kept").await?;
    admin.delete(a_space("ulf-kept")).await?;
    world.until_gone(a_space("ulf-kept")).await?;

    let namespace = admin.get(a_namespace("ulf-kept")).await?;
    ensure!(namespace["status"]["phase"] == "Active", "{}", namespace["status"]);
    let keys = |which: &str| {
        namespace["metadata"][which].as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    let (labels, annotations) = (keys("labels"), keys("annotations"));
    let is_operator_key = |key: &&String| {
        (key.starts_with("developerspace.dev/") && !key.starts_with("developerspace.dev/released"))
            || key.starts_with("openshift.io/")
            || *key == "app.kubernetes.io/managed-by"
    };
    let remaining: Vec<&String> = labels.iter().chain(&annotations).filter(is_operator_key).collect();
    ensure!(remaining.is_empty(), "still there: {remaining:?}");
    ensure!(
        labels.iter().any(|key| key == "other.example.org/a")
            && annotations.iter().any(|key| key == "other.example.org/b"),
        "{labels:?} {annotations:?}"
    );
    ensure_equal(
        "the level",
        &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        &json!("baseline"),
    )?;
    let released =
        |key: &str| namespace["metadata"]["annotations"][format!("developerspace.dev/released-{key}")].clone();
    ensure_equal("the class", &released("class"), &json!("keeping"))?;
    ensure_equal("the owner", &released("owner"), &json!("User:ulf@example.com"))?;
    ensure_equal("the space", &released("from"), &json!(format!("ulf-kept/{}", uid_of(&kept))))?;
    let bindings = admin.list("RoleBinding", "ulf-kept").await?;
    let names: Vec<&str> = bindings.iter().map(name_of).collect();
    ensure!(names == ["theirs"], "the bindings are {names:?}");
    until_event_names_remaining_access(world).await?;
    let after = world.snapshot("ulf-kept").await?;
    for child in ["ResourceQuota developerspace", "LimitRange developerspace", "NetworkPolicy developerspace-isolation"]
    {
        ensure_equal(child, &after[child]["spec"], &before[child]["spec"])?;
    }
    admin.get(at("ConfigMap", "ulf-kept", "precious")).await?;
    Ok(())
}

async fn until_event_names_remaining_access(world: &World) -> Result<()> {
    eventually("the Event to name who still has access", SOON, || async {
        let events = world.admin().list("Event", "default").await?;
        let is_named = events
            .iter()
            .any(|event| event["reason"] == "Released" && text(event, "/note").contains("theirs (Group:auditors)"));
        ensure!(is_named, "no Event names the binding");
        Ok(Some(()))
    })
    .await
}

async fn the_status_reports_a_blocked_deletion(world: &World) -> Result<()> {
    let admin = world.admin();
    world.create_ready_space("veit-blocked", spec("veit@example.com")).await?;
    let mut held = config_map("veit-blocked", "held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    admin.create(&held).await?;
    admin.delete(a_space("veit-blocked")).await?;
    world
        .until("to say what blocks it", a_space("veit-blocked"), |space| {
            let ready = condition(space, "Ready");
            let message = text(ready, "/message");
            ensure!(ready["status"] == "False" && ready["reason"] == "Terminating", "{ready}");
            ensure!(message.contains("configmaps") && message.contains("example.com/hold"), "{message}");
            Ok(())
        })
        .await?;
    // Other spaces continue meanwhile, and there is no hot loop.
    world.create_ready_space("vito-beside", spec("vito@example.com")).await?;
    let mut audit = world.cluster().audit_from_now()?;
    stays("waiting to be quiet", Duration::from_secs(5), || {
        let written = audit.read();
        async move {
            let about: Vec<_> = written?
                .into_iter()
                .filter(|entry| entry.user == operator::USER && entry.name == "veit-blocked")
                .collect();
            ensure!(about.len() < 5, "{} requests at once about a space that waits", about.len());
            Ok(())
        }
    })
    .await?;
    admin.patch(at("ConfigMap", "veit-blocked", "held"), json!({"metadata": {"finalizers": null}})).await?;
    world.until_gone(a_space("veit-blocked")).await?;
    ensure!(admin.find(a_namespace("veit-blocked")).await?.is_none(), "the namespace is still there");
    Ok(())
}

/// A namespace of the same name that does not belong to the space is not deleted with it.
async fn a_foreign_namespace_of_the_same_name_is_kept(world: &World) -> Result<()> {
    let admin = world.admin();
    admin.create(&e2e::fixtures::namespace("willi-own", json!({}), json!({}))).await?;
    admin.create(&space("willi-own", spec("willi@example.com"))).await?;
    world.until_not_ready("willi-own", "NamespaceConflict").await?;
    admin.delete(a_space("willi-own")).await?;
    world.until_gone(a_space("willi-own")).await?;
    let namespace = admin.get(a_namespace("willi-own")).await?;
    ensure!(namespace["status"]["phase"] == "Active", "it was deleted");
    Ok(())
}

async fn a_protected_space_cannot_be_deleted(world: &World) -> Result<()> {
    let folder = binaries::repository().join("config/policy");
    world.cluster().kubectl(&["apply", "-k", &folder.to_string_lossy()]).await?.ok()?;
    let admin = world.admin();
    let mut space_spec = spec("alice@example.com");
    space_spec["protected"] = json!(true);
    space_spec["className"] = json!("shielding");
    let shielding = json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "lifetime": {"maxTTL": "1d", "allowProtected": true}});
    world.create_accepted_class("shielding", shielding).await?;
    world.create_ready_space("xaver-protected", space_spec).await?;
    let alice = world.actor("alice@example.com").await?;
    // A new policy takes the API server a moment; a dry run does no harm until it is in force.
    eventually("the policy to be in force", SOON, || async {
        let dry_run = world.cluster().kubectl(&["delete", "dspace", "xaver-protected", "--dry-run=server"]).await?;
        ensure!(!dry_run.succeeded(), "{}", dry_run.stdout);
        Ok(Some(()))
    })
    .await?;
    for actor in [admin, &alice] {
        let sentence = refusal(actor.delete(a_space("xaver-protected")).await.map(|()| Value::Null))?;
        ensure!(sentence.contains("protected"), "{sentence}");
    }
    world.until_ready("xaver-protected").await?;
    alice.patch(a_space("xaver-protected"), json!({"spec": {"protected": false}})).await?;
    alice.delete(a_space("xaver-protected")).await?;
    world.until_gone(a_space("xaver-protected")).await
}

/// The spec of a sealed space cannot be changed back.
async fn an_expired_protected_space_can_be_deleted(world: &World) -> Result<()> {
    let (admin, name) = (world.admin(), "yola-ended");
    let lifetime = json!({"maxTTL": "1d", "retainExpired": "1h"});
    world
        .create_accepted_class(
            "unshielded",
            json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "lifetime": lifetime}),
        )
        .await?;
    let mut space_spec = spec("yola@example.com");
    space_spec["className"] = json!("unshielded");
    space_spec["ttl"] = json!("25s");
    world.create_ready_space(name, space_spec).await?;
    // The class does not allow the protection, and admission does not check holders of `assign`: the space still
    // expires.
    admin.patch(a_space(name), json!({"spec": {"protected": true}})).await?;
    let sentence = refusal(admin.delete(a_space(name)).await.map(|()| Value::Null))?;
    ensure!(sentence.contains("set spec.protected to false first"), "{sentence}");
    let is_sealed = |space: &Value| {
        ensure!(holds(space, "Expired"), "its status is {}", space["status"]);
        Ok(())
    };
    world.until("to be sealed", a_space(name), is_sealed).await?;
    admin.delete(a_space(name)).await?;
    world.until_gone(a_space(name)).await
}

async fn removing_the_crd_keeps_the_namespaces(world: &World) -> Result<()> {
    let admin = world.admin();
    for name in ["yannick-kept", "yasmin-kept"] {
        world.create_ready_space(name, spec("yannick@example.com")).await?;
        admin.create(&config_map(name, "precious")).await?;
    }
    admin.delete(cluster_wide("CustomResourceDefinition", CRD)).await?;
    world.until_gone(cluster_wide("CustomResourceDefinition", CRD)).await?;
    for name in ["yannick-kept", "yasmin-kept"] {
        let namespace = admin.get(a_namespace(name)).await.context("a namespace went with the CRD")?;
        ensure!(namespace["status"]["phase"] == "Active", "{name} is {}", namespace["status"]);
        admin.get(at("ConfigMap", name, "precious")).await?;
    }
    // The CRD is created again: the running operator continues.
    let crds = binaries::repository().join("config/crd");
    world.cluster().kubectl(&["apply", "-k", &crds.to_string_lossy()]).await?.ok()?;
    eventually("a space to be stored again", SOON, || async {
        admin.create(&space("zita-after", spec("zita@example.com"))).await.map(Some)
    })
    .await?;
    world.until_ready("zita-after").await.map(drop)
}

async fn the_removal_commands_of_the_readme_work(world: &World) -> Result<()> {
    let readme = std::fs::read_to_string(binaries::repository().join("README.md"))?;
    let section =
        readme.split("**To remove it**").nth(1).context("the README does not say how to remove the operator")?;
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("$ kubectl ")).take(2).collect();
    world.admin().create(&config_map("zita-after", "precious")).await?;
    for command in commands {
        let arguments: Vec<String> = command
            .split(' ')
            .map(|word| match word {
                "config/default" => binaries::repository().join(word).to_string_lossy().into_owned(),
                word => word.to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--timeout=60s"]).collect();
        world.cluster().kubectl(&arguments).await?.ok()?;
    }
    world.until_gone(cluster_wide("CustomResourceDefinition", CRD)).await?;
    let policies = world.admin().list("ValidatingAdmissionPolicy", "").await?;
    ensure!(policies.iter().all(|policy| !name_of(policy).starts_with("developerspace")), "a policy is left");
    let namespace = world.admin().get(a_namespace("zita-after")).await?;
    ensure!(namespace["status"]["phase"] == "Active", "it is {}", namespace["status"]);
    world.admin().get(at("ConfigMap", "zita-after", "precious")).await.map(drop)
}
