//! Subjects get access to a namespace once its limits are in force, and lose it even if other writes fail.

use super::{provisioning::make_again, *};

/// `wanted` as the API server stores it, with `drift` by another client.
fn live(wanted: &Value, uid: &str, drift: &Value) -> Value {
    with(&stored(wanted, uid, 60), drift)
}

fn waiting_for_the_quota(since: &str) -> String {
    format!(
        "the quota is not in force yet, and no new access to namespace orchid-lab is granted before it is (not ready since {since}): \
         kube-controller-manager sets the status of ResourceQuota developerspace; if this persists, check its log"
    )
}

fn provisioning() -> Value {
    let (message, since) = (waiting_for_the_quota("2026-03-02T08:00:11Z"), "2026-03-02T08:00:11Z");
    let mut status = stalled("Provisioning", &message);
    status["namespace"] = json!({"name": SPACE, "uid": NAMESPACE_UID});
    status["conditions"] = conditions(
        1,
        &[
            (false, "Provisioning", &message, since),
            (false, "NotYet", "", since),
            (false, "NotYet", "", since),
            (true, "Provisioning", &message, since),
            (false, "Provisioning", "", since),
        ],
    );
    status
}

#[tokio::test]
async fn nobody_is_let_in_before_the_quota_is_in_force_and_a_wait_that_lasts_is_told_once() {
    let world = World::with(MADE, &[class()]);
    let made_quota =
        post(&children_path("ResourceQuota"), quota()).answered(uncounted(&stored(&quota(), "uid-of-the-quota", 1)));
    let script = script![
        add_finalizer(),
        make_namespace().made(NAMESPACE_UID),
        side_by_side([made_quota, make(&limits(), "uid-of-the-limits"), make(&network(), "uid-of-the-network-policy")]),
    ];
    assert_eq!(world.reconcile(&fresh(), script).await.unwrap(), seconds(5), "a short wait is not told");
    let world = world.later("2026-03-02T08:00:07Z");
    assert_eq!(world.reconcile(&with_finalizer(), script![]).await.unwrap(), seconds(3));
    let world = world.later("2026-03-02T08:00:11Z");
    let space = with_finalizer();
    let told_once = script![status_patch(&space, &provisioning()), space_event("Provisioning")];
    assert_eq!(world.reconcile(&space, told_once).await.unwrap(), seconds(10), "the wait does not depend on an event");
    let (space, world) = (with_status(&space, &provisioning()), world.later("2026-03-02T08:05:00Z"));
    assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(10));
    world.keep(&stored(&quota(), "uid-of-the-quota", 2));
    let result = world.reconcile(
        &space,
        script![
            make_bindings(),
            status_patch(&space, &provisioned_at("2026-03-02T08:05:00Z")),
            space_event("Provisioned")
        ],
    );
    result.await.unwrap();
}

/// The status of a space that became ready late.
fn provisioned_at(at: &str) -> Value {
    let mut status = provisioned();
    status["readyAt"] = json!(at);
    let (long_ago, message) = ("2026-03-02T08:00:11Z", ready_message());
    status["conditions"] = conditions(
        1,
        &[
            (true, "Provisioned", &message, at),
            (false, "NotYet", "", long_ago),
            (false, "NotYet", "", long_ago),
            (false, "Provisioned", "", at),
            (false, "Provisioned", "", long_ago),
        ],
    );
    status
}

#[tokio::test]
async fn a_namespace_that_was_lost_is_told_at_once_whatever_the_quota() {
    let world = World::with(CALM, &[class()]);
    let second = "uid-of-the-second-namespace";
    let made_quota =
        post(&children_path("ResourceQuota"), quota()).answered(uncounted(&stored(&quota(), "uid-of-the-quota", 1)));
    let message = waiting_for_the_quota(CALM);
    let mut status = provisioned();
    status["namespace"]["uid"] = json!(second);
    status["conditions"] = conditions(
        1,
        &[
            (false, "Provisioning", &message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "Provisioning", &message, CALM),
            (false, "Provisioning", "", MADE),
        ],
    );
    let script = script![
        make_again().made(second),
        side_by_side([made_quota, make(&limits(), "uid-of-the-limits"), make(&network(), "uid-of-the-network-policy")]),
        status_patch(&converged(), &status),
        space_event("NamespaceRecreated"),
        event_inside("NamespaceRecreated", SPACE, second),
        space_event("Provisioning"),
    ];
    world.reconcile(&converged(), script).await.unwrap();
}

#[tokio::test]
async fn a_ready_space_stays_so_while_its_quota_is_counted_again() {
    let world = World::with(CALM, &everything_but("ResourceQuota", "developerspace"));
    world.keep(&uncounted(&stored(&quota(), "uid-of-the-quota", 60)));
    world.reconcile(&converged(), script![]).await.unwrap();
}

#[tokio::test]
async fn a_subject_that_goes_leaves_beside_a_guard_that_fails_and_a_new_one_waits() {
    let mut objects = everything_but("LimitRange", "developerspace");
    objects.retain(|object| object["metadata"]["name"] != "developerspace-helper");
    let world = World::with(CALM, &objects);
    let other = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory@example.com"});
    let gardeners = member_binding()["subjects"][0].clone();
    world.keep(&live(&member_binding(), "uid-of-the-member-binding", &json!({"subjects": [other, gardeners]})));
    let members = json!([
        {"kind": "Group", "name": "gardeners", "role": "helper"},
        {"kind": "Group", "name": "newcomers", "role": "helper"},
    ]);
    let space = edited(&converged(), &json!({"members": members}), 103);
    let kept = json!([member_binding()["subjects"][0]]);
    let operations = drift::operations("uid-of-the-member-binding", "/subjects", &kept);
    let script = script![
        confirmed(),
        side_by_side([
            post(&children_path("LimitRange"), limits()).refused(500, "InternalError"),
            json_patch(&child_path(&member_binding()), operations).answered(stored(
                &member_binding(),
                "uid-of-the-member-binding",
                61
            )),
        ])
    ];
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Transient));
}

/// An admission policy of the cluster refuses changes of this namespace.
#[tokio::test]
async fn a_subject_that_goes_leaves_though_the_namespace_cannot_be_written() {
    let world = World::with(CALM, &everything());
    let space = edited(&converged(), &json!({"members": null, "displayName": "Ferns"}), 103);
    let patch = json!({"metadata": {"uid": NAMESPACE_UID, "labels": {}, "annotations": {"openshift.io/display-name": "Ferns"}}});
    let message = "failed to write the labels and annotations of namespace orchid-lab: the server says Forbidden";
    let status = failures::apply_failed_in(2, message);
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        merge_patch(&namespace_path(), patch).refused(403, "Forbidden"),
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        status_patch(&space, &status),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Forbidden));
}

#[tokio::test]
async fn a_binding_that_is_not_wanted_and_that_a_finalizer_holds_is_emptied_once() {
    let space = edited(&converged(), &json!({"members": null}), 103);
    let held = with(&member(), &json!({"metadata": {"deletionTimestamp": CALM, "finalizers": ["example.com/hold"]}}));
    let world = World::with(CALM, &everything());
    let empty = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-of-the-member-binding"},
        {"op": "add", "path": "/subjects", "value": []},
    ]);
    let script = script![
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})).answered(held.clone()),
        json_patch(&child_path(&member_binding()), empty).answered(with(&held, &json!({"subjects": []}))),
        status_patch(&space, &provisioned_in(2)),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &provisioned_in(2)), script![]).await.unwrap();
}

/// A subject with the role `admin` in the namespace decides how many bindings are not wanted.
#[tokio::test]
async fn at_most_eight_writes_are_under_way() {
    let extra = |number: u32| {
        let name = json!({"metadata": {"name": format!("developerspace-extra-{number:02}")}});
        stored(&with(&member_binding(), &name), &format!("uid-of-extra-{number}"), 60)
    };
    let extra: Vec<Value> = (0..20).map(extra).collect();
    let world = World::with(CALM, &[everything(), extra.clone()].concat());
    let removal = |binding: &Value| delete(&child_path(binding), &json!({"uid": binding["metadata"]["uid"]}));
    let script = extra.chunks(8).map(|eight| side_by_side(eight.iter().map(removal))).collect();
    world.reconcile(&converged(), script).await.unwrap();
}

fn member() -> Value {
    stored(&member_binding(), "uid-of-the-member-binding", 60)
}

/// RoleBindings that the previous owner created may still give access to the namespace, so the Event lists them for the
/// new owner.
#[tokio::test]
async fn a_transfer_names_the_bindings_of_others_once() {
    let carol = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol@example.com"});
    let space = edited(&converged(), &json!({"owner": {"name": "carol@example.com"}}), 103);
    let world = World::with(CALM, &everything());
    let annotations = json!({"metadata": {
        "uid": NAMESPACE_UID,
        "labels": {},
        "annotations": {"developerspace.dev/owner": "User:carol@example.com", "openshift.io/requester": "carol@example.com"},
    }});
    let operations = |subjects: &Value| drift::operations("uid-of-the-owner-binding", "/subjects", subjects);
    let emptied = with(&stored(&owner_binding(), "uid-of-the-owner-binding", 61), &json!({"subjects": []}));
    let handed_over = with(&stored(&owner_binding(), "uid-of-the-owner-binding", 62), &json!({"subjects": [carol]}));
    let theirs = with(&member_binding(), &json!({"metadata": {"name": "side-door", "labels": null}}));
    let mut status = provisioned();
    status["observedGeneration"] = json!(2);
    status["owner"] = json!({"kind": "User", "name": "carol@example.com", "namespace": null});
    let (since, ready) = ("2026-03-02T08:00:05Z", "namespace orchid-lab is ready for User:carol@example.com");
    status["conditions"] = conditions(
        2,
        &[
            (true, "Provisioned", ready, since),
            (false, "NotYet", "", since),
            (false, "NotYet", "", since),
            (false, "Provisioned", "", since),
            (false, "Provisioned", "", since),
        ],
    );
    let message = "namespace orchid-lab was transferred from User:ada@example.com to User:carol@example.com; RoleBindings that the \
                   operator does not manage still grant access to it, see kubectl -n orchid-lab get rolebindings: side-door (Group:gardeners)";
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        merge_patch(&namespace_path(), annotations.clone()).answered(patched(&stored_namespace(), &annotations, 61)),
        // Ada's access is removed first, since the write of a new subject may be refused.
        json_patch(&child_path(&owner_binding()), operations(&json!([]))).answered(emptied),
        json_patch(&child_path(&owner_binding()), operations(&json!([carol]))).answered(handed_over),
        list_bindings(&[theirs]),
        status_patch(&space, &status),
        space_event("Transferred").with_note(message),
        namespace_event("Transferred"),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}
