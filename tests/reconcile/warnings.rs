//! The warnings that count, and the ends that are overdue while a warning cannot be written.

use super::*;

const MEANWHILE: &str = "2026-03-09T07:30:00Z";
const AFTERWARDS: &str = "2026-03-10T12:00:00Z";
const ANNOUNCED: &str = "2026-03-10T13:00:00Z";

/// The calls that write the end to the annotation of `namespace`.
pub(crate) fn show(namespace: &Value, end: &Value, version: u64) -> [Step; 2] {
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "labels": {}, "annotations": {"developerspace.dev/expires-at": end}}});
    let written = merge_patch(&namespace_path(), patch.clone()).answered(patched(namespace, &patch, version));
    [get(&namespace_path()).answered(namespace.clone()).into(), written.into()]
}

fn shown(namespace: &Value, end: &Value, version: u64) -> Value {
    patched(namespace, &json!({"metadata": {"annotations": {"developerspace.dev/expires-at": end}}}), version)
}

/// The condition `Expiring`. `warned_of` is the announced end, or `None` if no warning is in effect.
fn expiring_since(generation: i64, warned_of: Option<&str>, since: &str) -> Value {
    let message = warned_of.map_or_else(String::new, |end| {
        format!(
            "namespace orchid-lab and everything in it is deleted at {end} (warned 1h before); to renew, set spec.renewedAt to the current time"
        )
    });
    let (status, reason) = if warned_of.is_some() { ("True", "WarningGiven") } else { ("False", "NotYet") };
    json!({
        "type": "Expiring", "status": status, "reason": reason, "message": message, "observedGeneration": generation, "lastTransitionTime": since,
    })
}

/// `spec` and `class_spec` move the end of a warned space to `end` (null: no end) until `back` reverts the change. The
/// space is then warned again.
async fn is_warned_again(spec: &Value, back: &Value, class_spec: &Value, end: Value) {
    let world = World::with(MEANWHILE, &everything());
    world.keep(&with(&class(), &json!({"spec": class_spec})));
    let space = edited(&warned(), spec, 120);
    let mut status = provisioned_in(2);
    status["expiresAt"] = end.clone();
    status["terms"]["protected"] = spec["protected"].clone();
    let ttl = if spec["ttl"].is_null() { &class_spec["lifetime"]["defaultTTL"] } else { &spec["ttl"] };
    if !ttl.is_null() {
        status["terms"]["ttl"] = ttl.clone();
    }
    status["conditions"][1] = expiring_since(2, None, MEANWHILE);
    let [live, written] = show(&stored_namespace(), &end, 61);
    world.reconcile(&space, script![live, written, status_patch(&space, &status)]).await.unwrap();

    // The end that the first warning announced has passed.
    let (space, namespace) = (edited(&with_status(&space, &status), back, 130), shown(&stored_namespace(), &end, 61));
    world.keep(&class());
    let world = world.later(AFTERWARDS);
    let mut status = provisioned_in(3);
    status["expiresAt"] = json!(ANNOUNCED);
    status["lastWarning"] = json!({"at": AFTERWARDS, "before": "1h", "expiresAt": ANNOUNCED});
    status["postponed"] = json!({"of": EXPIRES, "from": AFTERWARDS, "until": ANNOUNCED});
    status["conditions"][1] = expiring_since(3, Some(ANNOUNCED), AFTERWARDS);
    let [live, written] = show(&namespace, &json!(ANNOUNCED), 62);
    let script =
        script![live, written, status_patch(&space, &status), space_event("Expiring"), namespace_event("Expiring")];
    world.reconcile(&space, script).await.unwrap();
    let space = with_status(&space, &status);
    let world = world.later("2026-03-10T12:59:59Z");
    assert_eq!(
        world.reconcile(&space, script![]).await.unwrap(),
        Action::requeue(Duration::from_millis(800)),
        "it lives on until then"
    );
}

#[tokio::test]
async fn a_space_that_was_protected_after_its_warning_is_warned_again_and_not_sealed() {
    is_warned_again(&json!({"protected": true}), &json!({"protected": false}), &json!({}), Value::Null).await;
}

#[tokio::test]
async fn so_is_one_that_had_another_ttl_in_between() {
    let later = json!("2026-03-12T08:00:00Z");
    is_warned_again(&json!({"ttl": "10d"}), &json!({"ttl": null}), &json!({}), later.clone()).await;
    is_warned_again(&json!({}), &json!({}), &json!({"lifetime": {"defaultTTL": "10d"}}), later).await;
}

/// The status with the warning cannot be written, and no space ends without it.
#[tokio::test]
async fn an_end_that_waits_for_a_warning_that_is_refused_is_overdue() {
    let later = "2026-03-09T08:02:00Z";
    let (moved, stored) = (json!("2026-03-09T09:02:00Z"), stored_namespace());
    let world = World::with(later, &everything());
    // A flood of writes does not delay it either.
    (0..100).for_each(|_| world.recent_writes.record(&namespace_path()));
    let mut status = provisioned();
    status["expiresAt"] = moved.clone();
    status["lastWarning"] = json!({"at": later, "before": "1h", "expiresAt": EXPIRES});
    status["conditions"][1] = expiring_since(1, moved.as_str(), later);
    let overdue = |world: &World| world.watchdog.ages(later.parse().unwrap()).overdue;
    let [live, written] = show(&stored, &moved, 61);
    let result = world
        .reconcile(&converged(), script![live, written, status_patch(&converged(), &status).refused(403, "Forbidden")])
        .await;
    assert_eq!((class_of(&result), overdue(&world)), (Some(Class::Forbidden), Duration::from_secs(120)));
    let script = script![status_patch(&converged(), &status), space_event("Expiring"), namespace_event("Expiring")];
    world.reconcile(&converged(), script).await.unwrap();
    assert_eq!(overdue(&world), Duration::ZERO, "the warning stands, and its time has begun");
}

/// A late warning moved the end, and the class has other warnings since. The last one is due shortly before the moved
/// end.
#[tokio::test]
async fn an_end_that_a_late_warning_moved_is_not_overdue_before_it_comes() {
    let (late, moved, last) = ("2026-03-09T11:00:00Z", "2026-03-09T12:00:00Z", "2026-03-09T11:55:00Z");
    let world = World::with(last, &everything());
    world.keep(&with(&class(), &json!({"spec": {"lifetime": {"warnBefore": ["5m"]}}})));
    world.keep(&shown(&stored_namespace(), &json!(moved), 61));
    let mut status = provisioned();
    status["expiresAt"] = json!(moved);
    status["lastWarning"] = json!({"at": late, "before": "1h", "expiresAt": EXPIRES});
    status["conditions"][1] = expiring_since(1, Some(moved), late);
    let space = with(&converged(), &json!({"metadata": {"resourceVersion": "115"}, "status": status}));
    status["terms"]["warnBefore"] = json!(["5m"]);
    status["lastWarning"] = json!({"at": last, "before": "5m", "expiresAt": EXPIRES});
    let message = status["conditions"][1]["message"].as_str().unwrap().replace("warned 1h", "warned 5m");
    status["conditions"][1]["message"] = json!(message);
    let result = world.reconcile(&space, script![status_patch(&space, &status).refused(403, "Forbidden")]).await;
    assert_eq!(
        (class_of(&result), world.watchdog.ages(last.parse().unwrap()).overdue),
        (Some(Class::Forbidden), Duration::ZERO)
    );
}

/// The status after the first warning of a space that is stalled since then.
fn warned_and_stalled(reason: &str, message: &str) -> Value {
    let mut status = warned_of("1d", WARNED_A_DAY_BEFORE);
    let expiring = status["conditions"][1]["message"].as_str().unwrap().to_owned();
    status["conditions"] = conditions(
        1,
        &[
            (false, reason, message, WARNED_A_DAY_BEFORE),
            (true, "WarningGiven", &expiring, WARNED_A_DAY_BEFORE),
            (false, "NotYet", "", MADE),
            (false, reason, "", MADE),
            (true, reason, message, WARNED_A_DAY_BEFORE),
        ],
    );
    status
}

/// The namespace of the space was deleted, and another client has created one of that name.
#[tokio::test]
async fn no_warning_is_published_in_a_namespace_of_others_or_announces_its_deletion() {
    let class_missing = "SpaceClass greenhouse does not exist: set spec.className to an existing class (there is none); existing objects stay unchanged";
    let conflict = refusals::conflict()["conditions"][0]["message"].as_str().unwrap().to_owned();
    for (objects, reason, message) in [
        (vec![class(), foreign_namespace()], "NamespaceConflict", conflict.as_str()),
        (vec![foreign_namespace()], "ClassNotFound", class_missing),
    ] {
        let world = World::with(WARNED_A_DAY_BEFORE, &objects);
        let mut status = warned_and_stalled(reason, message);
        status["conditions"][1]["message"] = json!(expiring_alone("1d"));
        let script = script![
            status_patch(&converged(), &status),
            space_event("Expiring").with_note(&expiring_alone("1d")),
            space_event(reason)
        ];
        world.reconcile(&converged(), script).await.unwrap();
        world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
    }
}

/// Such a namespace is not deleted when the space expires.
#[tokio::test]
async fn no_warning_announces_the_deletion_of_a_namespace_whose_name_became_protected() {
    let world = World::with(WARNED_A_DAY_BEFORE, &everything()).protecting("orchid-*");
    let mut status = warned_of("1d", WARNED_A_DAY_BEFORE);
    status["conditions"][1]["message"] = json!(expiring_alone("1d"));
    let script = script![
        status_patch(&converged(), &status),
        space_event("Expiring"),
        namespace_event("Expiring").with_note(&expiring_alone("1d"))
    ];
    world.reconcile(&converged(), script).await.unwrap();
    world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
}

/// The class was created again, so that no spec of it was accepted yet. The space follows the terms that its status
/// records.
#[tokio::test]
async fn a_warning_does_not_wait_until_the_class_is_validated() {
    let mut again = with(&class(), &json!({"metadata": {"uid": "uid-of-the-class-made-again", "generation": 1}}));
    again.as_object_mut().unwrap().remove("status");
    let world = World::with(WARNED_A_DAY_BEFORE, &everything());
    world.keep(&again);
    let status = warned_and_stalled(
        "ClassNotAccepted",
        "the operator has not validated the current spec of SpaceClass greenhouse yet",
    );
    let script = script![
        status_patch(&converged(), &status),
        space_event("Expiring"),
        namespace_event("Expiring"),
        space_event("ClassNotAccepted")
    ];
    world.reconcile(&converged(), script).await.unwrap();
    world.reconcile(&with_status(&converged(), &status), script![]).await.unwrap();
}

#[tokio::test]
async fn an_end_to_come_is_expected_though_its_last_warning_is_refused() {
    let world = World::with(WARNED_AN_HOUR_BEFORE, &everything());
    let space = with(
        &converged(),
        &json!({"metadata": {"resourceVersion": "103"}, "status": warned_of("1d", WARNED_A_DAY_BEFORE)}),
    );
    let result = world.reconcile(&space, script![status_patch(&space, &expiring()).refused(403, "Forbidden")]).await;
    assert_eq!(class_of(&result), Some(Class::Forbidden));
    assert!(world.watchdog.is_behind(EXPIRES.parse().unwrap(), 0), "others make way for it when its time has come");
}
