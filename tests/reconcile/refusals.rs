//! Spaces that the operator refuses, completely or in part.

use std::sync::Arc;

use developerspace_operator::{cache::watches::CachedSpace, controller::worker::reconcile_queued, desired::Uid};

use super::{support::api_server::play, *};

pub(crate) fn conflict_about(what: &str) -> Value {
    let message = format!(
        "namespace orchid-lab exists and does not belong to this DeveloperSpace, so it is left unchanged{what}: choose another name, or have \
         an administrator offer it to User:ada@example.com with: kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab/{}",
        uid(SPACE)
    );
    stalled("NamespaceConflict", &message)
}

pub(crate) fn conflict() -> Value {
    conflict_about("")
}

#[tokio::test]
async fn an_existing_foreign_namespace_is_not_touched_and_only_the_status_is_written() {
    let world = World::with(MADE, &[class(), foreign_namespace()]);
    let space: Uid = uid(SPACE).as_str().into();
    world.creations.begin(space.clone(), SPACE);
    let script = script![status_patch(&fresh(), &conflict()), space_event("NamespaceConflict")];
    world.reconcile(&fresh(), script).await.unwrap();
    assert!(!world.creations.contains(&space, SPACE), "the namespace of that name was not created for the space");
    world.reconcile(&with_status(&fresh(), &conflict()), script![]).await.unwrap();
}

#[tokio::test]
async fn a_space_with_a_long_spec_is_read_until_it_has_a_place() {
    let long = with(&fresh(), &json!({"spec": {"description": "Where orchids grow. ".repeat(300)}}));
    let world = World::with(MADE, &[class(), foreign_namespace()]);
    let read = get(&space_path()).answered(long.clone());
    world
        .reconcile(&long, script![read, status_patch(&long, &conflict()), space_event("NamespaceConflict")])
        .await
        .unwrap();
    world.reconcile(&with_status(&long, &conflict()), script![]).await.unwrap();
}

#[tokio::test]
async fn neither_labels_nor_an_older_claim_nor_that_of_another_make_a_namespace_ours() {
    let copied = stored(&namespace(), "uid-of-another-namespace", 30);
    let older = with(&copied, &json!({"metadata": {"creationTimestamp": "2026-03-01T08:00:00Z"}}));
    let claim =
        |claim: Value| with(&copied, &json!({"metadata": {"annotations": {"developerspace.dev/space-uid": claim}}}));
    let left = format!(" (it was left by an earlier DeveloperSpace of that name, UID {})", uid("an-earlier-lab"));
    let copy = " (it has the marks of this DeveloperSpace but was not created for it: it was restored or copied)";
    for (theirs, what) in [(older, copy), (claim(json!(uid("an-earlier-lab"))), &left), (claim(Value::Null), "")] {
        let world = World::with(MADE, &[class(), theirs]);
        world
            .reconcile(
                &fresh(),
                script![status_patch(&fresh(), &conflict_about(what)), space_event("NamespaceConflict")],
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_foreign_namespace_that_came_in_between_is_a_conflict() {
    let world = World::with(MADE, &[class()]);
    let script = script![
        add_finalizer(),
        make_namespace().refused(409, "AlreadyExists"),
        get(&namespace_path()).answered(foreign_namespace()),
        status_patch(&with_finalizer(), &conflict()),
        space_event("NamespaceConflict"),
    ];
    world.reconcile(&fresh(), script).await.unwrap();
}

/// The status while the class is missing.
pub(crate) fn without_a_class() -> Value {
    class_not_found(
        "SpaceClass greenhouse does not exist: set spec.className to an existing class (there is none); existing objects stay unchanged",
    )
}

pub(crate) fn class_not_found(message: &str) -> Value {
    refused_since(1, "ClassNotFound", message)
}

#[tokio::test]
async fn a_name_that_the_class_denies_later_is_counted_and_costs_no_write() {
    let world = World::with(CALM, &everything());
    let counted =
        |world: &World| world.metrics.render().contains("developerspace_noncompliant_spaces{rule=\"name\"} 1");
    world.reconcile(&converged(), script![]).await.unwrap();
    assert!(!counted(&world));
    world.keep(&with(&class(), &json!({"spec": {"names": {"denied": ["orchid-*"]}}})));
    world.reconcile(&converged(), script![]).await.unwrap();
    assert!(counted(&world), "{}", world.metrics.render());
    world.keep(&class());
    world.reconcile(&converged(), script![]).await.unwrap();
    assert!(!counted(&world));
}

#[tokio::test]
async fn a_missing_class_changes_nothing_but_the_status_and_that_once() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let status = without_a_class();
    world
        .reconcile(&converged(), script![status_patch(&converged(), &status), space_event("ClassNotFound")])
        .await
        .unwrap();
    let again = world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
    assert_eq!(again, seconds(600), "the clock goes on");
}

/// C20: the annotation that the users of a namespace read follows the status.
#[tokio::test]
async fn while_the_class_is_missing_the_namespace_still_shows_its_expiry() {
    for shown in [json!("2026-01-01T00:00:00Z"), Value::Null] {
        let mut world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
        let stale = json!({"metadata": {"annotations": {"developerspace.dev/expires-at": shown}}});
        let stale = patched(&stored_namespace(), &stale, 60);
        world.keep(&stale);
        let patch =
            json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/expires-at": EXPIRES}}});
        let status = without_a_class();
        let script = script![
            merge_patch(&namespace_path(), patch.clone()).answered(patched(&stale, &patch, 61)),
            status_patch(&converged(), &status),
            space_event("ClassNotFound"),
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world = world.later("2026-03-04T12:10:00Z");
        world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
    }
}

/// Admission depends on this reason.
#[tokio::test]
async fn a_missing_class_stays_the_reason_when_the_namespace_vanishes() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let stale = patched(
        &stored_namespace(),
        &json!({"metadata": {"annotations": {"developerspace.dev/expires-at": null}}}),
        60,
    );
    world.keep(&stale);
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/expires-at": EXPIRES}}});
    let refused = || merge_patch(&namespace_path(), patch.clone()).refused(404, "NotFound");
    let status = without_a_class();
    let script = script![refused(), status_patch(&converged(), &status), space_event("ClassNotFound")];
    assert_eq!(class_of(&world.reconcile(&converged(), script).await), Some(Class::Vanishing));
    let again = world.reconcile(&with_status(&converged(), &status), script![refused()]).await;
    assert_eq!(class_of(&again), Some(Class::Vanishing), "nothing is written again");
}

#[tokio::test]
async fn a_class_that_cannot_be_read_is_said_to_be_that() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let metadata = with(&class()["metadata"], &json!({"generation": 5}));
    world.store.put_unreadable_class(read(&metadata));
    let message = "SpaceClass greenhouse cannot be read by this operator: an administrator has to correct it, or set spec.className to \
                   another class; existing objects stay unchanged";
    let status = class_not_found(message);
    world
        .reconcile(&converged(), script![status_patch(&converged(), &status), space_event("ClassNotFound")])
        .await
        .unwrap();
    world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_vanishes_meanwhile_stays_recorded_so_that_its_loss_can_be_told() {
    let world = World::with(CALM, &[]);
    world
        .reconcile(&converged(), script![status_patch(&converged(), &without_a_class()), space_event("ClassNotFound")])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_class_that_nobody_has_judged_yet_is_waited_for() {
    let mut unjudged = class();
    unjudged["metadata"]["generation"] = json!(5);
    let world = World::with(MADE, &[unjudged]);
    assert_eq!(
        world.reconcile(&fresh(), script![]).await.unwrap(),
        Action::await_change(),
        "the event of the class follows"
    );
}

/// The class after it was deleted and created again at that time, without a verdict.
fn made_again(at: &str) -> Value {
    let metadata = json!({"uid": "uid-of-the-class-made-again", "generation": 1, "creationTimestamp": at});
    let mut again = with(&class(), &json!({"metadata": metadata}));
    again.as_object_mut().unwrap().remove("status");
    again
}

/// The status of the class cannot be written, so that none of its specs is accepted.
#[tokio::test]
async fn a_class_that_is_never_judged_keeps_no_access_that_the_spec_no_longer_names() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&made_again("2026-03-04T11:59:50Z"));
    let space = edited(&converged(), &json!({"members": null}), 103);
    let status = refused_since(
        2,
        "ClassNotAccepted",
        "the operator has not validated the current spec of SpaceClass greenhouse yet",
    );
    let script = script![
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        status_patch(&space, &status),
        space_event("ClassNotAccepted"),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_class_that_was_made_again_moments_ago_withholds_access_and_is_not_reported() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&made_again("2026-03-04T11:59:57Z"));
    let space = edited(&converged(), &json!({"members": null}), 103);
    let script = script![delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"}))];
    assert_eq!(
        world.reconcile(&space, script).await.unwrap(),
        seconds(7),
        "it is reported ten seconds after the creation of the class"
    );
    world.reconcile(&space, script![]).await.unwrap();
    // The verdict follows, so that the class in force is the same as before.
    world.keep(&class());
    let status = provisioned_in(2);
    world.reconcile(&space, script![status_patch(&space, &status)]).await.unwrap();
}

/// The error of the validation of that class: a webhook of the cluster refuses its status.
fn is_frozen(class: &str) -> String {
    format!(
        "failed to write the status of SpaceClass {class}: admission webhook \"guard.example.com\" denied the request: it is frozen"
    )
}

#[tokio::test]
async fn a_new_space_reports_the_error_of_a_validation_and_is_admitted_once_the_class_is_validated() {
    let world = World::with("2026-03-02T08:00:01Z", &[made_again("2026-03-02T07:59:55Z")]);
    assert_eq!(
        world.reconcile(&fresh(), script![]).await.unwrap(),
        Action::await_change(),
        "a result or an error follows"
    );
    let error = is_frozen("greenhouse");
    assert!(world.store.put_validation_error("greenhouse".to_owned(), &error));
    assert_eq!(
        world.reconcile(&fresh(), script![]).await.unwrap(),
        seconds(4),
        "the class was created six seconds ago"
    );
    let world = world.later(MADE);
    let message = format!(
        "the operator has not validated the current spec of SpaceClass greenhouse yet: it {error}; the operator retries"
    );
    let mut status = refused("ClassNotAccepted", &message);
    status["expiresAt"] = Value::Null;
    world
        .reconcile(
            &fresh(),
            script![status_patch(&fresh(), &status), space_event("ClassNotAccepted").with_note(&message)],
        )
        .await
        .unwrap();
    let space = with_status(&fresh(), &status);
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), Action::await_change(), "it is written once");
    // The result follows.
    world.store.clear_validation_error("greenhouse");
    world.keep(&class());
    let add = with(&finalizer(), &json!({"metadata": {"resourceVersion": "101"}}));
    let held = patched(&space, &add, 102);
    let script = script![
        merge_patch(&space_path(), add).answered(held.clone()),
        make_namespace().made(NAMESPACE_UID),
        make_guards(),
        make_bindings(),
        status_patch(&held, &provisioned()),
        space_event("Provisioned"),
    ];
    world.reconcile(&space, script).await.unwrap();
}

/// The class that the space has stays in force.
#[tokio::test]
async fn a_space_that_is_to_be_moved_reports_the_error_of_a_validation() {
    let world = World::with(CALM, &everything());
    world.keep(&with(&made_again(CREATED), &json!({"metadata": {"name": "orchard", "uid": "uid-of-the-orchard"}})));
    let error = is_frozen("orchard");
    assert!(world.store.put_validation_error("orchard".to_owned(), &error));
    let space = edited(&converged(), &json!({"className": "orchard"}), 103);
    let message = format!(
        "the operator has not validated the current spec of SpaceClass orchard yet: it {error}; the operator retries; until then this \
         space stays in SpaceClass greenhouse"
    );
    let status = refused_since(2, "ClassNotAccepted", &message);
    world
        .reconcile(&space, script![status_patch(&space, &status), space_event("ClassNotAccepted").with_note(&message)])
        .await
        .unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_protected_name_is_refused() {
    let (path, about) =
        (format!("{SPACES}/monitoring/status"), event("NamespaceConflict", "DeveloperSpace", "monitoring"));
    let space = with(&fresh(), &json!({"metadata": {"name": "monitoring", "uid": uid("monitoring")}}));
    let message =
        "namespace monitoring is protected on this cluster: delete this DeveloperSpace and choose another name";
    let status = refused("NamespaceConflict", message);
    let script = script![merge_patch(&path, status_body(100, &status)).answered(with_status(&space, &status)), about];
    World::with(MADE, &[class()]).reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn a_space_whose_name_becomes_protected_keeps_its_namespace_and_is_maintained() {
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner")).protecting("orchid-*");
    let made = make(&owner_binding(), "uid-of-the-owner-binding");
    world.reconcile(&converged(), script![confirmed(), made]).await.unwrap();
    world.reconcile(&converged(), script![]).await.unwrap();
    let count = "developerspace_noncompliant_spaces{rule=\"name\"} 1";
    assert!(world.metrics.render().contains(count), "{}", world.metrics.render());
}

/// The space ends like any other, and its namespace is kept.
#[tokio::test]
async fn a_namespace_whose_name_became_protected_is_not_deleted_at_the_end() {
    let world = World::with(EXPIRES, &everything()).protecting("orchid-*");
    let message = "this DeveloperSpace has expired; namespace orchid-lab is not deleted, since its name is protected on this cluster";
    let mut status = expired(message, false, EXPIRES);
    // `Reconciling` was `False` before, too.
    status["conditions"][3]["lastTransitionTime"] = json!(MADE);
    status["namespace"] = json!({"name": SPACE, "uid": NAMESPACE_UID});
    world.reconcile(&warned(), script![status_patch(&warned(), &status), space_event("Expired")]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_is_going_away_is_waited_for() {
    let going = going(&stored_namespace(), CALM);
    let world = World::with(CALM, &[class(), going]);
    let message = "namespace orchid-lab is being deleted; it is recreated, empty, when its deletion is complete";
    let mut status = provisioned();
    status["conditions"] = conditions(
        1,
        &[
            (false, "NamespaceTerminating", message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "NamespaceTerminating", message, CALM),
            (false, "NamespaceTerminating", "", MADE),
        ],
    );
    world
        .reconcile(&converged(), script![status_patch(&converged(), &status), space_event("NamespaceTerminating")])
        .await
        .unwrap();
}

#[tokio::test]
async fn the_second_space_of_an_owner_waits_until_the_first_gives_up_its_place() {
    let mut world = World::with(MADE, &everything());
    world.keep(&with(&class(), &json!({"spec": {"maxSpacesPerOwner": 1}})));
    world.reconcile(&converged(), script![]).await.unwrap();
    let second = with(&fresh(), &json!({"metadata": {"name": "fern-lab", "uid": uid("fern-lab")}}));
    let message = "User:ada@example.com has reached maxSpacesPerOwner 1 of SpaceClass greenhouse: \
                   delete a space of this class, or use another class";
    let status = refused("OwnerLimitExceeded", message);
    let script = script![
        merge_patch(&format!("{SPACES}/fern-lab/status"), status_body(100, &status))
            .answered(with_status(&second, &status)),
        event("OwnerLimitExceeded", "DeveloperSpace", "fern-lab"),
    ];
    world.reconcile(&second, script).await.unwrap();
    assert_eq!(world.requeued().await, [""; 0]);
    let sealed = sealed();
    let mut world = world.later(EXPIRES);
    let script = script![
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"})),
        space_event("NamespaceDeleted")
    ];
    world.reconcile(&sealed, script).await.unwrap();
    assert_eq!(world.requeued().await, [""; 0], "the namespace is still there");
    world.store.mark_namespace_deleted(SPACE, &NAMESPACE_UID.into());
    let message = "this DeveloperSpace has expired, and namespace orchid-lab no longer exists; this object is kept until 2026-03-12T08:00:00Z";
    let mut status = expired(message, false, EXPIRES);
    status["namespace"] = Value::Null;
    world.reconcile(&sealed, script![status_patch(&sealed, &status)]).await.unwrap();
    assert_eq!(world.requeued().await, ["fern-lab"]);
}

#[tokio::test]
async fn a_space_that_goes_while_it_is_looked_at_keeps_no_place() {
    let world = World::with(MADE, &[with(&class(), &json!({"spec": {"maxSpacesPerOwner": 1}}))]);
    let first = Arc::new(read::<CachedSpace>(&fresh()));
    let goes = async |client| {
        let leave = async { world.attempts.record_deletion("orchid-lab", uid("orchid-lab")) };
        tokio::join!(reconcile_queued(first, world.context(client)), leave).0
    };
    play(script![merge_patch(&space_path(), finalizer()).refused(409, "Conflict")], goes).await.unwrap_err();
    let second = with(&fresh(), &json!({"metadata": {"name": "fern-lab", "uid": uid("fern-lab")}}));
    let is_let_in = script![merge_patch(&format!("{SPACES}/fern-lab"), finalizer()).refused(409, "Conflict")];
    world.reconcile(&second, is_let_in).await.unwrap_err();
}

fn undecodable() -> Value {
    with(&fresh(), &json!({"spec": {"owner": {"kind": "Robot"}}}))
}

#[tokio::test]
async fn an_undecodable_object_costs_one_read_and_one_status_write_and_then_only_the_read() {
    let world = World::with(MADE, &[class()]);
    let message = "the stored object cannot be read: Unknown variant Robot. Expected one of User, Group, ServiceAccount; \
                   correct it with kubectl edit; it is not reconciled until then";
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "InvalidSpec", "message": message,
            "observedGeneration": 1, "lastTransitionTime": MADE,
        })
    };
    let status = json!({"observedGeneration": 1, "conditions": [condition("Ready", "False"), condition("Reconciling", "False"), condition("Stalled", "True")]});
    let after = with_status(&undecodable(), &status);
    let script = script![get(&space_path()).answered(undecodable()), status_patch(&undecodable(), &status)];
    assert_eq!(world.reconcile(&undecodable(), script).await.unwrap(), Action::await_change());
    world.reconcile(&after, script![get(&space_path()).answered(after.clone())]).await.unwrap();
    let full = script![
        get(&space_path()).answered(undecodable()),
        status_patch(&undecodable(), &status).too_large(),
        remove_managed_fields(&undecodable()),
        status_patch(&without_managed_fields(&undecodable()), &status),
    ];
    World::with(MADE, &[class()]).reconcile(&undecodable(), full).await.unwrap();
}
