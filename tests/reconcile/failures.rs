//! Requests that the API server refuses or does not answer.

use super::*;

/// The JSON patch that removes the subjects from the binding with that UID.
fn emptied(uid: &str) -> Value {
    json!([{"op": "test", "path": "/metadata/uid", "value": uid}, {"op": "add", "path": "/subjects", "value": []}])
}

fn apply_failed(message: &str) -> Value {
    apply_failed_in(1, message)
}

/// The same status in that generation.
pub(crate) fn apply_failed_in(generation: i64, message: &str) -> Value {
    let mut status = provisioned_in(generation);
    status["conditions"] = conditions(
        generation,
        &[
            (false, "ApplyFailed", message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "ApplyFailed", message, CALM),
            (false, "ApplyFailed", "", MADE),
        ],
    );
    status
}

#[tokio::test]
async fn a_forbidden_binding_is_told_and_left_to_the_administrator() {
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    let message = "failed to create RoleBinding developerspace-owner in orchid-lab: the server says Forbidden";
    let script = script![
        confirmed(),
        post(&children_path("RoleBinding"), owner_binding()).refused(403, "Forbidden"),
        status_patch(&converged(), &apply_failed(message)),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Forbidden));
}

/// Every ceiling depends on the class in force, so that class is recorded as soon as the space has any of the objects
/// that the class provides.
#[tokio::test]
async fn a_space_whose_bindings_are_refused_records_the_class_that_it_was_admitted_to() {
    let world = World::with(MADE, &everything_but("RoleBinding", "developerspace-owner"));
    let mut status =
        apply_failed("failed to create RoleBinding developerspace-owner in orchid-lab: the server says Forbidden");
    status["readyAt"] = Value::Null;
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(MADE);
    }
    assert_eq!((&status["className"], &status["owner"]["name"]), (&json!("greenhouse"), &json!("ada@example.com")));
    let script = script![
        post(&children_path("RoleBinding"), owner_binding()).refused(403, "Forbidden"),
        status_patch(&with_finalizer(), &status),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&with_finalizer(), script).await), Some(Class::Forbidden));
    world.attempts.begin_back_off(SPACE, HALF_A_MINUTE);
    let Ok(again) = world.reconcile(&with_status(&with_finalizer(), &status), script![]).await else {
        panic!("nothing is tried")
    };
    assert!(again != Action::await_change() && again != seconds(0), "the record ends no wait: {again:?}");
}

#[tokio::test]
async fn a_binding_that_a_finalizer_holds_loses_its_subjects_and_is_not_tried_without_end() {
    let bent = with(&stored(&owner_binding(), "uid-of-the-bent-binding", 60), &json!({"roleRef": {"name": "admin"}}));
    let held = with(&bent, &json!({"metadata": {"deletionTimestamp": CALM, "finalizers": ["example.com/hold"]}}));
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    world.keep(&bent);
    let message = "failed to replace RoleBinding developerspace-owner in orchid-lab: it was deleted but still exists \
                   because of a finalizer; remove the finalizer";
    let script = script![
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-bent-binding"})).answered(held.clone()),
        json_patch(&child_path(&owner_binding()), emptied("uid-of-the-bent-binding"))
            .answered(with(&held, &json!({"subjects": []}))),
        status_patch(&converged(), &apply_failed(message)),
        space_event("ApplyFailed"),
    ];
    let space = converged();
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Invalid));
    let held_space = with_status(&space, &apply_failed(message));
    assert_eq!(
        class_of(&world.reconcile(&held_space, script![]).await),
        Some(Class::Invalid),
        "nothing is written while it is held"
    );
}

#[tokio::test]
async fn a_server_error_is_told_only_when_it_lasts() {
    let world = World::with(CALM, &everything_but("LimitRange", "developerspace"));
    let fails = || post(&children_path("LimitRange"), limits()).refused(500, "InternalError");
    for _ in 0..2 {
        assert_eq!(
            class_of(&world.reconcile(&converged(), script![confirmed(), fails()]).await),
            Some(Class::Transient)
        );
        world.attempts.count_failure(SPACE);
    }
    let message = "failed to create LimitRange developerspace in orchid-lab: the server says InternalError";
    let script =
        script![confirmed(), fails(), status_patch(&converged(), &apply_failed(message)), space_event("ApplyFailed")];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Transient));
}

#[tokio::test]
async fn nobody_gets_in_when_a_guard_fails_though_all_guards_are_tried() {
    let world = World::with(MADE, &[class(), stored_namespace()]);
    let script = script![
        add_finalizer(),
        side_by_side([
            post(&children_path("ResourceQuota"), quota()).refused(500, "InternalError"),
            make(&limits(), "uid-of-the-limits"),
            make(&network(), "uid-of-the-network-policy"),
        ]),
    ];
    assert_eq!(class_of(&world.reconcile(&fresh(), script).await), Some(Class::Transient));
}

#[tokio::test]
async fn an_event_that_is_lost_fails_nothing() {
    let world = World::with(MADE, &[class(), foreign_namespace()]);
    let space = fresh();
    let script = script![
        status_patch(&space, &refusals::conflict()),
        space_event("NamespaceConflict").refused(403, "Forbidden")
    ];
    world.reconcile(&space, script).await.unwrap();
}

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

fn reset(port: u16) -> String {
    format!("failed calling webhook: read tcp 10.42.0.1:{port}->10.42.0.17:9443: read: connection reset by peer")
}

#[tokio::test]
async fn an_error_that_names_another_port_each_time_is_told_once() {
    let world = World::with(CALM, &everything_but("LimitRange", "developerspace"));
    let fails = |port| post(&children_path("LimitRange"), limits()).refused_with(500, "InternalError", &reset(port));
    for _ in 0..2 {
        world.attempts.count_failure(SPACE);
    }
    let status = apply_failed(&format!("failed to create LimitRange developerspace in orchid-lab: {}", reset(52_144)));
    let script = script![confirmed(), fails(52_144), status_patch(&converged(), &status), space_event("ApplyFailed")];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Transient));
    let space = with_status(&converged(), &status);
    assert_eq!(class_of(&world.reconcile(&space, script![confirmed(), fails(61_022)]).await), Some(Class::Transient));
}

/// The watch returns the space after the operator's own status write, which changes nothing on which the failed attempt
/// was decided.
#[tokio::test]
async fn our_own_status_write_does_not_shorten_the_wait_and_a_change_ends_it() {
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    let status =
        apply_failed("failed to create RoleBinding developerspace-owner in orchid-lab: the server says Forbidden");
    let fails = || post(&children_path("RoleBinding"), owner_binding()).refused(403, "Forbidden");
    world
        .reconcile(
            &converged(),
            script![confirmed(), fails(), status_patch(&converged(), &status), space_event("ApplyFailed")],
        )
        .await
        .unwrap_err();
    assert_eq!(world.attempts.begin_back_off(SPACE, HALF_A_MINUTE), HALF_A_MINUTE);
    let space = with_status(&converged(), &status);
    let Ok(again) = world.reconcile(&space, script![]).await else { panic!("nothing is tried") };
    assert!(again != Action::await_change() && again != seconds(0), "{again:?}");
    let offered =
        json!({"metadata": {"resourceVersion": "99", "annotations": {"developerspace.dev/adopt": "another"}}});
    let offered = with(&stored_namespace(), &offered);
    world.keep(&offered);
    world.reconcile(&space, script![get(&namespace_path()).answered(offered), fails()]).await.unwrap_err();
}

#[tokio::test]
async fn a_status_that_cannot_be_written_is_not_tried_twice_in_one_look() {
    let world = World::with(MADE, &[class(), foreign_namespace()]);
    let space = fresh();
    let script = script![status_patch(&space, &refusals::conflict()).refused(403, "Forbidden")];
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Forbidden));
}

/// The attempt that failed has added the finalizer, so the condition is written at the resulting version.
#[tokio::test]
async fn the_first_failure_of_a_fresh_space_is_told_at_once() {
    let world = World::with(MADE, &[class()]);
    let message = "failed to create namespace orchid-lab: the server says Forbidden";
    let mut status = apply_failed(message);
    for absent in ["className", "owner", "terms", "namespace", "readyAt"] {
        status[absent] = Value::Null;
    }
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(MADE);
    }
    let script = script![
        add_finalizer(),
        make_namespace().refused(403, "Forbidden"),
        status_patch(&with_finalizer(), &status),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&fresh(), script).await), Some(Class::Forbidden));
}
