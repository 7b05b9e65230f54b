//! Too many spaces that wait for a place under the owner limit.

use chrono::{DateTime, Utc};
use developerspace_operator::{
    api::{DeveloperSpace, conditions::Reason},
    controller::{observe::observe, waiting_limit},
    desired::SpecRefusal,
};

use super::{moves::tight, support::api_server::play, *};

const AN_HOUR_LATER: &str = "2026-03-02T09:00:05Z";
const A_SECOND_BEFORE: &str = "2026-03-02T09:00:04Z";

fn named(name: &str) -> Value {
    with(&fresh(), &json!({"metadata": {"name": name, "uid": uid(name)}}))
}

fn older(number: usize) -> Value {
    let name = format!("moss-lab-{number}");
    with(&named(&name), &json!({"metadata": {"creationTimestamp": format!("2026-03-02T07:00:0{number}Z")}}))
}

/// One space has the place of its owner, and `waiting` older spaces wait, under two classes.
async fn crowd(now: &str, waiting: usize) -> World {
    let mut objects = everything();
    objects[0] = tight();
    let world = World::with(now, &objects);
    world.watchdog.record_response(None);
    world.reconcile(&converged(), script![]).await.unwrap();
    for number in 0..waiting {
        world.recall_waiting(&older(number), if number % 2 == 0 { "greenhouse" } else { "orchard" });
    }
    world
}

const WAITS: &str = "User:ada@example.com has reached maxSpacesPerOwner 1 of SpaceClass greenhouse: delete a space of this class, or use another class";

fn warned_of_deletion() -> Value {
    let warning = "; 10 older spaces of User:ada@example.com wait as well, which is the maximum, so this one is deleted after an hour";
    refused("OwnerLimitExceeded", &format!("{WAITS}{warning}"))
}

/// The space `fern-lab` after `status` was written.
fn waiting(status: &Value) -> Value {
    with_status(&named("fern-lab"), status)
}

fn fern_status(space: &Value, status: &Value) -> Call {
    merge_patch(&format!("{SPACES}/fern-lab/status"), status_body(version(space), status))
        .answered(with_status(space, status))
}

fn fern_event(reason: &str) -> Call {
    event(reason, "DeveloperSpace", "fern-lab")
}

fn delete_fern() -> Call {
    delete(&format!("{SPACES}/fern-lab"), &json!({"uid": uid("fern-lab"), "resourceVersion": "101"}))
}

/// The status of the eleventh space reports that it waits, and its hour has begun.
async fn eleven(now: &str) -> World {
    let world = crowd(now, 10).await;
    let status = warned_of_deletion();
    world
        .reconcile(
            &named("fern-lab"),
            script![fern_status(&named("fern-lab"), &status), fern_event("OwnerLimitExceeded")],
        )
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn the_eleventh_is_deleted_after_an_hour_and_not_before() {
    let world = eleven(MADE).await;
    let space = waiting(&warned_of_deletion());
    let world = world.later("2026-03-02T08:59:05Z");
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(60));
    let world = world.later(A_SECOND_BEFORE);
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(1));
    let world = world.later(AN_HOUR_LATER);
    let message = "this DeveloperSpace was deleted after an hour of waiting, since 10 older spaces of User:ada@example.com wait for a place as \
                   well: delete spaces that are not needed, and create it again";
    world.reconcile(&space, script![delete_fern(), fern_event("TooManyWaiting").with_note(message)]).await.unwrap();
    world.reconcile(&space, script![delete_fern().refused(404, "NotFound")]).await.unwrap();
}

#[tokio::test]
async fn the_tenth_waits_on() {
    let world = crowd(MADE, 9).await;
    let (space, status) = (named("fern-lab"), refused("OwnerLimitExceeded", WAITS));
    world.reconcile(&space, script![fern_status(&space, &status), fern_event("OwnerLimitExceeded")]).await.unwrap();
    let world = world.later("2026-03-04T12:00:00Z");
    assert_eq!(world.reconcile(&waiting(&status), script![]).await.unwrap(), seconds(600));
}

#[tokio::test]
async fn when_one_of_the_ten_goes_the_eleventh_waits_on() {
    let world = eleven(MADE).await;
    world.forget(&older(4));
    let world = world.later(AN_HOUR_LATER);
    let (space, status) = (waiting(&warned_of_deletion()), refused("OwnerLimitExceeded", WAITS));
    world.reconcile(&space, script![fern_status(&space, &status)]).await.unwrap();
    world.recall_waiting(&older(4), "greenhouse");
    let space = with_status(&space, &status);
    let again = warned_of_deletion();
    assert_eq!(
        world.reconcile(&space, script![fern_status(&space, &again)]).await.unwrap(),
        seconds(600),
        "the hour begins again"
    );
}

#[tokio::test]
async fn the_hour_begins_again_with_the_operator() {
    let world = crowd(AN_HOUR_LATER, 10).await;
    let space = waiting(&warned_of_deletion());
    world.recall_waiting(&space, "greenhouse");
    world.reconcile(&space, script![]).await.unwrap();
    let world = world.later("2026-03-02T10:00:04Z");
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(1));
    let world = world.later("2026-03-02T10:00:05Z");
    world.reconcile(&space, script![delete_fern(), fern_event("TooManyWaiting")]).await.unwrap();
}

#[tokio::test]
async fn the_clock_stands_while_the_class_is_refused() {
    let world = eleven(MADE).await;
    let space = waiting(&warned_of_deletion());
    let mut refused = tight();
    refused["status"]["accepted"] = refused["spec"].clone();
    refused["status"]["conditions"][0]["status"] = json!("False");
    refused["status"]["conditions"][0]["reason"] = json!("InvalidSpec");
    world.keep(&refused);
    let world = world.later(AN_HOUR_LATER);
    world.reconcile(&space, script![]).await.unwrap();
    world.keep(&tight());
    world.reconcile(&space, script![]).await.unwrap();
    let world = world.later("2026-03-02T10:00:04Z");
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(1));
}

#[tokio::test]
async fn the_clock_stands_while_the_class_is_missing() {
    let world = eleven(MADE).await;
    world.store.remove_class("greenhouse");
    let world = world.later(AN_HOUR_LATER);
    let message = "SpaceClass greenhouse does not exist: set spec.className to an existing class (there is none); existing objects stay unchanged";
    let (space, status) = (waiting(&warned_of_deletion()), refused("ClassNotFound", message));
    world.reconcile(&space, script![fern_status(&space, &status), fern_event("ClassNotFound")]).await.unwrap();
    world.keep(&tight());
    let (space, status) = (with_status(&space, &status), warned_of_deletion());
    world.reconcile(&space, script![fern_status(&space, &status), fern_event("OwnerLimitExceeded")]).await.unwrap();
    let world = world.later("2026-03-02T10:00:04Z");
    assert_eq!(world.reconcile(&with_status(&space, &status), script![]).await.unwrap(), seconds(1));
}

#[tokio::test]
async fn nothing_is_deleted_by_a_view_that_may_be_old() {
    let mut objects = everything();
    objects[0] = tight();
    let world = World::with(AN_HOUR_LATER, &objects);
    world.reconcile(&converged(), script![]).await.unwrap();
    for number in 0..10 {
        world.recall_waiting(&older(number), "greenhouse");
    }
    let space = waiting(&warned_of_deletion());
    world.reconcile(&space, script![]).await.unwrap();
    let world = world.later("2026-03-04T12:00:00Z");
    world.reconcile(&space, script![]).await.unwrap();
}

/// Returns the time at which `space` is deleted, an hour after its first reconcile; `None` if it is not deleted.
async fn deletion_of(space: &Value, namespace: Option<&Value>) -> Option<DateTime<Utc>> {
    let world = crowd(MADE, 10).await;
    if let Some(namespace) = namespace {
        world.keep(namespace);
    }
    world.recall_waiting(space, "greenhouse");
    let (space, refusal): (DeveloperSpace, _) = (read(space), SpecRefusal::new(Reason::OwnerLimitExceeded, "full"));
    let asked = async |client| {
        let ctx = world.context(client);
        waiting_limit::deletion(&space, &observe(&space, &ctx.io), &ctx, &refusal)
    };
    play(script![], asked).await
}

#[tokio::test]
async fn a_space_that_has_or_had_a_namespace_or_a_place_is_never_deleted() {
    let space = waiting(&warned_of_deletion());
    assert_eq!(deletion_of(&space, None).await, Some(AN_HOUR_LATER.parse().unwrap()));
    let made = with(
        &stored_namespace(),
        &json!({"metadata": {"name": "fern-lab", "annotations": {"developerspace.dev/space-uid": uid("fern-lab")}}}),
    );
    assert_eq!(deletion_of(&space, Some(&made)).await, None, "it was made and could not be recorded yet");
    let had =
        with(&space, &json!({"status": {"namespace": {"name": "fern-lab", "uid": "uid-of-a-namespace-that-is-gone"}}}));
    assert_eq!(deletion_of(&had, None).await, None);
    let admitted = json!({"className": "orchard", "owner": {"kind": "User", "name": "ada@example.com"}});
    assert_eq!(deletion_of(&with(&space, &json!({"status": admitted})), None).await, None, "it waits to move");
}

#[tokio::test]
async fn a_refused_deletion_is_told_once() {
    let world = eleven(MADE).await;
    let no = "it is protected";
    let message = format!("failed to delete DeveloperSpace fern-lab: {no}");
    let space = waiting(&warned_of_deletion());
    let mut status = refused("ApplyFailed", &message);
    status["conditions"] = conditions(
        1,
        &[
            (false, "ApplyFailed", &message, MADE),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "ApplyFailed", &message, AN_HOUR_LATER),
            (false, "ApplyFailed", "", AN_HOUR_LATER),
        ],
    );
    let world = world.later(AN_HOUR_LATER);
    let refused = || delete_fern().refused_with(403, "Forbidden", no);
    let result =
        world.reconcile(&space, script![refused(), fern_status(&space, &status), fern_event("ApplyFailed")]).await;
    assert_eq!(class_of(&result), Some(Class::Forbidden));
    let space = with_status(&space, &status);
    let again = delete(&format!("{SPACES}/fern-lab"), &json!({"uid": uid("fern-lab"), "resourceVersion": "102"}));
    let result = world.reconcile(&space, script![again.refused_with(403, "Forbidden", no)]).await;
    assert_eq!(class_of(&result), Some(Class::Forbidden));
}
