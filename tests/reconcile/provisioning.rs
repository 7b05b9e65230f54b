//! From nothing to ready, and the steady state.

use super::*;

#[tokio::test]
async fn a_fresh_space_gets_finalizer_namespace_guards_bindings_and_status_in_that_order() {
    let world = World::with(MADE, &[class()]);
    let script = script![
        add_finalizer(),
        make_namespace().made(NAMESPACE_UID),
        make_guards(),
        make_bindings(),
        say(&with_finalizer(), &provisioned()),
        told("Provisioned"),
    ];
    assert_eq!(world.reconcile(&fresh(), script).await.unwrap(), seconds(600), "the wall clock is asked again");
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
        assert_eq!(world.reconcile(&space, script![]).await.unwrap(), Action::requeue(Duration::from_millis(wait)), "at {now}");
    }
}

#[tokio::test]
async fn a_protected_space_never_expires() {
    let space = with(&converged(), &json!({"spec": {"protected": true}, "status": {"expiresAt": null, "terms": {"protected": true}}}));
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
        say(&with_finalizer(), &provisioned()),
        told("Provisioned"),
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
            post(&children_path(kind), wanted.clone()).refused(409, "AlreadyExists"),
            get(&child_path(&child)).answered(child.clone()),
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world.reconcile(&converged(), script![]).await.unwrap();
    }
}

#[tokio::test]
async fn an_offered_namespace_is_adopted() {
    let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}}});
    let offered = with(&with(&foreign_namespace(), &offer), &json!({"metadata": {"uid": NAMESPACE_UID}}));
    let mut patch = json!({"metadata": {"uid": NAMESPACE_UID, "resourceVersion": "30"}});
    patch["metadata"]["labels"] = namespace()["metadata"]["labels"].clone();
    patch["metadata"]["annotations"] = namespace()["metadata"]["annotations"].clone();
    let world = World::with(MADE, &[class(), offered.clone()]);
    let script = script![
        add_finalizer(),
        merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 31)),
        make_guards(),
        make_bindings(),
        say(&with_finalizer(), &provisioned()),
        told("Adopted"),
        told_inside("Adopted"),
        told("Provisioned"),
    ];
    world.reconcile(&fresh(), script).await.unwrap();
}

#[tokio::test]
async fn the_offer_goes_once_the_status_has_the_uid() {
    let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}}});
    let offered = with(&stored_namespace(), &offer);
    let world = World::with(CALM, &everything());
    world.keep(&with(&offered, &json!({"metadata": {"resourceVersion": "70"}})));
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/adopt": null}}});
    let script = script![merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 71))];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_crash_after_an_adoption_leaves_the_offer_to_be_found_again() {
    // As it stands after the first write: claimed, and older than any namespace that was made for the space.
    let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}, "creationTimestamp": "2020-01-01T00:00:00Z"}});
    let adopted = with(&with(&stored_namespace(), &offer), &json!({"metadata": {"resourceVersion": "31"}}));
    let mut patch = json!({"metadata": {"uid": NAMESPACE_UID, "resourceVersion": "31"}});
    patch["metadata"]["labels"] = namespace()["metadata"]["labels"].clone();
    patch["metadata"]["annotations"] = namespace()["metadata"]["annotations"].clone();
    let world = World::with(MADE, &[class(), adopted.clone()]);
    let script = script![
        merge_patch(&namespace_path(), patch.clone()).answered(patched(&adopted, &patch, 32)),
        make_guards(),
        make_bindings(),
        say(&with_finalizer(), &provisioned()),
        told("Adopted"),
        told_inside("Adopted"),
        told("Provisioned"),
    ];
    world.reconcile(&with_finalizer(), script).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_somebody_deleted_is_made_again_and_that_is_told() {
    let world = World::with(CALM, &[class()]);
    let mut status = provisioned();
    status["namespace"]["uid"] = json!("uid-of-the-second-namespace");
    let script = script![
        make_namespace().made("uid-of-the-second-namespace"),
        make_guards(),
        make_bindings(),
        say(&converged(), &status),
        told("NamespaceRecreated"),
        event_inside("NamespaceRecreated", SPACE, "uid-of-the-second-namespace"),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn that_is_told_too_if_only_the_namespace_was_made_before_we_ended() {
    let mut objects = everything();
    let second = "uid-of-the-second-namespace";
    objects.iter_mut().filter(|object| object["kind"] == "Namespace").for_each(|namespace| namespace["metadata"]["uid"] = json!(second));
    let world = World::with(CALM, &objects);
    let mut status = provisioned();
    status["namespace"]["uid"] = json!(second);
    let script = script![say(&converged(), &status), told("NamespaceRecreated"), event_inside("NamespaceRecreated", SPACE, second)];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_store_behind_our_own_write_does_nothing() {
    let world = World::with(MADE, &[class()]);
    world.memory.wrote(SPACE, 101);
    assert_eq!(world.reconcile(&fresh(), script![]).await.unwrap(), seconds(1));
}
