//! Drift is corrected, and nothing else is written.

use super::*;

pub(crate) fn operations(uid: &str, path: &str, content: &Value) -> Value {
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": path, "value": content},
        {"op": "add", "path": "/metadata/labels/app.kubernetes.io~1managed-by", "value": "developerspace-operator"},
        {"op": "add", "path": "/metadata/labels/developerspace.dev~1class", "value": "greenhouse"},
        {"op": "add", "path": "/metadata/labels/developerspace.dev~1space", "value": SPACE},
    ])
}

#[tokio::test]
async fn a_drifted_child_is_repaired_by_one_json_patch_with_a_uid_test() {
    let count = |number: u32| (format!("count/{number}"), json!("1"));
    let loosened = [
        (
            quota(),
            "uid-of-the-quota",
            "/spec/hard",
            json!({"spec": {"hard": {"requests.cpu": "400", "count/pods": "1"}}}),
        ),
        (limits(), "uid-of-the-limits", "/spec", json!({"spec": {"limits": []}})),
        (network(), "uid-of-the-network-policy", "/spec", json!({"spec": {"ingress": [{}]}})),
        (owner_binding(), "uid-of-the-owner-binding", "/subjects", json!({"subjects": []})),
        // More than is read.
        (
            quota(),
            "uid-of-the-quota",
            "/spec/hard",
            json!({"spec": {"hard": (0..80_000).map(count).collect::<serde_json::Map<_, _>>()}}),
        ),
        (
            network(),
            "uid-of-the-network-policy",
            "/spec",
            json!({"spec": {"ingress": [{"from": vec![json!({"podSelector": {}}); 20_000]}]}}),
        ),
        (
            owner_binding(),
            "uid-of-the-owner-binding",
            "/subjects",
            json!({"subjects": vec![owner_binding()["subjects"][0].clone(); 5_000]}),
        ),
    ];
    for (wanted, uid, path, drift) in loosened {
        let kind = wanted["kind"].as_str().unwrap();
        let world = World::with(CALM, &everything_but(kind, wanted["metadata"]["name"].as_str().unwrap()));
        world.keep(&with(&stored(&wanted, uid, 60), &drift));
        let content = wanted.pointer(path).unwrap();
        let script = script![
            json_patch(&child_path(&wanted), operations(uid, path, content)).answered(stored(&wanted, uid, 61))
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world.reconcile(&converged(), script![]).await.unwrap();
    }
}

/// Other clients can add labels to an object until it is as large as the API server stores.
#[tokio::test]
async fn a_child_that_is_too_large_to_be_repaired_is_deleted_by_its_uid_and_created_again() {
    let opened = with(&stored(&network(), "uid-of-the-network-policy", 60), &json!({"spec": {"ingress": [{}]}}));
    let repair =
        || json_patch(&child_path(&network()), operations("uid-of-the-network-policy", "/spec", &network()["spec"]));
    for (code, reason, message) in [
        (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
        (500, "InternalError", "etcdserver: request is too large"),
    ] {
        let world = World::with(CALM, &everything_but("NetworkPolicy", "developerspace-isolation"));
        world.keep(&opened);
        let script = script![
            repair().refused_with(code, reason, message),
            delete(&child_path(&network()), &json!({"uid": "uid-of-the-network-policy"})),
            make(&network(), "uid-of-the-second-network-policy"),
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world.reconcile(&converged(), script![]).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_role_ref_is_deleted_by_its_uid_and_made_anew() {
    let bent = with(&stored(&owner_binding(), "uid-of-the-bent-binding", 60), &json!({"roleRef": {"name": "admin"}}));
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    world.keep(&bent);
    let script = script![
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-bent-binding"})),
        make(&owner_binding(), "uid-of-the-owner-binding"),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_dropped_members_binding_is_removed() {
    let space = edited(&converged(), &json!({"members": null}), 103);
    let world = World::with(CALM, &everything());
    let script = script![
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        status_patch(&space, &provisioned_in(2)),
    ];
    world.reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn bindings_and_quotas_of_others_are_left_alone() {
    let world = World::with(CALM, &everything());
    for (mut copy, name) in
        [(owner_binding(), "somebodys-binding"), (quota(), "somebodys-quota"), (network(), "somebodys-policy")]
    {
        copy["metadata"]["name"] = json!(name);
        world.keep(&stored(&copy, &format!("uid-of-{name}"), 60));
    }
    world.reconcile(&converged(), script![]).await.unwrap();
}

#[tokio::test]
async fn a_class_without_isolation_takes_the_network_policy_away() {
    let open =
        json!({"metadata": {"generation": 5}, "spec": {"network": {"isolation": "None", "allowFromNamespaces": []}}});
    let mut open = with(&class(), &open);
    open["status"]["conditions"][0]["observedGeneration"] = json!(5);
    let world = World::with(CALM, &everything());
    world.keep(&open);
    let script = script![delete(&child_path(&network()), &json!({"uid": "uid-of-the-network-policy"}))];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn lost_labels_and_annotations_of_the_namespace_come_back() {
    let drift = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}, "annotations": {"developerspace.dev/owner": null}}});
    let live = with(&stored_namespace(), &drift);
    let patch = json!({"metadata": {
        "uid": NAMESPACE_UID,
        "labels": {"pod-security.kubernetes.io/enforce": "baseline"},
        "annotations": {"developerspace.dev/owner": "User:ada@example.com"},
    }});
    let mut objects = everything();
    objects[1] = live.clone();
    let world = World::with(CALM, &objects);
    let script = script![
        get(&namespace_path()).answered(live.clone()),
        merge_patch(&namespace_path(), patch.clone()).answered(patched(&live, &patch, 62)),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

/// The response to a request of the operator can contain the change of another client before its event arrives.
#[tokio::test]
async fn a_change_that_a_response_contained_counts_as_one_when_its_event_arrives() {
    let drift = json!({"metadata": {"labels": {"developerspace.dev/space": null}, "resourceVersion": "62"}});
    let drifted = with(&stored_namespace(), &drift);
    let world = World::with(CALM, &everything_but("LimitRange", "developerspace"));
    let script =
        script![get(&namespace_path()).answered(drifted.clone()), post(&children_path("LimitRange"), limits())];
    world.reconcile(&converged(), script).await.unwrap();
    world.keep(&drifted);

    let loosened = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    let mut objects = everything();
    objects[1] = with(&stored_namespace(), &loosened);
    let world = World::with(CALM, &objects);
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "labels": labels, "annotations": {}}});
    let answer = with(&patched(&objects[1], &patch, 62), &drift);
    let script = script![
        get(&namespace_path()).answered(objects[1].clone()),
        merge_patch(&namespace_path(), patch).answered(answer.clone()),
    ];
    world.reconcile(&converged(), script).await.unwrap();
    world.keep(&answer);
}
