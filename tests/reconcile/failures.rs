//! What the API server refuses or does not answer.

use super::*;

fn apply_failed(message: &str) -> Value {
    let mut status = provisioned();
    status["conditions"] = conditions(
        1,
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
        post(&children_path("RoleBinding"), owner_binding()).refused(403, "Forbidden"),
        say(&converged(), &apply_failed(message)),
        told("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Forbidden));
}

#[tokio::test]
async fn a_binding_that_a_finalizer_holds_is_told_and_not_tried_without_end() {
    let bent = with(&stored(&owner_binding(), "uid-of-the-bent-binding", 60), &json!({"roleRef": {"name": "admin"}}));
    let held = with(&bent, &json!({"metadata": {"deletionTimestamp": CALM, "finalizers": ["example.com/hold"]}}));
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    world.keep(&bent);
    let message = "failed to replace RoleBinding developerspace-owner in orchid-lab: it was deleted and is still there, \
                   since a finalizer holds it; remove the finalizer";
    let script = script![
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-bent-binding"})),
        post(&children_path("RoleBinding"), owner_binding()).refused(409, "AlreadyExists"),
        get(&child_path(&owner_binding())).answered(held),
        say(&converged(), &apply_failed(message)),
        told("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Invalid));
}

#[tokio::test]
async fn a_server_error_is_told_only_when_it_lasts() {
    let world = World::with(CALM, &everything_but("LimitRange", "developerspace"));
    let fails = || post(&children_path("LimitRange"), limits()).refused(500, "InternalError");
    for _ in 0..2 {
        assert_eq!(class_of(&world.reconcile(&converged(), script![fails()]).await), Some(Class::Transient));
        world.memory.failed(SPACE);
    }
    let message = "failed to create LimitRange developerspace in orchid-lab: the server says InternalError";
    let script = script![fails(), say(&converged(), &apply_failed(message)), told("ApplyFailed")];
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
    let message = "namespace orchid-lab exists and is not this space's, so it is left alone: choose another name, or have an \
                   administrator hand it over with: kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab";
    let script = script![say(&space, &stalled("NamespaceConflict", message)), told("NamespaceConflict").refused(403, "Forbidden")];
    world.reconcile(&space, script).await.unwrap();
}
