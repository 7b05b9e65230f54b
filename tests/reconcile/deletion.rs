//! The deletion of a space.

use developerspace_operator::desired::Uid;

use super::*;

pub(crate) const ASKED: &str = "2026-03-04T11:59:58Z";

pub(crate) fn read_crd() -> Call {
    get_metadata("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/developerspaces.developerspace.dev")
        .answered(crd())
}

fn crd() -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "developerspaces.developerspace.dev", "uid": "uid-of-the-crd", "resourceVersion": "1"},
    })
}

pub(crate) fn leaving() -> Value {
    going(&converged(), ASKED)
}

pub(crate) fn terminating(message: &str) -> Value {
    let mut status = provisioned();
    status["conditions"] = conditions(
        1,
        &[
            (false, "Terminating", message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "Terminating", message, CALM),
            (false, "Terminating", "", MADE),
        ],
    );
    status
}

pub(crate) fn remove_finalizer() -> Call {
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": "102", "finalizers": []}});
    merge_patch(&space_path(), patch.clone()).answered(patched(&leaving(), &patch, 103))
}

#[tokio::test]
async fn a_deleted_space_takes_its_namespace_with_it() {
    let world = World::with(CALM, &everything());
    let status = terminating("namespace orchid-lab is being deleted");
    let gone = going(&stored_namespace(), CALM);
    let script = script![
        read_crd(),
        get(&namespace_path()).answered(stored_namespace()),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"})).answered(gone.clone()),
        status_patch(&leaving(), &status),
        space_event("Terminating"),
    ];
    world.reconcile(&leaving(), script).await.unwrap();
    let space = with_status(&leaving(), &status);
    world.reconcile(&space, script![read_crd(), get(&namespace_path()).answered(gone)]).await.unwrap();
}

/// Another replica may have written the status, or the response of the write may have been lost.
#[tokio::test]
async fn a_namespace_that_the_status_records_is_no_unrecorded_creation() {
    let world = World::with(CALM, &everything());
    let space: Uid = converged()["metadata"]["uid"].as_str().unwrap().into();
    world.creations.begin(space.clone(), SPACE);
    assert!(world.creations.contains(&space, SPACE) && !world.creations.contains(&space, "fern-lab"));
    world.reconcile(&converged(), script![]).await.unwrap();
    assert!(!world.creations.contains(&space, SPACE));
}

#[tokio::test]
async fn a_space_that_is_being_deleted_counts_until_its_namespace_is_gone() {
    let mut objects = everything();
    objects[0] = moves::tight();
    let mut world = World::with(CALM, &objects);
    world.reconcile(&converged(), script![]).await.unwrap();
    let status = terminating("namespace orchid-lab is being deleted");
    let script = script![
        read_crd(),
        get(&namespace_path()).answered(stored_namespace()),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
            .answered(going(&stored_namespace(), CALM)),
        status_patch(&leaving(), &status),
        space_event("Terminating"),
    ];
    world.reconcile(&leaving(), script).await.unwrap();
    moves::ada_is_full(&world).await;
    assert_eq!(world.requeued().await, [""; 0], "the namespace is still there");
    world.store.mark_namespace_deleted(SPACE, &NAMESPACE_UID.into());
    let space = with_status(&leaving(), &status);
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": "103", "finalizers": []}});
    let removed = merge_patch(&space_path(), patch.clone()).answered(patched(&space, &patch, 104));
    world
        .reconcile(
            &space,
            script![read_crd(), get(&namespace_path()).refused(404, "NotFound"), removed, space_event("Deleted")],
        )
        .await
        .unwrap();
    assert_eq!(world.requeued().await, ["moss-lab"]);
}

#[tokio::test]
async fn what_blocks_the_namespace_is_shown() {
    let blocked = "Some resources are remaining: pods. has 3 resource instances";
    let conditions = json!([
        {"type": "NamespaceContentRemaining", "status": "True", "message": blocked, "lastTransitionTime": CALM},
        {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all is well", "lastTransitionTime": CALM},
    ]);
    let going = with(
        &going(&stored_namespace(), ASKED),
        &json!({"status": {"phase": "Terminating", "conditions": conditions}}),
    );
    let world = World::with(CALM, &[class(), going.clone()]);
    let script = script![
        read_crd(),
        get(&namespace_path()).answered(going),
        status_patch(&leaving(), &terminating(&format!("namespace orchid-lab is being deleted: {blocked}"))),
        space_event("Terminating"),
    ];
    world.reconcile(&leaving(), script).await.unwrap();
}

#[tokio::test]
async fn the_finalizer_goes_when_the_namespace_is_gone() {
    let world = World::with(CALM, &[class()]);
    let script = script![
        read_crd(),
        get(&namespace_path()).refused(404, "NotFound"),
        remove_finalizer(),
        space_event("Deleted"),
    ];
    world.reconcile(&leaving(), script).await.unwrap();
}

#[tokio::test]
async fn while_the_crd_goes_away_only_the_finalizer_is_removed() {
    for crd in [read_crd().answered(going(&crd(), ASKED)), read_crd().refused(404, "NotFound")] {
        let world = World::with(CALM, &everything());
        world.reconcile(&leaving(), script![crd, remove_finalizer(), space_event("Released")]).await.unwrap();
    }
}

#[tokio::test]
async fn while_the_crd_cannot_be_read_nothing_is_deleted() {
    let world = World::with(CALM, &everything());
    let result = world.reconcile(&leaving(), script![read_crd().refused(503, "ServiceUnavailable")]).await;
    assert_eq!(class_of(&result), Some(Class::Transient));
}

#[tokio::test]
async fn the_finalizers_of_others_stay() {
    let others = json!({"metadata": {"finalizers": ["example.com/other", "developerspace.dev/namespace"]}});
    let space = with(&leaving(), &others);
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": "102", "finalizers": ["example.com/other"]}});
    let script = script![
        read_crd(),
        get(&namespace_path()).refused(404, "NotFound"),
        merge_patch(&space_path(), patch.clone()).answered(patched(&space, &patch, 103)),
        space_event("Deleted"),
    ];
    let world = World::with(CALM, &[class()]);
    world.reconcile(&space, script).await.unwrap();
    let (held, status) = (patched(&space, &patch, 103), terminating(HELD));
    world.reconcile(&held, script![status_patch(&held, &status), space_event("Terminating")]).await.unwrap();
    world.reconcile(&with_status(&held, &status), script![]).await.unwrap();
}

/// The message about a space that only other finalizers hold.
const HELD: &str = "the deletion waits for the finalizers of other clients";

/// `space` after its own finalizer was removed, while another finalizer holds it.
fn held(space: &Value) -> Value {
    with(space, &json!({"metadata": {"finalizers": ["example.com/hold"]}}))
}

fn held_by_others() -> Value {
    held(&leaving())
}

#[tokio::test]
async fn a_released_namespace_is_neither_taken_back_nor_deleted_while_others_hold_the_space() {
    let released = patched(&stored_namespace(), &release(), 64);
    let mut at_its_end = expiring();
    at_its_end["conditions"] = conditions(
        1,
        &[
            (false, "Terminating", HELD, EXPIRES),
            (false, "NotYet", "", EXPIRES),
            (false, "NotYet", "", MADE),
            (true, "Terminating", HELD, EXPIRES),
            (false, "Terminating", "", MADE),
        ],
    );
    for (now, space, mut status) in
        [(CALM, held_by_others(), terminating(HELD)), (EXPIRES, held(&going(&warned(), ASKED)), at_its_end)]
    {
        let world = World::with(now, &[with(&class(), &json!({"spec": {"allowRetain": true}})), released.clone()]);
        status["terms"]["allowRetain"] = json!(true);
        world.reconcile(&space, script![status_patch(&space, &status), space_event("Terminating")]).await.unwrap();
        world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
    }
}

/// The other finalizers were removed before the write of the status.
#[tokio::test]
async fn a_space_that_vanishes_before_its_status_is_written_is_deleted() {
    let world = World::with(CALM, &[class()]);
    let refused = status_patch(&held_by_others(), &terminating(HELD)).refused(404, "NotFound");
    assert_eq!(
        world.reconcile(&held_by_others(), script![refused]).await.map_err(|error| error.sentence()),
        Ok(seconds(120))
    );
    assert_eq!(world.reconcile(&held_by_others(), script![]).await.unwrap(), Action::await_change());
}

/// A deletion of the space does not delete its namespace any more, and no finalizer is added to an object that is being
/// deleted. The space still expires, and is warned before that.
#[tokio::test]
async fn a_space_that_lost_its_finalizer_to_others_reports_that_its_namespace_stays() {
    let message = "the deletion waits for the finalizers of other clients; another client has removed the finalizer of the operator, so \
                   namespace orchid-lab is deleted only if this DeveloperSpace expires before they are removed: delete the namespace if it is \
                   not needed";
    let (world, status) = (World::with(CALM, &everything()), terminating(message));
    world
        .reconcile(
            &held_by_others(),
            script![read_crd(), status_patch(&held_by_others(), &status), space_event("Terminating")],
        )
        .await
        .unwrap();
    let space = with_status(&held_by_others(), &status);
    world.reconcile(&space, script![read_crd()]).await.unwrap();

    let world = world.later(WARNED_A_DAY_BEFORE);
    let warned = warned_of("1d", WARNED_A_DAY_BEFORE);
    let mut status = status;
    status["lastWarning"] = warned["lastWarning"].clone();
    status["conditions"][1] = warned["conditions"][1].clone();
    let script =
        script![read_crd(), status_patch(&space, &status), space_event("Expiring"), namespace_event("Expiring")];
    world.reconcile(&space, script).await.unwrap();

    // After a client has deleted the namespace, the condition no longer asks for that.
    let space = with_status(&space, &status);
    world.store.mark_namespace_deleted(SPACE, &NAMESPACE_UID.into());
    for condition in [0, 3] {
        status["conditions"][condition]["message"] = json!(HELD);
    }
    status["conditions"][1]["message"] = json!(expiring_alone("1d"));
    world.reconcile(&space, script![status_patch(&space, &status)]).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

/// No deletion of the space deletes the namespace, so its end does.
#[tokio::test]
async fn the_namespace_of_a_space_that_lost_its_finalizer_to_others_is_deleted_at_its_end() {
    let early = "2026-03-09T07:59:59.900Z";
    let (space, status) = (held(&going(&warned(), ASKED)), expiry::sealed_early());
    let world = World::with(early, &everything());
    world.reconcile(&space, script![read_crd(), status_patch(&space, &status), space_event("Expired")]).await.unwrap();
    let sealed = with_status(&space, &status);
    let wait = Action::requeue(Duration::from_millis(100));
    assert_eq!(world.reconcile(&sealed, script![]).await.unwrap(), wait, "nothing is deleted before the end");

    let world = world.later(EXPIRES);
    let removed = || read_crd().answered(going(&crd(), ASKED));
    world.reconcile(&sealed, script![removed(), removed()]).await.unwrap();
    let gone = delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
        .answered(going(&stored_namespace(), EXPIRES));
    world.reconcile(&sealed, script![read_crd(), gone, space_event("NamespaceDeleted")]).await.unwrap();

    let mut status = status;
    for condition in [0, 3, 4] {
        status["conditions"][condition]["reason"] = json!("Terminating");
    }
    let reports = |status: &mut Value, message: &str| {
        for condition in [0, 3] {
            status["conditions"][condition]["message"] = json!(message);
        }
    };
    reports(&mut status, &format!("{HELD}; namespace orchid-lab is being deleted"));
    world.reconcile(&sealed, script![status_patch(&sealed, &status), space_event("Terminating")]).await.unwrap();
    let sealed = with_status(&sealed, &status);
    world.reconcile(&sealed, script![]).await.unwrap();

    world.store.mark_namespace_deleted(SPACE, &NAMESPACE_UID.into());
    reports(&mut status, HELD);
    world.reconcile(&sealed, script![status_patch(&sealed, &status)]).await.unwrap();
    world.reconcile(&with_status(&sealed, &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_space_that_others_hold_counts_until_its_namespace_is_gone() {
    let mut objects = everything();
    objects[0] = moves::tight();
    let mut world = World::with(CALM, &objects);
    world.reconcile(&converged(), script![]).await.unwrap();
    moves::ada_is_full(&world).await;
    world.store.mark_namespace_deleted(SPACE, &NAMESPACE_UID.into());
    let status = terminating(HELD);
    world
        .reconcile(&held_by_others(), script![status_patch(&held_by_others(), &status), space_event("Terminating")])
        .await
        .unwrap();
    assert_eq!(world.requeued().await, ["moss-lab"]);
}

/// A deletion that waits stops waiting when the space expires, but the removal of the CRD is not a deletion that a user
/// requested.
#[tokio::test]
async fn while_the_crd_goes_away_no_end_deletes_a_namespace() {
    let world = World::with(EXPIRES, &everything());
    let space = going(&warned(), ASKED);
    let crd = || read_crd().answered(going(&crd(), ASKED));
    let version = space["metadata"]["resourceVersion"].clone();
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": version, "finalizers": []}});
    let removed = merge_patch(&space_path(), patch.clone()).answered(patched(&space, &patch, 120));
    world.reconcile(&space, script![crd(), crd(), removed, space_event("Released")]).await.unwrap();
}

#[tokio::test]
async fn a_foreign_namespace_outlives_the_space_of_its_name() {
    let world = World::with(CALM, &[class(), foreign_namespace()]);
    let stays = "namespace orchid-lab does not belong to this DeveloperSpace and is left unchanged";
    let script = script![
        read_crd(),
        get(&namespace_path()).answered(foreign_namespace()),
        remove_finalizer(),
        space_event("Deleted").with_note(stays)
    ];
    world.reconcile(&leaving(), script).await.unwrap();
}

pub(crate) fn retained() -> Value {
    with(&leaving(), &json!({"spec": {"deletionPolicy": "Retain"}}))
}

/// All objects, with a class that has the fields of `spec`.
fn everything_with(spec: &Value) -> Vec<Value> {
    let mut objects = everything();
    objects[0] = with(&class(), &json!({"spec": spec}));
    objects
}

/// The patch of a release. It does not remove any protection of the namespace.
pub(crate) fn release() -> Value {
    let gone = |map: &Value, stays: &dyn Fn(&str) -> bool| {
        map.as_object()
            .unwrap()
            .keys()
            .filter(|key| !stays(key))
            .map(|key| (key.clone(), Value::Null))
            .collect::<Value>()
    };
    let ours = namespace();
    let is_protection = |key: &str| key.starts_with("pod-security.kubernetes.io/") || key == "example.com/floor";
    let mut labels = gone(&ours["metadata"]["labels"], &is_protection);
    labels["developerspace.dev/released"] = json!("true");
    let mut annotations = gone(&ours["metadata"]["annotations"], &|_| false);
    let marks = json!({
        "developerspace.dev/released-from": format!("orchid-lab/{}", uid(SPACE)), "developerspace.dev/released-class": "greenhouse",
        "developerspace.dev/released-owner": "User:ada@example.com", "developerspace.dev/released-at": CALM,
    });
    annotations.as_object_mut().unwrap().extend(marks.as_object().unwrap().clone());
    json!({"metadata": {"uid": NAMESPACE_UID, "labels": labels, "annotations": annotations}})
}

/// The Event of a release; `rest` lists the bindings that remain.
pub(crate) fn released_event(rest: &str) -> Call {
    space_event("Released").with_note(&format!("namespace orchid-lab was released with everything in it{rest}"))
}

/// The calls of a release of the namespace `live`.
pub(crate) fn releases(live: &Value) -> Vec<Step> {
    script![
        read_crd(),
        get(&namespace_path()).answered(live.clone()),
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
        merge_patch(&namespace_path(), release()).answered(patched(live, &release(), 64)),
        list_bindings(&[]),
        remove_finalizer(),
        released_event(""),
    ]
}

#[tokio::test]
async fn a_release_takes_the_marks_and_the_bindings_and_no_protection() {
    let live = with(
        &stored_namespace(),
        &json!({"metadata": {"labels": {"theirs": "stays"}, "annotations": {"theirs": "stays too"}}}),
    );
    let mut objects = everything_with(&json!({"allowRetain": true}));
    objects[1] = live.clone();
    let world = World::with(CALM, &objects);
    world.reconcile(&retained(), releases(&live)).await.unwrap();
    // The store still contains the space, whose namespace may already belong to another space.
    world.reconcile(&retained(), script![]).await.unwrap();
}

/// The watch of namespaces may be far behind.
#[tokio::test]
async fn a_released_namespace_counts_before_the_watch_brings_it() {
    let mut objects = everything();
    objects[0] = with(&moves::tight(), &json!({"spec": {"allowRetain": true}}));
    let mut world = World::with(CALM, &objects);
    world
        .reconcile(
            &with(
                &converged(),
                &json!({"spec": {"deletionPolicy": "Retain"}, "status": {"terms": {"allowRetain": true}}}),
            ),
            script![],
        )
        .await
        .unwrap();
    world.reconcile(&retained(), releases(&stored_namespace())).await.unwrap();
    moves::ada_is_full(&world).await;
    assert_eq!(world.requeued().await, [""; 0], "the released namespace has the place");
}

/// The response to the patch was lost. The namespace is already released, and is not written again.
#[tokio::test]
async fn what_was_released_is_left_alone() {
    let live = patched(&stored_namespace(), &release(), 64);
    let world = World::with(CALM, &[with(&class(), &json!({"spec": {"allowRetain": true}})), live.clone()]);
    let theirs = with(&member_binding(), &json!({"metadata": {"name": "gate-keys", "labels": null}}));
    let script = script![
        read_crd(),
        get(&namespace_path()).answered(live),
        list_bindings(&[theirs]),
        remove_finalizer(),
        released_event(
            "; RoleBindings that the operator does not manage still grant access to it, see kubectl -n orchid-lab get rolebindings: gate-keys (Group:gardeners)"
        ),
    ];
    world.reconcile(&retained(), script).await.unwrap();
}

/// An `admin` of the namespace can create any number of bindings, and each may be read alone.
#[tokio::test]
async fn of_very_many_bindings_of_others_a_hundred_are_read_and_the_rest_is_counted() {
    let live = patched(&stored_namespace(), &release(), 64);
    let world = World::with(CALM, &[with(&class(), &json!({"spec": {"allowRetain": true}})), live.clone()]);
    let theirs = with(&member_binding(), &json!({"metadata": {"name": "gate-keys", "labels": null}}));
    let pages = [0, 1, 2, 3].map(|number| {
        let from = if number == 0 { "" } else { "&continue=next" };
        Step::from(get(&format!("{}?limit=25{from}", children_path("RoleBinding"))).answered(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBindingList",
            "metadata": {"resourceVersion": "65", "continue": "next", "remainingItemCount": 475 - 25 * number},
            "items": vec![&theirs; 25],
        })))
    });
    let mut script = script![read_crd(), get(&namespace_path()).answered(live)];
    script.extend(pages);
    script.extend(script![
        remove_finalizer(),
        released_event(&format!(
            "; RoleBindings that the operator does not manage still grant access to it, see kubectl -n orchid-lab get rolebindings: {} and 490 more",
            ["gate-keys (Group:gardeners)"; 10].join(", ")
        )),
    ]);
    world.reconcile(&retained(), script).await.unwrap();
}

pub(crate) const WITHOUT_CONSENT: &str = "the deletion waits: spec.deletionPolicy is Retain, so namespace orchid-lab is not deleted, and SpaceClass \
    greenhouse does not allow Retain, so it is not released; set spec.deletionPolicy to Delete to delete the namespace, or have an administrator \
    set allowRetain: true in the class";

#[tokio::test]
async fn without_consent_nothing_is_deleted_and_nothing_released() {
    let status = terminating(WITHOUT_CONSENT);
    let world = World::with(CALM, &everything());
    let look = || [read_crd(), get(&namespace_path()).answered(stored_namespace())];
    let [crd, live] = look();
    world
        .reconcile(&retained(), script![crd, live, status_patch(&retained(), &status), space_event("Terminating")])
        .await
        .unwrap();
    let [crd, live] = look();
    world.reconcile(&with_status(&retained(), &status), script![crd, live]).await.unwrap();
}

/// The namespace of a space that was sealed at its end is deleted, even if the spec asks for `Retain`.
#[tokio::test]
async fn a_sealed_space_takes_its_namespace_with_it_whatever_it_says() {
    let space = with(&going(&sealed(), EXPIRES), &json!({"spec": {"deletionPolicy": "Retain"}}));
    let world = World::with(EXPIRES, &everything_with(&json!({"allowRetain": true})));
    let live = get(&namespace_path()).answered(stored_namespace());
    let gone = delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
        .answered(going(&stored_namespace(), EXPIRES));
    let mut status = expired("namespace orchid-lab is being deleted", true, EXPIRES);
    for at in [0, 3, 4] {
        status["conditions"][at]["reason"] = json!("Terminating");
    }
    world
        .reconcile(&space, script![read_crd(), live, gone, status_patch(&space, &status), space_event("Terminating")])
        .await
        .unwrap();
}

/// Deletes a space whose adoption of a namespace was not recorded, because a webhook refused the LimitRange. The guards
/// in the namespace were created at that time.
async fn undoes_an_adoption(guards_created: &str, is_older: bool) {
    let offer = json!({"metadata": {
        "labels": {"developerspace.dev/network-enforced": "true"},
        "annotations": {"developerspace.dev/adopt": format!("orchid-lab/{}", uid(SPACE))}, "creationTimestamp": "2020-01-01T00:00:00Z",
    }});
    let live = with(&stored_namespace(), &offer);
    let space = going(&with_finalizer(), ASKED);
    let mut back = release();
    back["metadata"]["labels"].as_object_mut().unwrap().retain(|_, value| value.is_null());
    back["metadata"]["annotations"].as_object_mut().unwrap().retain(|_, value| value.is_null());
    if !is_older {
        back["metadata"]["labels"]["developerspace.dev/network-enforced"] = Value::Null;
    }
    let patch = json!({"metadata": {"uid": uid(SPACE), "resourceVersion": "101", "finalizers": []}});
    let created = json!({"metadata": {"creationTimestamp": guards_created}});
    let stored_quota = with(&stored(&quota(), "uid-of-the-quota", 51), &created);
    let stored_network = with(&stored(&network(), "uid-of-the-network-policy", 53), &created);
    let made = [stored_quota.clone(), stored_network.clone(), stored(&owner_binding(), "uid-of-the-owner-binding", 54)];
    let world = World::with(CALM, &[&[class(), live.clone()][..], &made[..]].concat());
    let rest = if is_older {
        ", and so do the objects that are older than this DeveloperSpace: NetworkPolicy, ResourceQuota"
    } else {
        ""
    };
    let message = format!(
        "namespace orchid-lab, whose adoption was not complete, was returned without the operator's objects; a Pod Security level that the \
         adoption raised stays{rest}"
    );
    let mut script = script![
        read_crd(),
        get(&namespace_path()).answered(live.clone()),
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
    ];
    for guard in [&stored_network, &stored_quota] {
        script.extend(script![get(&child_path(guard)).answered(guard.clone())]);
        if !is_older {
            script.extend(script![delete(&child_path(guard), &json!({"uid": guard["metadata"]["uid"]}))]);
        }
    }
    script.extend(script![
        merge_patch(&namespace_path(), back.clone()).answered(patched(&live, &back, 64)),
        merge_patch(&space_path(), patch.clone()).answered(patched(&space, &patch, 103)),
        space_event("Released").with_note(&message),
    ]);
    world.reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn an_adoption_that_was_never_recorded_is_undone() {
    undoes_an_adoption(CREATED, false).await;
    undoes_an_adoption(MADE, false).await;
}

/// The namespace was released before it was offered, and its quota and its isolation have stayed since.
#[tokio::test]
async fn an_adoption_that_is_undone_keeps_the_protection_that_is_older_than_the_space() {
    undoes_an_adoption("2026-03-02T07:59:59Z", true).await;
}

#[tokio::test]
async fn a_protected_space_waits() {
    let space = with(&leaving(), &json!({"spec": {"protected": true}, "status": {"terms": {"protected": true}}}));
    let mut status =
        terminating("this DeveloperSpace is protected, so its deletion waits: set spec.protected to false to continue");
    status["expiresAt"] = Value::Null;
    status["terms"]["protected"] = json!(true);
    let mut endless = stored_namespace();
    endless["metadata"]["annotations"].as_object_mut().unwrap().remove("developerspace.dev/expires-at");
    let world = World::with(CALM, &everything_but("Namespace", SPACE));
    world.keep(&endless);
    world
        .reconcile(&space, script![read_crd(), status_patch(&space, &status), space_event("Terminating")])
        .await
        .unwrap();
    world.reconcile(&with_status(&space, &status), script![read_crd()]).await.unwrap();
}

const NO_DELETES: &str =
    "namespaces \"orchid-lab\" is forbidden: ValidatingAdmissionPolicy 'volumes-first' denied request: it has volumes";

fn waits(sentence: &str) -> Value {
    terminating(&format!("the deletion of this DeveloperSpace waits: {sentence}"))
}

async fn is_reported(space: &Value, calls: Vec<Step>, sentence: &str) {
    let world = World::with(CALM, &everything());
    let status = waits(sentence);
    let script =
        calls.iter().cloned().chain(script![status_patch(space, &status), space_event("Terminating")]).collect();
    assert_eq!(class_of(&world.reconcile(space, script).await), Some(Class::Forbidden));
    assert_eq!(
        class_of(&world.reconcile(&with_status(space, &status), calls).await),
        Some(Class::Forbidden),
        "it is said once"
    );
}

#[tokio::test]
async fn what_refuses_a_deletion_is_told() {
    let refused = delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}));
    let calls = script![
        read_crd(),
        get(&namespace_path()).answered(stored_namespace()),
        refused.refused_with(403, "Forbidden", NO_DELETES)
    ];
    is_reported(&leaving(), calls, &format!("failed to delete namespace orchid-lab: {NO_DELETES}")).await;

    let calls = script![read_crd().refused(403, "Forbidden")];
    let sentence =
        "failed to read CustomResourceDefinition developerspaces.developerspace.dev: the server says Forbidden";
    is_reported(&leaving(), calls, sentence).await;

    let calls = script![read_crd(), get(&namespace_path()).refused(403, "Forbidden")];
    is_reported(&leaving(), calls, "failed to read namespace orchid-lab: the server says Forbidden").await;
}
