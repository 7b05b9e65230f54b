//! The rules of a class reach a space whose spec is refused; the requests of that spec are not granted.

use super::*;

const GREEDY: &str = "spec.quota requests.cpu: 64 is above the class's maximum of 4: set 4 or less";

/// The space with a spec that asks for more than its class allows.
fn greedy() -> Value {
    edited(&converged(), &json!({"quota": {"requests.cpu": "64"}}), 103)
}

/// The same space after its status reports the refusal.
fn refused_space() -> Value {
    with_status(&greedy(), &refused_since(2, "QuotaExceedsClass", GREEDY))
}

/// The accepted class after a change of its spec.
fn changed_class(spec: &Value) -> Value {
    let mut class = with(&class(), &json!({"metadata": {"generation": 5}, "spec": spec}));
    class["status"]["conditions"][0]["observedGeneration"] = json!(5);
    class
}

/// The class after an administrator renamed the ClusterRole of owners, which does not exist yet.
fn class_of_growers(spec: &Value) -> Value {
    let roles = json!([{"name": "grower", "clusterRole": "growers"}, {"name": "helper", "clusterRole": "view"}]);
    changed_class(&with(&json!({"roles": roles}), spec))
}

fn patch_namespace(live: &Value, labels: &Value, annotations: &Value) -> Call {
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "labels": labels, "annotations": annotations}});
    merge_patch(&namespace_path(), patch.clone()).answered(patched(live, &patch, 61))
}

#[tokio::test]
async fn levels_labels_and_annotations_of_the_class_reach_a_refused_space() {
    let keeper = json!({"example.com/keeper": "zoe"});
    for (spec, labels, annotations) in [
        (
            json!({"podSecurity": {"enforce": "restricted"}}),
            json!({"pod-security.kubernetes.io/enforce": "restricted"}),
            json!({}),
        ),
        (
            json!({"metadata": {"labels": {"example.com/floor": "upper"}}}),
            json!({"example.com/floor": "upper"}),
            json!({}),
        ),
        (
            json!({"metadata": {"labels": null, "annotations": keeper}}),
            json!({"example.com/floor": null}),
            keeper.clone(),
        ),
    ] {
        let world = World::with(CALM, &everything());
        world.keep(&changed_class(&spec));
        let script = script![
            get(&namespace_path()).answered(stored_namespace()),
            patch_namespace(&stored_namespace(), &labels, &annotations)
        ];
        world.reconcile(&refused_space(), script).await.unwrap();
        world.reconcile(&refused_space(), script![]).await.unwrap();
    }
}

/// A binding to a ClusterRole that does not exist gives no access, so it does not replace one that gives access.
#[tokio::test]
async fn a_refused_space_keeps_its_access_until_the_cluster_role_of_the_class_exists() {
    let world = World::with(CALM, &everything());
    world.keep(&class_of_growers(&json!({})));
    world.store.put_role("growers".into(), false);
    world.reconcile(&refused_space(), script![]).await.unwrap();
    world.store.put_role("growers".into(), true);
    let growers = with(&owner_binding(), &json!({"roleRef": {"name": "growers"}}));
    let script = script![
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
        make(&growers, "uid-of-the-growers-binding"),
    ];
    world.reconcile(&refused_space(), script).await.unwrap();
}

#[tokio::test]
async fn so_does_a_space_whose_namespace_cannot_be_written() {
    let world = World::with(CALM, &everything());
    world.keep(&class_of_growers(&json!({"metadata": {"labels": {"example.com/floor": "upper"}}})));
    world.store.put_role("growers".into(), false);
    let message = "failed to write the labels and annotations of namespace orchid-lab: the server says Forbidden";
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        patch_namespace(&stored_namespace(), &json!({"example.com/floor": "upper"}), &json!({}))
            .refused(403, "Forbidden"),
        status_patch(&converged(), &failures::apply_failed_in(1, message)),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Forbidden));
}

/// A condition for each of the two would replace the other one at each attempt.
#[tokio::test]
async fn a_refusal_and_an_error_are_reported_together_and_once() {
    let world = World::with(CALM, &everything());
    world.keep(&changed_class(&json!({"metadata": {"labels": {"example.com/floor": "upper"}}})));
    let reset = |port: u16| {
        format!("failed calling webhook: read tcp 10.42.0.1:{port}->10.42.0.17:9443: connection reset by peer")
    };
    let attempt = |port| {
        let refused = patch_namespace(&stored_namespace(), &json!({"example.com/floor": "upper"}), &json!({}));
        script![
            get(&namespace_path()).answered(stored_namespace()),
            refused.refused_with(403, "Forbidden", &reset(port)),
        ]
    };
    let message = format!(
        "{GREEDY}; in addition, the operator failed to write the labels and annotations of namespace orchid-lab: {}",
        reset(52_144)
    );
    let (space, status) = (refused_space(), refused_since(2, "QuotaExceedsClass", &message));
    let mut first = attempt(52_144);
    first.extend(script![status_patch(&space, &status)]);
    assert_eq!(class_of(&world.reconcile(&space, first).await), Some(Class::Forbidden));
    let space = with_status(&space, &status);
    assert_eq!(
        class_of(&world.reconcile(&space, attempt(61_022)).await),
        Some(Class::Forbidden),
        "nothing is written again"
    );
    // The refusal alone is reported once the write succeeds.
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        patch_namespace(&stored_namespace(), &json!({"example.com/floor": "upper"}), &json!({})),
        status_patch(&space, &refused_since(2, "QuotaExceedsClass", GREEDY)),
    ];
    world.reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn isolation_that_is_switched_on_reaches_a_refused_space() {
    let world = World::with(CALM, &everything_but("NetworkPolicy", "developerspace-isolation"));
    world.keep(&changed_class(&json!({"network": {"isolation": "None", "allowFromNamespaces": []}})));
    world.reconcile(&refused_space(), script![]).await.unwrap();
    world.keep(&class());
    world.reconcile(&refused_space(), script![make(&network(), "uid-of-the-network-policy")]).await.unwrap();
    world.reconcile(&refused_space(), script![]).await.unwrap();
}

#[tokio::test]
async fn bounds_of_the_class_reach_a_refused_space() {
    let bounded = with(&limits()["spec"]["limits"][0], &json!({"max": {"memory": "1Gi"}}));
    let world = World::with(CALM, &everything());
    world.keep(&changed_class(&json!({"limitRange": [bounded]})));
    let bounded = with(&limits(), &json!({"spec": {"limits": [bounded]}}));
    let operations = drift::operations("uid-of-the-limits", "/spec", &bounded["spec"]);
    let script = script![
        get(&child_path(&limits())).answered(stored(&limits(), "uid-of-the-limits", 60)),
        json_patch(&child_path(&limits()), operations).answered(stored(&bounded, "uid-of-the-limits", 61)),
    ];
    world.reconcile(&refused_space(), script).await.unwrap();
    world.reconcile(&refused_space(), script![]).await.unwrap();
}

/// The space asked for them, and the refused spec does not take them away.
#[tokio::test]
async fn limits_that_are_stricter_than_the_class_stay_while_a_spec_is_refused() {
    let own = with(&limits()["spec"]["limits"][0], &json!({"default": {"cpu": "321m"}, "max": {"cpu": "2"}}));
    let own = stored(&with(&limits(), &json!({"spec": {"limits": [own]}})), "uid-of-the-limits", 60);
    let world = World::with(CALM, &everything_but("LimitRange", "developerspace"));
    world.keep(&own);
    world.reconcile(&refused_space(), script![get(&child_path(&limits())).answered(own)]).await.unwrap();
    world.reconcile(&refused_space(), script![]).await.unwrap();
}

#[tokio::test]
async fn a_drifted_child_of_a_refused_space_is_repaired() {
    for (wanted, uid, drift) in [
        (limits(), "uid-of-the-limits", json!({"spec": {"limits": []}})),
        (network(), "uid-of-the-network-policy", json!({"spec": {"ingress": [{}]}})),
    ] {
        let world = World::with(
            CALM,
            &everything_but(wanted["kind"].as_str().unwrap(), wanted["metadata"]["name"].as_str().unwrap()),
        );
        let drifted = with(&stored(&wanted, uid, 60), &drift);
        world.keep(&drifted);
        let operations = drift::operations(uid, "/spec", &wanted["spec"]);
        let repair = json_patch(&child_path(&wanted), operations).answered(stored(&wanted, uid, 61));
        // Limits may be stricter than wanted, so they are read first.
        let is_read = wanted["kind"] == "LimitRange";
        let script =
            if is_read { script![get(&child_path(&wanted)).answered(drifted), repair] } else { script![repair] };
        world.reconcile(&refused_space(), script).await.unwrap();
        world.reconcile(&refused_space(), script![]).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_the_class_no_longer_allows_goes_from_a_refused_space() {
    let keys = json!({"labels": {"example.com/stage": "demo", "example.org/tier": "two"}});
    let (space, live) =
        (with(&refused_space(), &json!({"spec": keys})), with(&namespace(), &json!({"metadata": keys})));
    let live = stored(&live, NAMESPACE_UID, 50);
    let world = World::with(CALM, &everything_but("Namespace", SPACE));
    world.keep(&live);
    world.keep(&changed_class(&json!({"metadata": {"allowedKeys": ["example.com/*", "example.org/*"]}})));
    world.reconcile(&space, script![]).await.unwrap();
    world.keep(&changed_class(&json!({"metadata": {"allowedKeys": ["example.com/*"]}})));
    let message = "spec.labels \"example.org/tier\": the class does not allow this key; it allows example.com/*";
    let status = refused_since(2, "InvalidSpec", message);
    let script = script![
        get(&namespace_path()).answered(live.clone()),
        patch_namespace(&live, &json!({"example.org/tier": null}), &json!({})),
        status_patch(&space, &status),
        space_event("InvalidSpec"),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

/// The texts about the space are those last accepted, and the owner annotation of the namespace shows the owner in
/// force.
#[tokio::test]
async fn what_a_refused_spec_asks_for_is_not_given_and_what_it_drops_goes() {
    let words = json!({
        "owner": {"name": "carol@example.com"}, "displayName": "Roses", "description": null,
        "contact": {"team": "zoology", "email": null, "chat": "#roses"}, "quota": {"requests.cpu": "64"},
    });
    let annotations = json!({
        "developerspace.dev/owner": "User:ada@example.com", "developerspace.dev/contact-email": null, "openshift.io/description": null,
    });
    let space = edited(&converged(), &words, 103);
    let mut objects = everything();
    objects[1] = with(
        &stored_namespace(),
        &json!({"metadata": {"annotations": {"developerspace.dev/owner": "User:mallory@example.com"}}}),
    );
    let world = World::with(CALM, &objects);
    let message = "spec.quota requests.cpu: 64 is above the class's maximum of 4: set 4 or less; until then neither User:carol@example.com \
                   nor User:ada@example.com has the access of the owner, and the space counts for User:ada@example.com";
    let status = refused_since(2, "QuotaExceedsClass", message);
    let script = script![
        get(&namespace_path()).answered(objects[1].clone()),
        patch_namespace(&objects[1], &json!({}), &annotations),
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
        status_patch(&space, &status),
        space_event("QuotaExceedsClass"),
    ];
    world.reconcile(&space, script).await.unwrap();
    let script = script![get(&child_path(&owner_binding())).refused(404, "NotFound")];
    world.reconcile(&with_status(&space, &status), script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

/// F16: a client that writes whole objects drops finalizers, and without the operator's finalizer a deletion leaves the
/// namespace behind.
#[tokio::test]
async fn a_space_that_lost_its_finalizer_gets_it_back_whatever_its_spec() {
    let others = json!(["example.com/other"]);
    let both = json!(["example.com/other", "developerspace.dev/namespace"]);
    let missing = refusals::class_not_found(
        "SpaceClass greenhouse does not exist: set spec.className to an existing class (there is none); existing objects stay unchanged",
    );
    for (space, objects) in [
        (converged(), everything()),
        (refused_space(), everything()),
        (with_status(&converged(), &missing), everything_but("SpaceClass", "greenhouse")),
    ] {
        let world = World::with(CALM, &objects);
        let lost = with(&space, &json!({"metadata": {"finalizers": others}}));
        let patch = json!({"metadata": {"resourceVersion": space["metadata"]["resourceVersion"], "finalizers": both}});
        let held = patched(&lost, &patch, version(&space) + 1);
        let script = script![merge_patch(&space_path(), patch).answered(held.clone())];
        world.reconcile(&lost, script).await.unwrap();
        world.reconcile(&held, script![]).await.unwrap();
    }
}

/// The reconcile that restores the finalizer is also the first one that refuses the spec, so the status is written at
/// the resulting version.
#[tokio::test]
async fn a_spec_that_is_refused_as_the_finalizer_is_lost_is_told_all_the_same() {
    let lost = with(&greedy(), &json!({"metadata": {"finalizers": null}}));
    let patch = json!({"metadata": {"resourceVersion": "103", "finalizers": ["developerspace.dev/namespace"]}});
    let (held, status) = (patched(&lost, &patch, 104), refused_since(2, "QuotaExceedsClass", GREEDY));
    let script = script![
        merge_patch(&space_path(), patch).answered(held.clone()),
        status_patch(&held, &status),
        space_event("QuotaExceedsClass"),
    ];
    let world = World::with(CALM, &everything());
    world.reconcile(&lost, script).await.unwrap();
    world.reconcile(&with_status(&held, &status), script![]).await.unwrap();
}

/// The class consents to protection, and another part of the spec is refused.
#[tokio::test]
async fn a_refused_spec_of_an_upgraded_space_costs_neither_its_protection_nor_its_end() {
    for (spec, end) in
        [(json!({"protected": true}), Value::Null), (json!({"ttl": "14d"}), json!("2026-03-16T08:00:00Z"))]
    {
        let before = json!({"spec": spec, "status": {"terms": null, "expiresAt": end}});
        let space = edited(&with(&converged(), &before), &json!({"quota": {"requests.cpu": "64"}}), 103);
        let mut live = stored_namespace();
        live["metadata"]["annotations"]["developerspace.dev/expires-at"] = end.clone();
        if end.is_null() {
            live["metadata"]["annotations"].as_object_mut().unwrap().remove("developerspace.dev/expires-at");
        }
        let world = World::with(CALM, &everything_but("Namespace", SPACE));
        world.keep(&live);
        let mut status = refused_since(2, "QuotaExceedsClass", GREEDY);
        (status["expiresAt"], status["terms"]) = (end, Value::Null);
        world
            .reconcile(&space, script![status_patch(&space, &status), space_event("QuotaExceedsClass")])
            .await
            .unwrap();
        world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
    }
}
