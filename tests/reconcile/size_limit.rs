//! Spaces whose owner has added managed fields until no write of the operator fits: they are removed, and the write is
//! sent once more.

use super::{
    deletion::{leaving, read_crd},
    expiry::{GONE, KEPT, delete_namespace, renewed_in_between},
    *,
};

const OWN: &str = "developerspace.dev/namespace";
const OTHER: &str = "example.com/other";

/// `space` with these finalizers.
fn with_finalizers(space: &Value, finalizers: &[&str]) -> Value {
    with(space, &json!({"metadata": {"finalizers": finalizers}}))
}

fn sealing() -> Value {
    expired(&being_deleted(), true, EXPIRES)
}

#[tokio::test]
async fn a_warning_that_does_not_fit_is_written_without_the_managed_fields() {
    let (status, emptied) = (warned_of("1d", WARNED_A_DAY_BEFORE), without_managed_fields(&converged()));
    let script = script![
        status_patch(&converged(), &status).too_large(),
        remove_managed_fields(&converged()),
        status_patch(&emptied, &status),
        space_event("Expiring"),
        namespace_event("Expiring"),
    ];
    let world = World::with(WARNED_A_DAY_BEFORE, &everything());
    world.reconcile(&converged(), script).await.unwrap();
    world.reconcile(&with_status(&emptied, &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_seal_that_does_not_fit_is_written_without_the_managed_fields_and_the_end_is_on_time() {
    let script = script![
        status_patch(&warned(), &sealing()).too_large(),
        remove_managed_fields(&warned()),
        status_patch(&without_managed_fields(&warned()), &sealing()),
        space_event("Expired"),
        delete_namespace(),
        space_event("NamespaceDeleted"),
    ];
    assert!(World::with(EXPIRES, &everything()).end(&warned(), script).await.unwrap());
}

/// The removal and the second seal have the version of the decision as their precondition.
#[tokio::test]
async fn a_renewal_before_the_removal_or_after_it_is_honoured() {
    let second = status_patch(&without_managed_fields(&warned()), &sealing()).refused(409, "Conflict");
    for lost in [
        script![remove_managed_fields(&warned()).refused(409, "Conflict")],
        script![remove_managed_fields(&warned()), second],
    ] {
        let mut script = script![status_patch(&warned(), &sealing()).too_large()];
        script.extend(lost);
        script.extend(renewed_in_between());
        World::with(EXPIRES, &everything()).reconcile(&warned(), script).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_is_sent_once_more_and_only_after_the_removal() {
    let second = status_patch(&without_managed_fields(&warned()), &sealing()).too_large();
    for (script, class) in [
        (script![remove_managed_fields(&warned()), second], Class::Transient),
        (script![remove_managed_fields(&warned()).refused(403, "Forbidden")], Class::Forbidden),
    ] {
        let mut calls = script![status_patch(&warned(), &sealing()).too_large()];
        calls.extend(script);
        let result = World::with(EXPIRES, &everything()).reconcile(&warned(), calls).await;
        assert_eq!(class_of(&result), Some(class));
    }
}

#[tokio::test]
async fn a_space_that_was_created_full_gets_its_finalizer_and_its_status() {
    let emptied = without_managed_fields(&fresh());
    let patch = with(&finalizer(), &json!({"metadata": {"resourceVersion": "101"}}));
    let held = patched(&emptied, &patch, 102);
    let script = script![
        add_finalizer().too_large(),
        remove_managed_fields(&fresh()),
        merge_patch(&space_path(), patch).answered(held.clone()),
        make_namespace().made(NAMESPACE_UID),
        make_guards(),
        make_bindings(),
        status_patch(&held, &provisioned()).too_large(),
        remove_managed_fields(&held),
        status_patch(&without_managed_fields(&held), &provisioned()),
        space_event("Provisioned"),
    ];
    World::with(MADE, &[class()]).reconcile(&fresh(), script).await.unwrap();
}

/// The API server stores the time of the deletion in a space that has a finalizer.
#[tokio::test]
async fn a_space_that_is_too_large_to_be_deleted_is_deleted_without_the_managed_fields() {
    let mut status = expired(KEPT, false, GONE);
    status["namespace"] = Value::Null;
    let kept = with_status(&sealed(), &status);
    let removal = |version: &str| delete(&space_path(), &json!({"uid": uid(SPACE), "resourceVersion": version}));
    let script = script![removal("112").too_large(), remove_managed_fields(&kept), removal("113")];
    World::with("2026-03-12T08:01:00Z", &[class()]).reconcile(&kept, script).await.unwrap();
}

#[tokio::test]
async fn a_finalizer_whose_removal_does_not_fit_is_removed_without_the_managed_fields() {
    let removal = |space: &Value| {
        let version = &space["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": version, "finalizers": []}});
        merge_patch(&space_path(), patch).answered(space.clone())
    };
    let script = script![
        read_crd(),
        get(&namespace_path()).refused(404, "NotFound"),
        removal(&leaving()).too_large(),
        remove_managed_fields(&leaving()),
        removal(&without_managed_fields(&leaving())),
        space_event("Deleted"),
    ];
    World::with(CALM, &[class()]).reconcile(&leaving(), script).await.unwrap();
}

/// Without the policies, an owner can write a finalizer any number of times, and a `generateName` of any length.
#[tokio::test]
async fn duplicates_of_finalizers_and_the_generate_name_are_removed_with_the_managed_fields() {
    let prefixed = with(&warned(), &json!({"metadata": {"generateName": "orchid-"}}));
    let full = with_finalizers(&prefixed, &[OWN, OTHER, OWN, OTHER]);
    let emptied = with_finalizers(&without_managed_fields(&full), &[OWN, OTHER]);
    let removal = json!({"metadata": {
        "uid": uid(SPACE), "resourceVersion": "110", "managedFields": [{}], "generateName": null,
        "finalizers": [OWN, OTHER],
    }});
    let script = script![
        status_patch(&full, &sealing()).too_large(),
        merge_patch(&space_path(), removal).answered(emptied.clone()),
        status_patch(&emptied, &sealing()),
        space_event("Expired"),
        delete_namespace(),
        space_event("NamespaceDeleted"),
    ];
    assert!(World::with(EXPIRES, &everything()).end(&full, script).await.unwrap());
}

/// Otherwise, the write after the removal would add them again.
#[tokio::test]
async fn a_write_of_the_finalizers_contains_no_duplicates() {
    let lost = with_finalizers(&converged(), &[OTHER, OTHER]);
    let patch = json!({"metadata": {"resourceVersion": "102", "finalizers": [OTHER, OWN]}});
    let script = script![merge_patch(&space_path(), patch.clone()).answered(patched(&lost, &patch, 103))];
    World::with(CALM, &everything()).reconcile(&lost, script).await.unwrap();

    let held = with_finalizers(&leaving(), &[OTHER, OWN, OTHER]);
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": "102", "finalizers": [OTHER]}});
    let script = script![
        read_crd(),
        get(&namespace_path()).refused(404, "NotFound"),
        merge_patch(&space_path(), patch.clone()).answered(patched(&held, &patch, 103)),
        space_event("Deleted"),
    ];
    World::with(CALM, &[class()]).reconcile(&held, script).await.unwrap();
}
