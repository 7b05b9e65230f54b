//! A deletion that waits does not stop the clock of the space, and follows the recorded terms while the class is
//! missing.

use super::{
    deletion::{ASKED, WITHOUT_CONSENT, read_crd, releases, retained, terminating},
    *,
};

/// The space a minute before its end, with all warnings given. Its deletion waits for the consent of the class.
fn waits() -> Value {
    let space = with(&going(&warned(), ASKED), &json!({"spec": {"deletionPolicy": "Retain"}}));
    with(&space, &json!({"status": waiting()}))
}

fn waiting() -> Value {
    let mut status = terminating(WITHOUT_CONSENT);
    let warned = expiring();
    status["lastWarning"] = warned["lastWarning"].clone();
    status["conditions"][1] = warned["conditions"][1].clone();
    status
}

fn look() -> [Step; 2] {
    [read_crd().into(), get(&namespace_path()).answered(stored_namespace()).into()]
}

fn delete_namespace() -> Call {
    delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
        .answered(going(&stored_namespace(), EXPIRES))
}

/// The status of the space, sealed at `since`.
fn seals(since: &str) -> Value {
    let mut status = expired(&being_deleted(), true, since);
    for condition in [0, 1, 2] {
        status["conditions"][condition]["lastTransitionTime"] = json!(since);
    }
    status["conditions"][0]["lastTransitionTime"] = json!(CALM);
    status["conditions"][3]["lastTransitionTime"] = json!(CALM);
    status
}

#[tokio::test]
async fn a_deletion_that_waits_is_looked_at_again_when_the_end_comes() {
    let world = World::with("2026-03-09T07:59:30Z", &everything());
    let [crd, live] = look();
    let wait = world.reconcile(&waits(), script![crd, live]).await.unwrap();
    assert_eq!(wait, Action::requeue(Duration::from_millis(29_800)), "in time for the seal");
}

#[tokio::test]
async fn at_the_end_of_a_deletion_that_waits_the_space_is_sealed_and_its_namespace_deleted() {
    let world = World::with(EXPIRES, &everything());
    let status = seals(EXPIRES);
    let script = script![
        read_crd(),
        status_patch(&waits(), &status),
        space_event("Expired"),
        delete_namespace(),
        space_event("NamespaceDeleted")
    ];
    world.reconcile(&waits(), script).await.unwrap();
}

#[tokio::test]
async fn such_a_space_is_sealed_shortly_before_its_end_too_and_loses_nothing_before_it() {
    let shortly_before = "2026-03-09T07:59:59.900Z";
    let world = World::with(shortly_before, &everything());
    let status = seals("2026-03-09T07:59:59Z");
    let wait = Action::requeue(Duration::from_millis(100));
    assert_eq!(
        world
            .reconcile(&waits(), script![read_crd(), status_patch(&waits(), &status), space_event("Expired")])
            .await
            .unwrap(),
        wait
    );
    let sealed = with_status(&waits(), &status);
    let world = world.later(shortly_before);
    assert_eq!(world.reconcile(&sealed, script![]).await.unwrap(), wait, "nothing is deleted before the end");
    let world = world.later(EXPIRES);
    let mut status = status;
    for at in [0, 3, 4] {
        status["conditions"][at]["reason"] = json!("Terminating");
        status["conditions"][at]["message"] = json!(if at == 4 { "" } else { "namespace orchid-lab is being deleted" });
    }
    let [crd, live] = look();
    let script = script![crd, live, delete_namespace(), status_patch(&sealed, &status), space_event("Terminating")];
    world.reconcile(&sealed, script).await.unwrap();
}

#[tokio::test]
async fn the_class_and_the_spec_reach_the_namespace_while_the_deletion_waits() {
    let space = with(&with_status(&retained(), &terminating(WITHOUT_CONSENT)), &json!({"spec": {"members": null}}));
    let tightened = with(&class(), &json!({"spec": {"quota": {"hard": {"pods": "5"}}}}));
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&tightened);
    let [crd, live] = look();
    let hard = json!({"limits.memory": "8Gi", "pods": "5", "requests.cpu": "4"});
    let lowered = with(&stored(&quota(), "uid-of-the-quota", 61), &json!({"spec": {"hard": hard}}));
    let script = script![
        crd,
        live,
        side_by_side([
            get(&child_path(&quota())).answered(stored(&quota(), "uid-of-the-quota", 51)),
            delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        ]),
        json_patch(&child_path(&quota()), drift::operations("uid-of-the-quota", "/spec/hard", &hard)).answered(lowered),
    ];
    world.reconcile(&space, script).await.unwrap();
}

/// A condition for each of the two would replace the other one at each attempt.
#[tokio::test]
async fn a_deletion_that_waits_and_an_error_are_reported_together_and_once() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&with(&class(), &json!({"spec": {"metadata": {"labels": {"example.com/floor": "upper"}}}})));
    let patch =
        json!({"metadata": {"uid": NAMESPACE_UID, "labels": {"example.com/floor": "upper"}, "annotations": {}}});
    let attempt = || {
        let [crd, live] = look();
        let again = get(&namespace_path()).answered(stored_namespace());
        script![crd, live, again, merge_patch(&namespace_path(), patch.clone()).refused(403, "Forbidden")]
    };
    let status = terminating(&format!(
        "{WITHOUT_CONSENT}; in addition, the operator failed to write the labels and annotations of namespace orchid-lab: the server says Forbidden"
    ));
    let mut first = attempt();
    first.extend(script![status_patch(&retained(), &status), space_event("Terminating")]);
    assert_eq!(class_of(&world.reconcile(&retained(), first).await), Some(Class::Forbidden));
    assert_eq!(class_of(&world.reconcile(&with_status(&retained(), &status), attempt()).await), Some(Class::Forbidden));
}

#[tokio::test]
async fn while_the_class_is_missing_its_terms_say_whether_a_namespace_is_released() {
    let allows = |allow: bool| with(&retained(), &json!({"status": {"terms": {"allowRetain": allow}}}));
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.reconcile(&allows(true), releases(&stored_namespace())).await.unwrap();

    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let [crd, live] = look();
    let status = terminating(WITHOUT_CONSENT);
    world
        .reconcile(
            &allows(false),
            script![crd, live, status_patch(&allows(false), &status), space_event("Terminating")],
        )
        .await
        .unwrap();
}
