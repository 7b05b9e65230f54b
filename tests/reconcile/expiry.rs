//! The end of a space: warnings, the seal, the deletion of the namespace, and the deletion of the space after its
//! retention.

use developerspace_operator::controller::worker::is_logged;

use super::{support::api_server::play, *};

pub(crate) const KEPT: &str = "this DeveloperSpace has expired, and namespace orchid-lab no longer exists; this object is kept until 2026-03-12T08:01:00Z";
pub(crate) const GONE: &str = "2026-03-09T08:01:00Z";

pub(crate) fn seal() -> Call {
    status_patch(&warned(), &expired(&being_deleted(), true, EXPIRES))
}

pub(crate) fn delete_namespace() -> Call {
    delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
        .answered(going(&stored_namespace(), EXPIRES))
}

fn no_namespace() -> Call {
    get(&namespace_path()).refused(404, "NotFound")
}

fn two_more_are_due(world: &World) {
    for space in [1, 2] {
        world.watchdog.set_expiry(space, Some(EXPIRES.parse().unwrap()));
    }
}

pub(crate) const TWO_MINUTES: Duration = Duration::from_secs(120);

/// The time for which an end is overdue, and for which one is unprocessed, two minutes after [`EXPIRES`].
pub(crate) fn lateness(world: &World) -> (Duration, Duration) {
    let ages = world.watchdog.ages("2026-03-09T08:02:00Z".parse().unwrap());
    (ages.overdue, ages.unprocessed)
}

#[tokio::test]
async fn a_warning_is_told_in_the_status_on_the_space_and_inside_the_namespace() {
    let a_day_before = warned_of("1d", WARNED_A_DAY_BEFORE);
    let world = World::with(WARNED_A_DAY_BEFORE, &everything());
    let script =
        script![status_patch(&converged(), &a_day_before), space_event("Expiring"), namespace_event("Expiring")];
    world.reconcile(&converged(), script).await.unwrap();
    let (space, world) = (with_status(&converged(), &a_day_before), world.later(WARNED_AN_HOUR_BEFORE));
    let script = script![status_patch(&space, &expiring()), space_event("Expiring"), namespace_event("Expiring")];
    world.reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn a_due_space_is_sealed_with_the_version_that_was_seen_and_only_then_its_namespace_deleted_by_uid() {
    let world = World::with(EXPIRES, &everything());
    let script = script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")];
    world.reconcile(&warned(), script).await.unwrap();
}

#[tokio::test]
async fn nothing_is_sealed_a_second_before_its_time() {
    let world = World::with("2026-03-09T07:59:59Z", &everything());
    assert_eq!(world.reconcile(&warned(), script![]).await.unwrap(), Action::requeue(Duration::from_millis(800)));
}

/// The status of the space, sealed shortly before its end.
pub(crate) fn sealed_early() -> Value {
    let mut status = expired(&being_deleted(), true, EXPIRES);
    for condition in status["conditions"].as_array_mut().unwrap() {
        if condition["lastTransitionTime"] == EXPIRES {
            condition["lastTransitionTime"] = json!("2026-03-09T07:59:59Z");
        }
    }
    status
}

#[tokio::test]
async fn a_space_is_sealed_shortly_before_its_end_and_its_namespace_deleted_at_its_end() {
    let world = World::with("2026-03-09T07:59:59.900Z", &everything());
    let status = sealed_early();
    let script = script![status_patch(&warned(), &status), space_event("Expired")];
    world.reconcile(&warned(), script).await.unwrap();
    let sealed = with_status(&warned(), &status);
    let wait = Action::requeue(Duration::from_millis(100));
    let world = world.later("2026-03-09T07:59:59.900Z");
    assert_eq!(world.reconcile(&sealed, script![]).await.unwrap(), wait, "nothing is deleted before the end");
    let world = world.later(EXPIRES);
    world.reconcile(&sealed, script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap();
}

#[tokio::test]
async fn the_end_does_not_wait_for_the_operators_own_seal_to_come_back() {
    let world = World::with("2026-03-09T07:59:59.900Z", &everything());
    let status = sealed_early();
    assert!(world.end(&warned(), script![status_patch(&warned(), &status), space_event("Expired")]).await.unwrap());
    let world = world.later(EXPIRES);
    assert!(
        world.end(&warned(), script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap(),
        "this copy is from before the seal"
    );
}

/// The operator keeps the response to its early seal, and to no other write.
#[tokio::test]
async fn the_end_waits_for_another_write_to_come_back_and_no_longer() {
    let world = World::with("2026-03-09T07:59:59.900Z", &everything());
    let status = sealed_early();
    world.reconcile(&warned(), script![status_patch(&warned(), &status), space_event("Expired")]).await.unwrap();
    let later = patched(
        &with_status(&warned(), &status),
        &json!({"metadata": {"annotations": {"example.com/note": "a note"}}}),
        500,
    );
    let world = world.later(EXPIRES);
    world.attempts.record_write(SPACE, 500);
    assert!(!world.end(&warned(), script![]).await.unwrap(), "neither this copy nor the seal is the latest");
    assert!(world.end(&later, script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap());
}

/// The space after a renewal a second before its end, and the status that reports it.
fn renewed() -> (Value, Value) {
    let (now, until) = ("2026-03-09T07:59:59Z", "2026-03-16T07:59:59Z");
    let renewed = edited(&warned(), &json!({"renewedAt": now}), 120);
    let mut status = provisioned_in(2);
    (status["expiresAt"], status["renewals"], status["lastRenewedAt"]) = (json!(until), json!(1), json!(now));
    status["conditions"][1] = with(&status["conditions"][1], &json!({"lastTransitionTime": EXPIRES}));
    (renewed, status)
}

/// The calls after a seal that came after a renewal, which counts.
pub(crate) fn renewed_in_between() -> Vec<Step> {
    let (renewed, status) = renewed();
    let [live, written] = warnings::show(&stored_namespace(), &status["expiresAt"], 61);
    script![
        get(&space_path()).answered(renewed.clone()),
        live,
        written,
        status_patch(&renewed, &status),
        space_event("Renewed")
    ]
}

/// The renewal was accepted before the seal, so it counts.
#[tokio::test]
async fn a_seal_that_meets_a_renewal_deletes_nothing_and_the_renewal_is_honoured() {
    let mut script = script![seal().refused(409, "Conflict")];
    script.extend(renewed_in_between());
    World::with(EXPIRES, &everything()).reconcile(&warned(), script).await.unwrap();
}

/// `space` after another client wrote an annotation of it.
fn annotated(space: &Value, version: u64) -> Value {
    patched(space, &json!({"metadata": {"annotations": {"example.com/note": version.to_string()}}}), version)
}

/// The calls that write `status` while another client writes an annotation before each of these writes, and the space
/// after the last annotation.
fn overtaken(space: &Value, status: &Value, times: u64) -> (Vec<Step>, Value) {
    let (mut calls, mut space) = (Vec::new(), space.clone());
    for _ in 0..times {
        let next = annotated(&space, version(&space) + 10);
        calls.extend(script![
            status_patch(&space, status).refused(409, "Conflict"),
            get(&space_path()).answered(next.clone())
        ]);
        space = next;
    }
    (calls, space)
}

#[tokio::test]
async fn a_seal_that_annotations_overtake_is_written_without_a_wait() {
    let world = World::with(EXPIRES, &everything());
    let status = expired(&being_deleted(), true, EXPIRES);
    let (mut calls, space) = overtaken(&warned(), &status, 6);
    calls.extend(script![
        status_patch(&space, &status),
        space_event("Expired"),
        delete_namespace(),
        space_event("NamespaceDeleted")
    ]);
    assert!(world.end(&warned(), calls).await.unwrap());
}

/// The end counts from the warning.
#[tokio::test]
async fn a_warning_that_annotations_overtake_is_written_without_a_wait() {
    let world = World::with(WARNED_A_DAY_BEFORE, &everything());
    let status = warned_of("1d", WARNED_A_DAY_BEFORE);
    let (mut calls, space) = overtaken(&converged(), &status, 6);
    calls.extend(script![status_patch(&space, &status), space_event("Expiring"), namespace_event("Expiring")]);
    world.reconcile(&converged(), calls).await.unwrap();
}

/// A space whose first warning is due, and whose step fails for another reason, so that only the report of the failure
/// contains the warning. Returns the status that the report writes, and the calls before it.
fn failing_while_a_warning_is_due() -> (World, Value, Vec<Step>) {
    let world = World::with(WARNED_A_DAY_BEFORE, &everything_but("RoleBinding", "developerspace-owner"));
    let message = "failed to create RoleBinding developerspace-owner in orchid-lab: the server says Forbidden";
    let mut status = warned_of("1d", WARNED_A_DAY_BEFORE);
    for (number, is, text) in [(0, "False", message), (3, "True", message), (4, "False", "")] {
        let since = if number == 4 { MADE } else { WARNED_A_DAY_BEFORE };
        let condition = &mut status["conditions"][number];
        (condition["status"], condition["reason"], condition["message"]) =
            (json!(is), json!("ApplyFailed"), json!(text));
        condition["lastTransitionTime"] = json!(since);
    }
    (
        world,
        status,
        script![confirmed(), post(&children_path("RoleBinding"), owner_binding()).refused(403, "Forbidden")],
    )
}

#[tokio::test]
async fn a_warning_in_the_report_of_a_failure_is_written_although_annotations_overtake_it() {
    let (world, status, mut calls) = failing_while_a_warning_is_due();
    let (overtaken, space) = overtaken(&converged(), &status, 6);
    calls.extend(overtaken);
    calls.extend(script![
        status_patch(&space, &status),
        space_event("Expiring"),
        namespace_event("Expiring"),
        space_event("ApplyFailed")
    ]);
    assert_eq!(class_of(&world.reconcile(&converged(), calls).await), Some(Class::Forbidden));
}

#[tokio::test]
async fn a_report_of_a_failure_is_written_as_often_as_a_seal() {
    let (world, status, mut calls) = failing_while_a_warning_is_due();
    let (overtaken, space) = overtaken(&converged(), &status, 49);
    calls.extend(overtaken);
    calls.extend(script![status_patch(&space, &status).refused(409, "Conflict")]);
    assert_eq!(class_of(&world.reconcile(&converged(), calls).await), Some(Class::Forbidden));
}

#[tokio::test]
async fn a_seal_that_is_overtaken_every_time_ends_the_attempt() {
    let world = World::with(EXPIRES, &everything());
    let status = expired(&being_deleted(), true, EXPIRES);
    let (mut calls, space) = overtaken(&warned(), &status, 49);
    calls.extend(script![status_patch(&space, &status).refused(409, "Conflict")]);
    let error = world.reconcile(&warned(), calls).await.unwrap_err();
    let sentence = "failed to write DeveloperSpace orchid-lab: other clients changed it before each of 50 attempts; the operator retries";
    assert_eq!((error.sentence().as_str(), error.retry_after(9)), (sentence, Duration::from_secs(1)));
    let logged = async |client| {
        let ctx = world.context(client);
        [(); 3].map(|()| is_logged(&ctx, SPACE, &error))
    };
    assert_eq!(play(script![], logged).await, [true, false, false], "once a minute");
}

#[tokio::test]
async fn a_conflict_about_the_latest_version_or_about_another_space_is_no_race() {
    let another = with(&annotated(&warned(), 120), &json!({"metadata": {"uid": uid("a-later-lab")}}));
    for read in [
        get(&space_path()).answered(warned()),
        get(&space_path()).answered(another),
        get(&space_path()).refused(404, "NotFound"),
    ] {
        let world = World::with(EXPIRES, &everything());
        let result = world.reconcile(&warned(), script![seal().refused(409, "Conflict"), read]).await;
        assert_eq!(class_of(&result), Some(Class::Conflict));
    }
}

#[tokio::test]
async fn an_unwarned_space_is_warned_and_its_end_moves_by_the_notice() {
    let world = World::with(EXPIRES, &everything());
    let moved = "2026-03-09T09:00:00Z";
    let message = "namespace orchid-lab and everything in it is deleted at 2026-03-09T09:00:00Z (warned 1h before); \
                   to renew, set spec.renewedAt to the current time";
    let mut status = provisioned();
    status["expiresAt"] = json!(moved);
    status["lastWarning"] = json!({"at": EXPIRES, "before": "1h", "expiresAt": EXPIRES});
    status["conditions"][1] = json!({
        "type": "Expiring", "status": "True", "reason": "WarningGiven", "message": message,
        "observedGeneration": 1, "lastTransitionTime": EXPIRES,
    });
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "labels": {}, "annotations": {"developerspace.dev/expires-at": moved}}});
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        merge_patch(&namespace_path(), patch.clone()).answered(patched(&stored_namespace(), &patch, 62)),
        status_patch(&converged(), &status),
        space_event("Expiring"),
        namespace_event("Expiring"),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_seal_that_was_cut_short_is_finished_by_the_uid_in_the_status() {
    let world = World::with("2026-03-09T08:00:07Z", &everything());
    world.reconcile(&sealed(), script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap();
    world.reconcile(&sealed(), script![]).await.unwrap();
}

#[tokio::test]
async fn what_holds_the_namespace_of_an_expired_space_is_shown() {
    let held =
        with(&going(&stored_namespace(), EXPIRES), &json!({"metadata": {"finalizers": ["example.com/volumes"]}}));
    let message = format!(
        "{}: the Namespace has the finalizers example.com/volumes; each one is removed by its controller, or by an administrator",
        being_deleted()
    );
    let world = World::with("2026-03-09T08:00:07Z", &[class(), held]);
    let status = expired(&message, true, EXPIRES);
    let refused = status_patch(&sealed(), &status).refused(403, "Forbidden");
    assert_eq!(class_of(&world.reconcile(&sealed(), script![refused]).await), Some(Class::Forbidden));
    assert_eq!(lateness(&world), (Duration::ZERO, Duration::ZERO), "the namespace was deleted in time");
    world.reconcile(&sealed(), script![status_patch(&sealed(), &status)]).await.unwrap();
    world.reconcile(&with_status(&sealed(), &status), script![]).await.unwrap();
}

#[tokio::test]
async fn the_namespace_that_took_the_place_of_the_expired_one_is_left_alone() {
    let restored = with(&stored_namespace(), &json!({"metadata": {"uid": "uid-of-the-restored-namespace"}}));
    let kept = "this DeveloperSpace has expired, and another namespace orchid-lab exists, which does not belong to this DeveloperSpace and is \
                left unchanged; this object is kept until 2026-03-12T08:01:00Z";
    for theirs in [foreign_namespace(), restored] {
        let world = World::with(GONE, &[class(), theirs.clone()]);
        let mut status = expired(kept, false, GONE);
        status["namespace"] = Value::Null;
        let script = script![get(&namespace_path()).answered(theirs), status_patch(&sealed(), &status)];
        world.reconcile(&sealed(), script).await.unwrap();
        world.reconcile(&with_status(&sealed(), &status), script![]).await.unwrap();
    }
}

#[tokio::test]
async fn a_seal_reports_the_state_of_the_namespace_that_the_status_records() {
    let unrecorded = with(&warned(), &json!({"status": {"namespace": null}}));
    let another =
        "another namespace orchid-lab exists, which does not belong to this DeveloperSpace and is left unchanged";
    for (space, theirs, fate) in [
        (warned(), None, "namespace orchid-lab no longer exists"),
        (warned(), Some(foreign_namespace()), another),
        (unrecorded.clone(), None, "it had no namespace"),
        (unrecorded, Some(foreign_namespace()), "it had no namespace"),
    ] {
        let world = World::with(EXPIRES, &[&[class()][..], theirs.as_slice()].concat());
        let read = theirs.map_or_else(no_namespace, |theirs| get(&namespace_path()).answered(theirs));
        let mut status = expired(&format!("this DeveloperSpace has expired; {fate}"), false, EXPIRES);
        // `Reconciling` was `False` before, too.
        status["conditions"][3]["lastTransitionTime"] = json!(MADE);
        status["namespace"] = Value::Null;
        world.reconcile(&space, script![read, status_patch(&space, &status), space_event("Expired")]).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_space_whose_namespace_is_gone_is_told_and_later_deleted_with_uid_and_version() {
    let world = World::with(GONE, &[class()]);
    let mut status = expired(KEPT, false, GONE);
    status["namespace"] = Value::Null;
    let kept = with_status(&sealed(), &status);
    assert_eq!(
        world.reconcile(&sealed(), script![no_namespace(), status_patch(&sealed(), &status)]).await.unwrap(),
        seconds(600)
    );
    let world = world.later("2026-03-12T08:00:59Z");
    assert_eq!(world.reconcile(&kept, script![]).await.unwrap(), seconds(1));
    let world = world.later("2026-03-12T08:01:00Z");
    let preconditions = json!({"uid": uid(SPACE), "resourceVersion": "112"});
    world.reconcile(&kept, script![delete(&space_path(), &preconditions)]).await.unwrap();
}

#[tokio::test]
async fn while_the_time_of_many_is_up_what_became_of_one_is_told_later_but_not_much_later() {
    let world = World::with(GONE, &[class()]);
    two_more_are_due(&world);
    assert_eq!(world.reconcile(&sealed(), script![]).await.unwrap(), seconds(60));
    let mut status = expired(KEPT, false, GONE);
    status["namespace"] = Value::Null;
    world.watchdog.set_expiry(2, None);
    assert_eq!(
        world.reconcile(&sealed(), script![no_namespace(), status_patch(&sealed(), &status)]).await.unwrap(),
        seconds(600)
    );

    let five_minutes = "2026-03-09T08:05:00Z";
    let world = World::with(five_minutes, &[class()]);
    two_more_are_due(&world);
    let mut status = expired(&KEPT.replace("08:01", "08:05"), false, five_minutes);
    status["namespace"] = Value::Null;
    world.reconcile(&sealed(), script![no_namespace(), status_patch(&sealed(), &status)]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_was_seen_to_go_is_not_read_again() {
    let world = World::with(GONE, &[class()]);
    world.store.mark_namespace_deleted("orchid-lab", &NAMESPACE_UID.into());
    let mut status = expired(KEPT, false, GONE);
    status["namespace"] = Value::Null;
    world.reconcile(&sealed(), script![status_patch(&sealed(), &status)]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_the_store_does_not_show_yet_is_not_given_up() {
    for (space, now, what_follows) in [
        (sealed(), GONE, script![delete_namespace(), space_event("NamespaceDeleted")]),
        (
            warned(),
            EXPIRES,
            script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")],
        ),
    ] {
        let world = World::with(now, &[class()]);
        let script = script![get(&namespace_path()).answered(stored_namespace())];
        assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Conflict));
        world.reconcile(&space, what_follows).await.unwrap();
    }
}

#[tokio::test]
async fn no_seal_and_no_deletion_gives_way() {
    let world = World::with(EXPIRES, &everything());
    two_more_are_due(&world);
    let script = script![seal(), space_event("Expired"), delete_namespace(), space_event("NamespaceDeleted")];
    world.reconcile(&warned(), script).await.unwrap();
    let world = World::with("2026-03-09T08:00:07Z", &everything());
    two_more_are_due(&world);
    world.reconcile(&sealed(), script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_changed_is_deleted_as_it_is_now_and_one_that_gc_deleted_first_is_left_to_go() {
    let changed = with(&stored_namespace(), &json!({"metadata": {"resourceVersion": "60"}}));
    let again = delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "60"}))
        .answered(going(&changed, EXPIRES));
    let script = script![
        delete_namespace().refused(409, "Conflict"),
        get(&namespace_path()).answered(changed.clone()),
        again,
        space_event("NamespaceDeleted"),
    ];
    World::with(EXPIRES, &everything()).reconcile(&sealed(), script).await.unwrap();
    let first =
        script![delete_namespace().refused(409, "Conflict"), get(&namespace_path()).answered(going(&changed, EXPIRES))];
    World::with(EXPIRES, &everything()).reconcile(&sealed(), first).await.unwrap();
    let another = with(&changed, &json!({"metadata": {"uid": "uid-of-another-namespace"}}));
    let script = script![delete_namespace().refused(409, "Conflict"), get(&namespace_path()).answered(another)];
    World::with(EXPIRES, &everything()).reconcile(&sealed(), script).await.unwrap();
}

/// An administrator may rescue the namespace of a sealed space by handing it over to a new space.
#[tokio::test]
async fn a_namespace_that_went_to_another_space_in_between_is_not_deleted() {
    for annotations in [
        json!({"developerspace.dev/adopt": "orchid-lab/uid-of-a-later-space"}),
        json!({"developerspace.dev/space-uid": "uid-of-a-later-space"}),
    ] {
        let adopted =
            with(&stored_namespace(), &json!({"metadata": {"resourceVersion": "60", "annotations": annotations}}));
        let script = script![delete_namespace().refused(409, "Conflict"), get(&namespace_path()).answered(adopted)];
        let result = World::with(EXPIRES, &everything()).reconcile(&sealed(), script).await;
        assert_eq!(class_of(&result), Some(Class::Conflict), "{annotations}");
    }
}

#[tokio::test]
async fn a_refused_deletion_of_an_expired_namespace_is_told_and_overdue_until_it_is_accepted() {
    let later = "2026-03-09T08:02:00Z";
    let world = World::with(later, &everything());
    let says_no = "namespaces \"orchid-lab\" is forbidden: ValidatingAdmissionPolicy 'volumes-first' denied request: it has volumes";
    let refused = || delete_namespace().refused_with(403, "Forbidden", says_no);
    let message = format!(
        "this DeveloperSpace has expired, and its cleanup waits: failed to delete namespace orchid-lab: {says_no}"
    );
    let status = expired(&message, true, EXPIRES);
    assert_eq!(
        class_of(&world.reconcile(&sealed(), script![refused(), status_patch(&sealed(), &status)]).await),
        Some(Class::Forbidden)
    );
    let overdue = || world.watchdog.ages(later.parse().unwrap()).overdue;
    assert_eq!(overdue(), Duration::from_secs(120));
    let space = with_status(&sealed(), &status);
    assert_eq!(class_of(&world.reconcile(&space, script![refused()]).await), Some(Class::Forbidden));
    assert_eq!(overdue(), Duration::from_secs(120));
    world.reconcile(&space, script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap();
    assert_eq!(overdue(), Duration::ZERO);
}

/// The record of a refusal stays while the next attempt runs. An attempt that does not end is no refusal.
#[tokio::test]
async fn a_refused_deletion_is_overdue_during_the_next_attempt_and_unprocessed_if_that_does_not_end() {
    let world = World::with("2026-03-09T08:02:00Z", &everything());
    let refused = script![delete_namespace().refused(500, "InternalError")];
    assert_eq!(class_of(&world.reconcile(&sealed(), refused).await), Some(Class::Transient));
    assert_eq!(lateness(&world), (TWO_MINUTES, Duration::ZERO));
    tokio::time::pause();
    tokio::time::timeout(Duration::from_secs(1), world.reconcile_without_answers(&sealed())).await.unwrap_err();
    assert_eq!(lateness(&world), (TWO_MINUTES, Duration::ZERO));
    let unanswered = world.reconcile_without_answers(&sealed()).await;
    assert!(matches!(unanswered, Err(Error::Deadline(_))), "{unanswered:?}");
    assert_eq!(lateness(&world), (TWO_MINUTES, TWO_MINUTES));
    tokio::time::resume();
    world.reconcile(&sealed(), script![delete_namespace(), space_event("NamespaceDeleted")]).await.unwrap();
    assert_eq!(lateness(&world), (Duration::ZERO, Duration::ZERO));
}

/// The API server may have stored the seal.
#[tokio::test]
async fn a_seal_without_a_readable_response_is_unprocessed() {
    let world = World::with(EXPIRES, &everything());
    for (seal, class, unprocessed) in [
        (seal().refused(403, "Forbidden"), Class::Forbidden, Duration::ZERO),
        (seal().answered(json!("cut off")), Class::Transient, TWO_MINUTES),
        (seal().refused(403, "Forbidden"), Class::Forbidden, Duration::ZERO),
    ] {
        let result = world.reconcile(&warned(), script![seal]).await;
        assert_eq!((class_of(&result), lateness(&world)), (Some(class), (TWO_MINUTES, unprocessed)));
    }
}

#[tokio::test]
async fn a_seal_that_is_refused_is_overdue() {
    let world = World::with(EXPIRES, &everything());
    let result = world.reconcile(&warned(), script![seal().refused(403, "Forbidden")]).await;
    assert_eq!((class_of(&result), lateness(&world)), (Some(Class::Forbidden), (TWO_MINUTES, Duration::ZERO)));
    // The renewal ends the delay, although another write is refused.
    let (renewed, status) = renewed();
    let [live, written] = warnings::show(&stored_namespace(), &status["expiresAt"], 61);
    let result = world
        .reconcile(&renewed, script![live, written, status_patch(&renewed, &status).refused(403, "Forbidden")])
        .await;
    assert_eq!((class_of(&result), lateness(&world)), (Some(Class::Forbidden), (Duration::ZERO, Duration::ZERO)));
}

/// The API server would drop a part of the status, such as a notice that the next decision depends on.
#[tokio::test]
async fn no_space_is_written_while_a_crd_lacks_fields() {
    let world = World::with(EXPIRES, &everything()).with_old_crds();
    assert_eq!(world.reconcile(&warned(), script![]).await.unwrap(), seconds(15));
    assert!(world.end(&warned(), script![]).await.unwrap(), "the queue reconciles it later");
}

/// Another client has replaced the CRD by an older version since the operator last read it.
#[tokio::test]
async fn no_space_is_written_once_the_api_server_has_dropped_a_field() {
    let world = World::with(WARNED_A_DAY_BEFORE, &everything());
    let status = warned_of("1d", WARNED_A_DAY_BEFORE);
    let dropped = with(&with_status(&converged(), &status), &json!({"status": {"terms": null}}));
    let script = script![
        status_patch(&converged(), &status).answered(dropped.clone()),
        space_event("Expiring"),
        namespace_event("Expiring")
    ];
    world.reconcile(&converged(), script).await.unwrap();
    let world = world.later(WARNED_AN_HOUR_BEFORE);
    assert_eq!(world.reconcile(&dropped, script![]).await.unwrap(), seconds(15));
}
