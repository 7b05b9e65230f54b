//! A seal that waits for the validation of the class: an administrator may have corrected its lifetime while no operator
//! ran.

use super::{
    expiry::{TWO_MINUTES, delete_namespace, lateness, seal},
    *,
};

/// The class after an administrator changed its lifetime. The operator accepted it before, and has not validated the
/// change.
fn changed(lifetime: &Value) -> Value {
    let accepted = class()["spec"].clone();
    with(
        &class(),
        &json!({"metadata": {"generation": 5}, "spec": {"lifetime": lifetime}, "status": {"accepted": accepted}}),
    )
}

/// For example, an administrator corrected a typo that the operator had accepted, while no operator ran.
#[tokio::test]
async fn a_gentler_spec_of_the_class_holds_the_seal_back_until_it_is_refused() {
    let class = changed(&json!({"defaultTTL": "10d"}));
    let world = World::with(EXPIRES, &everything());
    world.keep(&class);
    assert_eq!(world.reconcile(&warned(), script![]).await.unwrap(), seconds(600));
    assert!(world.end(&warned(), script![]).await.unwrap(), "the expiry worker does not seal it either");
    let later = "2026-03-09T08:02:00Z".parse().unwrap();
    assert_eq!(world.watchdog.ages(later).overdue, Duration::from_secs(120));
    assert!(
        !world.watchdog.is_behind(later, 0) && world.expiry_queue.pop_due(later).is_none(),
        "no other work waits for the class"
    );

    let mut refused = class;
    refused["status"]["conditions"][0] = with(
        &refused["status"]["conditions"][0],
        &json!({"status": "False", "reason": "InvalidSpec", "observedGeneration": 5}),
    );
    world.keep(&refused);
    let script = script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")];
    world.reconcile(&warned(), script).await.unwrap();
}

/// `kubectl replace --force` deletes a class and creates it again.
#[tokio::test(start_paused = true)]
async fn a_class_that_holds_a_seal_back_and_is_deleted_holds_it_for_five_more_minutes() {
    let world = World::with(EXPIRES, &everything());
    world.keep(&changed(&json!({"defaultTTL": "10d"})));
    world.reconcile(&warned(), script![]).await.unwrap();
    world.store.remove_class("greenhouse");
    let (mut status, missing) = (expiring(), refusals::without_a_class());
    for at in [0, 3, 4] {
        status["conditions"][at] = missing["conditions"][at].clone();
    }
    for at in [0, 4] {
        status["conditions"][at]["lastTransitionTime"] = json!(EXPIRES);
    }
    let script = script![status_patch(&warned(), &status), space_event("ClassNotFound")];
    assert_eq!(world.reconcile(&warned(), script).await.unwrap(), seconds(300));
    let space = with_status(&warned(), &status);
    tokio::time::advance(Duration::from_secs(299)).await;
    world.reconcile(&space, script![]).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut sealed = expired(&being_deleted(), true, EXPIRES);
    sealed["conditions"][4]["lastTransitionTime"] = json!(EXPIRES);
    let script = script![
        status_patch(&space, &sealed),
        space_event("Expired"),
        delete_namespace(),
        space_event("NamespaceDeleted")
    ];
    world.reconcile(&space, script).await.unwrap();
}

/// A restart of the operator does not validate the class either, whichever write fails in addition.
#[tokio::test]
async fn a_seal_that_waits_for_its_class_is_overdue_although_another_write_fails() {
    let create = || post(&children_path("LimitRange"), limits());
    for failed in [create().refused(500, "InternalError"), create().answered(json!("cut off"))] {
        let world = World::with(EXPIRES, &everything_but("LimitRange", "developerspace"));
        world.keep(&changed(&json!({"defaultTTL": "10d"})));
        let result = world.reconcile(&warned(), script![confirmed(), failed]).await;
        assert_eq!((class_of(&result), lateness(&world)), (Some(Class::Transient), (TWO_MINUTES, Duration::ZERO)));
    }
}

#[tokio::test]
async fn a_spec_of_the_class_that_is_no_gentler_or_cannot_be_read_holds_no_seal_back() {
    for lifetime in
        [json!({"defaultTTL": "5d"}), json!({"retainExpired": "9d"}), json!({"defaultTTL": "10d", "maxTTL": "soon"})]
    {
        let world = World::with(EXPIRES, &everything());
        world.keep(&changed(&lifetime));
        let script = script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")];
        world.reconcile(&warned(), script).await.unwrap();
    }
}

/// While no spec of the class was accepted, the terms of the space decide.
#[tokio::test]
async fn a_class_that_was_created_again_holds_the_seal_back_only_if_it_is_gentler() {
    let again = |ttl: &str| {
        let metadata = json!({"uid": "uid-of-the-class-made-again", "generation": 1, "creationTimestamp": EXPIRES});
        with(&class(), &json!({"metadata": metadata, "spec": {"lifetime": {"defaultTTL": ttl}}, "status": null}))
    };
    let world = World::with(EXPIRES, &everything());
    world.keep(&again("10d"));
    assert_eq!(
        world.reconcile(&warned(), script![]).await.unwrap(),
        seconds(10),
        "the report that it was not validated is due then"
    );
    world.keep(&again("7d"));
    let script = script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")];
    world.reconcile(&warned(), script).await.unwrap();
}
