//! Provisioning of a new space, and the steady state.

use super::*;

fn from_nothing_to_ready() -> Vec<Step> {
    script![
        add_finalizer(),
        make_namespace().made(NAMESPACE_UID),
        make_guards(),
        make_bindings(),
        status_patch(&with_finalizer(), &provisioned()),
        space_event("Provisioned"),
    ]
}

#[tokio::test]
async fn a_fresh_space_gets_finalizer_namespace_guards_bindings_and_status_in_that_order() {
    let world = World::with(MADE, &[class()]);
    assert_eq!(
        world.reconcile(&fresh(), from_nothing_to_ready()).await.unwrap(),
        seconds(600),
        "the wall clock is asked again"
    );
}

/// Of a space without a place, the store keeps only a part of a long spec: nothing is granted by that part.
#[tokio::test]
async fn a_new_space_with_a_long_spec_is_read_before_anything_is_granted() {
    let long = with(&fresh(), &json!({"spec": {"members": null, "description": "Where orchids grow. ".repeat(300)}}));
    let world = World::with(MADE, &[class()]);
    let gone = get(&space_path()).refused(404, "NotFound");
    assert_eq!(
        world.reconcile(&long, script![gone]).await.unwrap(),
        seconds(120),
        "the answer may be that of a gateway"
    );
    // It was edited in the meantime, and the watch is behind.
    let mut script = script![get(&space_path()).answered(fresh())];
    script.extend(from_nothing_to_ready());
    world.reconcile(&long, script).await.unwrap();
    let failing = get(&space_path()).refused(500, "InternalError");
    let world = World::with(MADE, &[class()]);
    assert_eq!(class_of(&world.reconcile(&long, script![failing]).await), Some(Class::Transient));
}

/// Each of the three steps that create objects waits for at most one second.
#[tokio::test(start_paused = true)]
async fn creations_wait_for_an_end_that_is_near() {
    for (end, wait) in [("2026-03-02T08:00:05.300Z", 3_000), ("2026-03-02T08:30:00Z", 0)] {
        let world = World::with(MADE, &[class()]);
        let now = MADE.parse().unwrap();
        world.expiry_queue.register("fern-lab", end.parse().unwrap(), now);
        let begin = tokio::time::Instant::now();
        world.reconcile(&fresh(), from_nothing_to_ready()).await.unwrap();
        assert_eq!(begin.elapsed().as_millis() / 500 * 500, wait, "with an end at {end}");
    }
}

/// A space has to converge within a minute, and a creation takes several steps.
#[tokio::test(start_paused = true)]
async fn after_a_flood_of_writes_a_space_waits_once_and_not_before_each_step() {
    let flooded = |world: World| {
        (0..100).for_each(|_| world.recent_writes.record(&namespace_path()));
        world
    };
    let world = flooded(World::with(CALM, &everything_but("ResourceQuota", "developerspace")));
    assert_eq!(world.reconcile(&converged(), script![]).await.unwrap(), seconds(15), "a repair waits");
    let failing = with_status(&converged(), &refused_since(1, "ApplyFailed", "a webhook refuses the quota"));
    assert_eq!(
        world.reconcile(&failing, script![]).await.unwrap(),
        seconds(15),
        "and so does an attempt that its owner may keep failing"
    );
    let world = flooded(World::with(MADE, &[class()]));
    assert_eq!(
        world.reconcile(&fresh(), script![]).await.unwrap(),
        seconds(15),
        "and so does the first step of a new space"
    );
    let begun = from_nothing_to_ready().split_off(1);
    world.reconcile(&with_finalizer(), begun).await.unwrap();
}

#[tokio::test]
async fn nothing_is_done_before_everything_was_listed() {
    for missing in SOURCES {
        let world = World::unlisted(MADE);
        world.keep(&class());
        world.list_all_but(missing);
        let (space, waiting) = (fresh(), Duration::from_millis(20));
        let early = tokio::time::timeout(waiting, world.reconcile(&space, script![])).await;
        assert!(early.is_err(), "it did not wait for {missing:?}");
    }
}

#[tokio::test]
async fn a_converged_space_makes_no_call_and_is_woken_at_its_next_edge() {
    for (space, now, wait) in [
        (converged(), "2026-03-02T08:00:10Z", 600_000),
        (converged(), "2026-03-08T07:55:00Z", 300_000),
        (warned(), "2026-03-09T07:59:18Z", 41_800),
    ] {
        let world = World::with(now, &everything());
        assert_eq!(
            world.reconcile(&space, script![]).await.unwrap(),
            Action::requeue(Duration::from_millis(wait)),
            "at {now}"
        );
    }
}

#[tokio::test]
async fn a_protected_space_never_expires() {
    let space = with(
        &converged(),
        &json!({"spec": {"protected": true}, "status": {"expiresAt": null, "terms": {"protected": true}}}),
    );
    let mut objects = everything();
    objects[0]["spec"]["lifetime"]["allowProtected"] = json!(true);
    objects[1]["metadata"]["annotations"].as_object_mut().unwrap().remove("developerspace.dev/expires-at");
    let world = World::with("2030-01-01T00:00:00Z", &objects);
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), Action::await_change());
}

#[tokio::test]
async fn a_namespace_that_came_in_between_and_claims_this_space_is_used() {
    let world = World::with(MADE, &[class()]);
    let script = script![
        add_finalizer(),
        make_namespace().refused(409, "AlreadyExists"),
        get(&namespace_path()).answered(stored_namespace()),
        make_guards(),
        make_bindings(),
        status_patch(&with_finalizer(), &provisioned()),
        space_event("Provisioned"),
    ];
    world.reconcile(&fresh(), script).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_to_the_post_of_a_child_needs_no_further_write() {
    for child in children() {
        let (kind, name) = (child["kind"].as_str().unwrap(), child["metadata"]["name"].as_str().unwrap());
        let wanted = [quota(), limits(), network(), owner_binding(), member_binding()];
        let wanted = wanted.iter().find(|wanted| wanted["kind"] == kind && wanted["metadata"]["name"] == name).unwrap();
        let world = World::with(CALM, &everything_but(kind, name));
        let script = script![
            confirmed(),
            post(&children_path(kind), wanted.clone()).refused(409, "AlreadyExists"),
            get(&child_path(&child)).answered(child.clone()),
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world.reconcile(&converged(), script![]).await.unwrap();
    }
}

/// The two offers to the space: by its UID, and by its owner.
fn offers() -> [String; 2] {
    [format!("orchid-lab/{}", uid(SPACE)), "orchid-lab/User:ada@example.com".to_owned()]
}

fn offering(namespace: &Value, offer: &str) -> Value {
    with(namespace, &json!({"metadata": {"annotations": {"developerspace.dev/adopt": offer}}}))
}

fn adopts(labels: &Value) -> Value {
    let mut patch = json!({"metadata": {"uid": NAMESPACE_UID, "resourceVersion": "30", "labels": with(&namespace()["metadata"]["labels"], labels)}});
    patch["metadata"]["annotations"] = namespace()["metadata"]["annotations"].clone();
    patch
}

fn adopted(reason: &str) -> [Call; 2] {
    let says = |call: Call| call.with_note(reason);
    [says(space_event("Adopted")), says(namespace_event("Adopted"))]
}

#[tokio::test]
async fn an_offered_namespace_is_adopted() {
    for offer in offers() {
        let offered = offering(&with(&foreign_namespace(), &json!({"metadata": {"uid": NAMESPACE_UID}})), &offer);
        let patch = adopts(&json!({}));
        let world = World::with(MADE, &[class(), offered.clone()]);
        let [about_the_space, inside] =
            adopted("namespace orchid-lab, which its annotation offers to this DeveloperSpace, was adopted");
        let script = script![
            add_finalizer(),
            get(&namespace_path()).answered(offered.clone()),
            merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 31)),
            make_guards(),
            make_bindings(),
            status_patch(&with_finalizer(), &provisioned()),
            about_the_space,
            inside,
            space_event("Provisioned"),
        ];
        world.reconcile(&fresh(), script).await.unwrap();
    }
}

/// F08: the stricter level is kept, whatever the class changes later, and the Event lists every replaced value.
#[tokio::test]
async fn an_adoption_lowers_no_level_and_tells_what_it_replaces() {
    let hardened = json!({"metadata": {"uid": NAMESPACE_UID, "labels": {
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.33", "app.kubernetes.io/managed-by": "Helm",
    }}});
    let offered = offering(&with(&foreign_namespace(), &hardened), &offers()[0]);
    let mut patch = adopts(&json!({}));
    patch["metadata"]["labels"].as_object_mut().unwrap().remove("pod-security.kubernetes.io/enforce");
    patch["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"] = Value::Null;
    patch["metadata"]["annotations"]["developerspace.dev/adopted-pod-security"] = json!("enforce=restricted");
    let [about_the_space, inside] = adopted(
        "namespace orchid-lab, which its annotation offers to this DeveloperSpace, was adopted; replaced: label \
         app.kubernetes.io/managed-by was \"Helm\" and is \"developerspace-operator\", label pod-security.kubernetes.io/enforce-version was \"v1.33\" and is removed",
    );
    let world = World::with(MADE, &[class(), offered.clone()]);
    let script = script![
        add_finalizer(),
        get(&namespace_path()).answered(offered.clone()),
        merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 31)),
        make_guards(),
        make_bindings(),
        status_patch(&with_finalizer(), &provisioned()),
        about_the_space,
        inside,
        space_event("Provisioned"),
    ];
    world.reconcile(&fresh(), script).await.unwrap();
    let restricted = json!({"metadata": {
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        "annotations": {"developerspace.dev/adopted-pod-security": "enforce=restricted"},
    }});
    let mut objects = everything();
    objects[1] = with(&stored_namespace(), &restricted);
    World::with(CALM, &objects).reconcile(&converged(), script![]).await.unwrap();
}

#[tokio::test]
async fn the_offer_goes_once_the_status_has_the_uid() {
    for offer in offers() {
        let offered = offering(&stored_namespace(), &offer);
        let world = World::with(CALM, &everything());
        world.keep(&with(&offered, &json!({"metadata": {"resourceVersion": "70"}})));
        let patch = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/adopt": null}}});
        let script = script![merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 71))];
        world.reconcile(&converged(), script).await.unwrap();
    }
}

/// The response to the removal contains the change of another client, whose event comes later.
#[tokio::test]
async fn a_change_during_the_removal_of_the_offer_counts_when_its_event_arrives() {
    let offered = offering(&stored_namespace(), &offers()[0]);
    let world = World::with(CALM, &everything());
    world.keep(&with(&offered, &json!({"metadata": {"resourceVersion": "70"}})));
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/adopt": null}}});
    let drift = json!({"metadata": {"labels": {"developerspace.dev/space": null}}});
    let answer = with(&patched(&offered, &patch, 71), &drift);
    let script = script![merge_patch(&namespace_path(), patch).answered(answer.clone())];
    world.reconcile(&converged(), script).await.unwrap();
    world.keep(&answer);
}

/// The marks of an earlier release stay until then, because the adoption may be undone.
#[tokio::test]
async fn the_marks_of_a_release_go_once_the_status_has_the_uid() {
    let marks = json!({
        "developerspace.dev/released-from": "orchid-lab/uid-before", "developerspace.dev/released-class": "meadow",
        "developerspace.dev/released-owner": "User:bea@example.com", "developerspace.dev/released-at": CREATED,
    });
    let released = json!({"metadata": {"labels": {"developerspace.dev/released": "true"}, "annotations": marks, "resourceVersion": "70"}});
    let offered = offering(&with(&stored_namespace(), &released), &offers()[0]);
    let world = World::with(CALM, &everything());
    world.keep(&offered);
    let nothing: Value = marks.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    let unmarked = json!({"metadata": {"uid": NAMESPACE_UID, "labels": {"developerspace.dev/released": null}, "annotations": nothing}});
    let owned = patched(&offered, &unmarked, 71);
    let taken = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/adopt": null}}});
    let script = script![
        get(&namespace_path()).answered(offered),
        merge_patch(&namespace_path(), unmarked).answered(owned.clone()),
        merge_patch(&namespace_path(), taken.clone()).answered(patched(&owned, &taken, 72)),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_crash_after_an_adoption_leaves_the_offer_to_be_found_again() {
    // The namespace after the first write: claimed, and older than any namespace that was created for the space.
    let older = with(
        &stored_namespace(),
        &json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "resourceVersion": "30"}}),
    );
    let adopted = offering(&older, &offers()[0]);
    let world = World::with(MADE, &[class(), adopted.clone()]);
    let script = script![
        get(&namespace_path()).answered(adopted.clone()),
        make_guards(),
        make_bindings(),
        status_patch(&with_finalizer(), &provisioned()),
        space_event("Adopted"),
        namespace_event("Adopted"),
        space_event("Provisioned"),
    ];
    world.reconcile(&with_finalizer(), script).await.unwrap();
}

/// Nothing is written to a namespace that is terminating, however long its deletion takes.
#[tokio::test]
async fn an_offered_namespace_that_is_being_deleted_is_waited_for() {
    let held = json!({"metadata": {"uid": NAMESPACE_UID, "finalizers": ["example.com/hold"]}});
    let offered = offering(&going(&with(&foreign_namespace(), &held), CREATED), &offers()[0]);
    let message = "namespace orchid-lab is being deleted; it is recreated, empty, when its deletion is complete: the Namespace has the \
                   finalizers example.com/hold; each one is removed by its controller, or by an administrator";
    let mut status = stalled("NamespaceTerminating", message);
    status["conditions"][3] = with(&status["conditions"][3], &json!({"status": "True", "message": message}));
    status["conditions"][4] = with(&status["conditions"][4], &json!({"status": "False", "message": ""}));
    let world = World::with(MADE, &[class(), offered]);
    world
        .reconcile(&fresh(), script![status_patch(&fresh(), &status), space_event("NamespaceTerminating")])
        .await
        .unwrap();
    world.reconcile(&with_status(&fresh(), &status), script![]).await.unwrap();
}

/// C4: a repair that finds another namespace writes nothing and records nothing.
#[tokio::test]
async fn a_repair_that_meets_another_namespace_is_decided_again() {
    let mut objects = everything();
    objects[1]["metadata"]["annotations"]["developerspace.dev/expires-at"] = json!("2026-01-01T00:00:00Z");
    let world = World::with(CALM, &objects);
    let later = with(&foreign_namespace(), &json!({"metadata": {"resourceVersion": "90"}}));
    let result = world.reconcile(&converged(), script![get(&namespace_path()).answered(later)]).await;
    assert_eq!(class_of(&result), Some(Class::Conflict));
    let mut status = provisioned();
    let foreign = refusals::conflict()["conditions"][0]["message"].clone();
    let message = foreign.as_str().unwrap();
    status["conditions"] = conditions(
        1,
        &[
            (false, "NamespaceConflict", message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, "NamespaceConflict", "", MADE),
            (true, "NamespaceConflict", message, CALM),
        ],
    );
    world
        .reconcile(&converged(), script![status_patch(&converged(), &status), space_event("NamespaceConflict")])
        .await
        .unwrap();
}

/// Row 24: the recorded UID is kept, so that the claim of a copy does not count later either.
#[tokio::test]
async fn a_restored_namespace_is_not_ours() {
    let restored = with(
        &stored_namespace(),
        &json!({"metadata": {"uid": "uid-of-the-restored-namespace", "resourceVersion": "90"}}),
    );
    let world = World::with(CALM, &[class(), restored]);
    let mut status = provisioned();
    let copy = " (it has the marks of this DeveloperSpace but was not created for it: it was restored or copied)";
    let told_of = refusals::conflict_about(copy);
    let message = told_of["conditions"][0]["message"].as_str().unwrap();
    status["conditions"] = conditions(
        1,
        &[
            (false, "NamespaceConflict", message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, "NamespaceConflict", "", MADE),
            (true, "NamespaceConflict", message, CALM),
        ],
    );
    world
        .reconcile(&converged(), script![status_patch(&converged(), &status), space_event("NamespaceConflict")])
        .await
        .unwrap();
    world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
}

pub(super) fn make_again() -> Call {
    let replaces = json!({"metadata": {"annotations": {"developerspace.dev/replaces": NAMESPACE_UID}}});
    post("/api/v1/namespaces", with(&namespace(), &replaces))
}

#[tokio::test]
async fn a_namespace_that_somebody_deleted_is_made_again_and_that_is_told() {
    let world = World::with(CALM, &[class()]);
    let mut status = provisioned();
    status["namespace"]["uid"] = json!("uid-of-the-second-namespace");
    let script = script![
        make_again().made("uid-of-the-second-namespace"),
        make_guards(),
        make_bindings(),
        status_patch(&converged(), &status),
        space_event("NamespaceRecreated"),
        event_inside("NamespaceRecreated", SPACE, "uid-of-the-second-namespace"),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn that_is_told_too_if_only_the_namespace_was_made_before_we_ended() {
    let mut objects = everything();
    let second = "uid-of-the-second-namespace";
    objects[1]["metadata"]["uid"] = json!(second);
    objects[1]["metadata"]["annotations"]["developerspace.dev/replaces"] = json!(NAMESPACE_UID);
    let world = World::with(CALM, &objects);
    let mut status = provisioned();
    status["namespace"]["uid"] = json!(second);
    let script = script![
        status_patch(&converged(), &status),
        space_event("NamespaceRecreated"),
        event_inside("NamespaceRecreated", SPACE, second)
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_store_behind_our_own_write_does_nothing() {
    let world = World::with(MADE, &[class()]);
    world.attempts.record_write(SPACE, 101);
    assert_eq!(world.reconcile(&fresh(), script![]).await.unwrap(), seconds(1));
}
