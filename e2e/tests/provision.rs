//! The objects of a space, in full, and the rights of its owner, its members and strangers in it.

use anyhow::{Result, bail, ensure};
use chrono::TimeDelta;
use e2e::{
    eventually,
    fixtures::{
        SOON, World, a_namespace, a_space, at, condition, created_at, deployment, ensure_equal, essence, expires_at,
        forbidden, is_observed, name_of, pod, rbac_subject, refusal, run_concurrently, space, text, time, uid_of, user,
    },
    scenarios,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn provision() -> Result<()> {
    let world = World::start(&[]).await?;
    // Alice creates the space of the contract's example with her own token.
    world.actor(ALICE).await?.create(&space("alice-payments", example())).await?;
    world.until_ready("alice-payments").await?;
    run_concurrently(scenarios![&world;
        the_namespace_matches_the_contract,
        the_children_match_the_contract,
        the_status_is_complete,
        the_owner_has_access_to_this_namespace_only,
        members_have_their_role,
        privileged_pods_are_refused,
        a_plain_deployment_is_admitted_up_to_the_quota,
        kubectl_lists_and_explains_the_resources,
        a_minimal_space_gets_the_default_class,
        subjects_of_every_kind_are_bound,
        a_space_waits_for_a_missing_class,
    ])
    .await?;
    world.ensure_operator_ready().await
}

fn example() -> Value {
    json!({
        "className": "standard",
        "owner": user(ALICE),
        "members": [{"kind": "Group", "name": "payments", "role": "view"}],
        "displayName": "Payments sandbox",
        "description": "Alice's workspace for the payment API",
        "contact": {
            "team": "payments", "email": "payments@example.com", "chat": "#payments",
            "url": "https://wiki.example.com/payments", "costCenter": "4711",
        },
        "labels": {"example.com/tier": "gold"},
        "annotations": {"example.com/note": "first of its kind"},
        "ttl": "7d",
        "quota": {"requests.cpu": "4"},
    })
}

fn labels_of_children() -> Value {
    json!({
        "app.kubernetes.io/managed-by": "developerspace-operator",
        "developerspace.dev/space": "alice-payments",
        "developerspace.dev/class": "standard",
    })
}

async fn the_namespace_matches_the_contract(world: &World) -> Result<()> {
    let space = world.admin().get(a_space("alice-payments")).await?;
    let expected = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": "alice-payments",
            "labels": {
                "kubernetes.io/metadata.name": "alice-payments",
                "app.kubernetes.io/managed-by": "developerspace-operator",
                "developerspace.dev/space": "alice-payments",
                "developerspace.dev/class": "standard",
                "developerspace.dev/team": "payments",
                "developerspace.dev/cost-center": "4711",
                "pod-security.kubernetes.io/enforce": "baseline",
                "pod-security.kubernetes.io/audit": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
                "example.com/tier": "gold",
            },
            "annotations": {
                "developerspace.dev/space-uid": uid_of(&space),
                "developerspace.dev/owner": "User:alice@example.com",
                "developerspace.dev/contact-team": "payments",
                "developerspace.dev/contact-email": "payments@example.com",
                "developerspace.dev/contact-chat": "#payments",
                "developerspace.dev/contact-url": "https://wiki.example.com/payments",
                "developerspace.dev/contact-cost-center": "4711",
                "developerspace.dev/expires-at": text(&space, "/status/expiresAt"),
                "openshift.io/requester": ALICE,
                "openshift.io/display-name": "Payments sandbox",
                "openshift.io/description": "Alice's workspace for the payment API",
                "example.com/note": "first of its kind",
            },
        },
        "spec": {"finalizers": ["kubernetes"]},
    });
    let namespace = world.admin().get(a_namespace("alice-payments")).await?;
    ensure_equal("the namespace", &essence(&namespace), &expected)?;
    ensure!(
        namespace["metadata"]["ownerReferences"].is_null(),
        "the namespace has owner references: an orphaning deletion would free it"
    );
    Ok(())
}

async fn the_children_match_the_contract(world: &World) -> Result<()> {
    let child = |version: &str, kind: &str, name: &str| {
        json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": name, "namespace": "alice-payments", "labels": labels_of_children()},
        })
    };
    let mut quota = child("v1", "ResourceQuota", "developerspace");
    quota["spec"] = json!({"hard": {
        "requests.cpu": "4", "requests.memory": "100Gi", "limits.cpu": "10", "limits.memory": "100Gi",
        "persistentvolumeclaims": "5", "requests.storage": "50Gi", "count/deployments.apps": "50",
        "requests.ephemeral-storage": "100Gi", "limits.ephemeral-storage": "200Gi", "pods": "100", "services": "50",
        "services.loadbalancers": "1", "services.nodeports": "2", "configmaps": "100", "secrets": "100", "count/jobs.batch": "100",
        "count/cronjobs.batch": "20",
    }});
    let mut limits = child("v1", "LimitRange", "developerspace");
    limits["spec"] = json!({"limits": [{
        "type": "Container",
        "default": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "2Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
    }]});
    let mut network = child("networking.k8s.io/v1", "NetworkPolicy", "developerspace-isolation");
    network["spec"] = json!({
        "podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [
            {"podSelector": {}},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
        ]}],
    });
    let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let subjects = |kind: &str, name: &str| json!([rbac_subject(kind, name)]);
    let mut owner = child("rbac.authorization.k8s.io/v1", "RoleBinding", "developerspace-owner");
    (owner["roleRef"], owner["subjects"]) = (role("edit"), subjects("User", ALICE));
    let mut view = child("rbac.authorization.k8s.io/v1", "RoleBinding", "developerspace-view");
    (view["roleRef"], view["subjects"]) = (role("view"), subjects("Group", "payments"));

    for expected in [&quota, &limits, &network, &owner, &view] {
        let (kind, name) = (text(expected, "/kind"), name_of(expected));
        let actual = world.admin().get(at(kind, "alice-payments", name)).await?;
        ensure_equal(&format!("{kind} {name}"), &essence(&actual), expected)?;
    }
    let all = world.snapshot("alice-payments").await?;
    ensure!(all.as_object().is_some_and(|all| all.len() == 6), "there is more than what is written: {all}");
    Ok(())
}

async fn the_status_is_complete(world: &World) -> Result<()> {
    let space = world.admin().get(a_space("alice-payments")).await?;
    let namespace = world.admin().get(a_namespace("alice-payments")).await?;
    ensure!(is_observed(&space), "observedGeneration lags: {}", space["status"]);
    ensure!(space["status"]["className"] == "standard", "className is {}", space["status"]["className"]);
    ensure_equal(
        "status.namespace",
        &space["status"]["namespace"],
        &json!({"name": "alice-payments", "uid": uid_of(&namespace)}),
    )?;
    let created = created_at(&space)?;
    let expires = expires_at(&space)?;
    ensure!(expires == created + TimeDelta::days(7), "created {created}, expires {expires}");
    let ready_at = time(&space, "/status/readyAt")?;
    ensure!(ready_at >= created && ready_at <= created + TimeDelta::seconds(60), "created {created}, ready {ready_at}");
    for (type_, status) in
        [("Ready", "True"), ("Expiring", "False"), ("Expired", "False"), ("Reconciling", "False"), ("Stalled", "False")]
    {
        let reported = condition(&space, type_);
        ensure!(reported["status"] == status, "{type_} is {reported}");
        ensure!(
            reported["observedGeneration"] == space["metadata"]["generation"],
            "{type_} is of another generation: {reported}"
        );
    }
    ensure!(condition(&space, "Ready")["reason"] == "Provisioned", "{}", condition(&space, "Ready"));
    Ok(())
}

async fn the_owner_has_access_to_this_namespace_only(world: &World) -> Result<()> {
    world.create_ready_space("bob-search", json!({"owner": user(BOB), "className": "standard"})).await?;
    let alice = world.actor(ALICE).await?;
    alice.create(&deployment("alice-payments", "hers", 0)).await?;
    alice.patch(at("Deployment", "alice-payments", "hers"), json!({"spec": {"replicas": 0, "paused": true}})).await?;
    alice.delete(at("Deployment", "alice-payments", "hers")).await?;
    for namespace in ["bob-search", "default", "kube-system", "developerspace-system"] {
        forbidden(namespace, alice.create(&deployment(namespace, "hers", 0)).await)?;
        forbidden(namespace, alice.list("Pod", namespace).await.map(Value::from))?;
    }
    // Alice may not change the protections.
    let own = "alice-payments";
    let wider = json!({"spec": {"hard": {"requests.cpu": "400"}}});
    forbidden("quota", alice.patch(at("ResourceQuota", own, "developerspace"), wider).await)?;
    forbidden("limits", alice.patch(at("LimitRange", own, "developerspace"), json!({"spec": {"limits": []}})).await)?;
    let more = json!({"subjects": [rbac_subject("User", CAROL)]});
    forbidden("binding", alice.patch(at("RoleBinding", own, "developerspace-owner"), more).await)?;
    let open = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    forbidden("namespace", alice.patch(a_namespace(own), open).await)?;
    forbidden("deletion", alice.delete(a_namespace(own)).await.map(Value::from))
}

async fn members_have_their_role(world: &World) -> Result<()> {
    let (bob, carol) = (world.actor(BOB).await?, world.actor(CAROL).await?);
    // Bob is in the group payments, which may view.
    bob.list("Deployment", "alice-payments").await?;
    forbidden("a viewer's create", bob.create(&deployment("alice-payments", "his", 0)).await)?;
    forbidden("a stranger's look", carol.list("Deployment", "alice-payments").await.map(Value::from))
}

async fn privileged_pods_are_refused(world: &World) -> Result<()> {
    let mut breakout = pod("alice-payments", "breakout");
    breakout["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let alice = world.actor(ALICE).await?;
    let sentence = eventually("the ServiceAccount that pods need", SOON, || async {
        let sentence = refusal(alice.create(&breakout).await)?;
        ensure!(!sentence.contains("serviceaccount"), "{sentence}");
        Ok(Some(sentence))
    })
    .await?;
    ensure!(sentence.contains("violates PodSecurity \"baseline"), "{sentence}");
    Ok(())
}

async fn a_plain_deployment_is_admitted_up_to_the_quota(world: &World) -> Result<()> {
    let quota =
        json!({"hard": {"requests.cpu": "1", "limits.cpu": "1", "requests.memory": "1Gi", "limits.memory": "1Gi"}});
    // The class gives no defaults: without any, the quota would refuse every plain pod.
    world
        .create_accepted_class("two-pods", json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "quota": quota}))
        .await?;
    world.create_ready_space("carol-checkout", json!({"className": "two-pods", "owner": user(CAROL)})).await?;
    let carol = world.actor(CAROL).await?;
    carol.create(&deployment("carol-checkout", "web", 3)).await?;
    let pods = eventually("the pods that the quota has room for, and the complaint about the third", SOON, || async {
        let pods = carol.list("Pod", "carol-checkout").await?;
        let sets = carol.list("ReplicaSet", "carol-checkout").await?;
        let complaint =
            sets.iter().map(|set| condition(set, "ReplicaFailure")).find(|failure| failure["status"] == "True");
        let Some(complaint) = complaint else { bail!("{} pods, no complaint yet", pods.len()) };
        ensure!(text(complaint, "/message").contains("exceeded quota: developerspace"), "{complaint}");
        // The pods were listed before the complaint, so the second one may be missing.
        ensure!(pods.len() >= 2, "{} pods, {complaint}", pods.len());
        Ok(Some(pods))
    })
    .await?;
    ensure!(pods.len() == 2, "the quota of 1 cpu took {} pods of 500m each", pods.len());
    for pod in &pods {
        let resources = pod.pointer("/spec/containers/0/resources").cloned().unwrap_or_default();
        let expected =
            json!({"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}});
        ensure_equal("a plain pod's resources", &resources, &expected)?;
    }
    Ok(())
}

async fn kubectl_lists_and_explains_the_resources(world: &World) -> Result<()> {
    let kubectl = async |arguments: &[&str]| world.cluster().kubectl_as(ALICE, arguments).await?.ok();
    let waited = kubectl(&["wait", "--for=condition=Ready", "--timeout=30s", "dspace/alice-payments"]).await?;
    ensure!(waited.contains("condition met"), "{waited}");
    let shown = kubectl(&["get", "dspace", "alice-payments"]).await?;
    let header: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "OWNER", "CLASS", "READY", "REASON", "EXPIRES", "AGE"], "{shown}");
    for part in [ALICE, "standard", "True", "Provisioned", "Z"] {
        ensure!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let space = world.admin().get(a_space("alice-payments")).await?;
    let wide = kubectl(&["get", "dspace", "alice-payments", "-o", "wide"]).await?;
    for part in
        ["TEAM", "NAMESPACE UID", "payments", text(&space, "/status/namespace/uid"), text(&space, "/status/expiresAt")]
    {
        ensure!(wide.contains(part), "{part} is not in\n{wide}");
    }
    let selected = kubectl(&[
        "get",
        "dspace",
        "--field-selector=spec.owner.name=alice@example.com,spec.className=standard",
        "-o",
        "name",
    ])
    .await?;
    ensure!(selected.contains("alice-payments") && !selected.contains("bob-search"), "{selected}");
    let explained = kubectl(&["explain", "dspace.spec", "--recursive"]).await?;
    for field in [
        "className",
        "owner",
        "members",
        "ttl",
        "expiresAt",
        "renewedAt",
        "quota",
        "limitRange",
        "protected",
        "deletionPolicy",
    ] {
        ensure!(explained.contains(field), "{field} is not explained:\n{explained}");
    }
    let ttl = kubectl(&["explain", "dspace.spec.ttl"]).await?;
    ensure!(ttl.contains("1d12h"), "{ttl}");
    let classes = kubectl(&["get", "spclass"]).await?;
    ensure!(classes.contains("standard") && classes.contains("True"), "{classes}");
    Ok(())
}

async fn a_minimal_space_gets_the_default_class(world: &World) -> Result<()> {
    let space = world.create_ready_space("rita-least", json!({"owner": user("rita@example.com")})).await?;
    ensure!(space["status"]["className"] == "standard", "{}", space["status"]);
    ensure!(space["spec"]["className"].is_null(), "the spec was written to: {}", space["spec"]);
    let namespace = world.admin().get(a_namespace("rita-least")).await?;
    let annotations = namespace["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let absent = ["contact-chat", "contact-url", "contact-cost-center"].map(|key| format!("developerspace.dev/{key}"));
    ensure!(!absent.iter().any(|key| annotations.contains_key(key)), "{annotations:?}");
    Ok(())
}

async fn subjects_of_every_kind_are_bound(world: &World) -> Result<()> {
    let members = json!([
        {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci", "role": "edit"},
        {"kind": "User", "name": "oidc:stefan", "role": "edit"},
        {"kind": "User", "name": "oidc:stefan", "role": "edit"},
        {"kind": "Group", "name": "Domain Users", "role": "view"},
    ]);
    let owner = json!({"kind": "ServiceAccount", "name": "robot", "namespace": "portal"});
    world.create_ready_space("robot-lab", json!({"className": "standard", "owner": owner, "members": members})).await?;
    let namespace = world.admin().get(a_namespace("robot-lab")).await?;
    ensure!(
        text(&namespace, "/metadata/annotations/developerspace.dev~1owner") == "ServiceAccount:portal/robot",
        "{}",
        namespace["metadata"]
    );
    for (binding, wanted) in [
        ("developerspace-owner", json!([["ServiceAccount", "robot", "portal"]])),
        ("developerspace-edit", json!([["ServiceAccount", "deployer", "ci"], ["User", "oidc:stefan", null]])),
        ("developerspace-view", json!([["Group", "Domain Users", null]])),
    ] {
        let binding = world.admin().get(at("RoleBinding", "robot-lab", binding)).await?;
        let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
        let mut bound: Vec<Value> =
            subjects.iter().map(|subject| json!([subject["kind"], subject["name"], subject["namespace"]])).collect();
        bound.sort_by_key(ToString::to_string);
        ensure_equal(name_of(&binding), &Value::from(bound), &wanted)?;
    }
    Ok(())
}

async fn a_space_waits_for_a_missing_class(world: &World) -> Result<()> {
    world
        .admin()
        .create(&space("tom-early", json!({"className": "comes-later", "owner": user("tom@example.com")})))
        .await?;
    world.until_not_ready("tom-early", "ClassNotFound").await?;
    ensure!(world.admin().find(a_namespace("tom-early")).await?.is_none(), "a namespace without a class");
    world.create_accepted_class("comes-later", json!({})).await?;
    world.until_ready("tom-early").await.map(drop)
}
