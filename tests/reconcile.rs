//! One reconcile at a time against an API server that expects every call: which, in which order, with which body.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::time::Duration;

use developerspace_operator::controller::{
    error::{Class, Error},
    store::SOURCES,
};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use support::{
    api_server::{Call, Step, delete, event, event_inside, get, get_metadata, json_patch, merge_patch, post, side_by_side},
    objects::*,
    world::World,
};

/// A moment at which nothing is due.
const CALM: &str = "2026-03-04T12:00:00Z";

fn add_finalizer() -> Call {
    merge_patch(&space_path(), finalizer()).answered(with_finalizer())
}

fn make_namespace() -> Call {
    post("/api/v1/namespaces", namespace())
}

fn make(child: &Value, uid: &str) -> Call {
    post(&children_path(child["kind"].as_str().unwrap()), child.clone()).made(uid)
}

fn make_guards() -> Step {
    side_by_side([make(&quota(), "uid-of-the-quota"), make(&limits(), "uid-of-the-limits"), make(&network(), "uid-of-the-network-policy")])
}

fn make_bindings() -> Step {
    side_by_side([make(&owner_binding(), "uid-of-the-owner-binding"), make(&member_binding(), "uid-of-the-member-binding")])
}

fn child_path(child: &Value) -> String {
    format!("{}/{}", children_path(child["kind"].as_str().unwrap()), child["metadata"]["name"].as_str().unwrap())
}

/// Says `status` of `space`, the next version of which the server makes.
fn say(space: &Value, status: &Value) -> Call {
    let version = version(space);
    merge_patch(&status_path(), says(version, status)).answered(patched(space, &json!({"status": status}), version + 1))
}

/// `space` after [`say`].
fn said(space: &Value, status: &Value) -> Value {
    patched(space, &json!({"status": status}), version(space) + 1)
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn told(reason: &str) -> Call {
    event(reason, "DeveloperSpace", SPACE)
}

fn told_inside(reason: &str) -> Call {
    event_inside(reason, SPACE, NAMESPACE_UID)
}

fn with(object: &Value, patch: &Value) -> Value {
    merged(object, patch)
}

fn class_of(result: &Result<Action, Error>) -> Option<Class> {
    result.as_ref().err().map(Error::class)
}

const fn seconds(seconds: u64) -> Action {
    Action::requeue(Duration::from_secs(seconds))
}

mod provisioning {
    use super::*;

    #[tokio::test]
    async fn a_fresh_space_gets_finalizer_namespace_guards_bindings_and_status_in_that_order() {
        let world = World::with(MADE, &[class()]);
        let script = script![
            add_finalizer(),
            make_namespace().made(NAMESPACE_UID),
            make_guards(),
            make_bindings(),
            say(&with_finalizer(), &provisioned()),
            told("Provisioned"),
        ];
        assert_eq!(world.reconcile(&fresh(), script).await.unwrap(), seconds(600), "the wall clock is asked again");
    }

    #[tokio::test]
    async fn nothing_is_done_before_everything_was_listed() {
        for missing in SOURCES {
            let world = World::unlisted(MADE);
            world.keep(&class());
            world.list_all_but(missing);
            let (space, waiting) = (fresh(), Duration::from_millis(20));
            let early = tokio::time::timeout(waiting, world.reconcile(&space, script![])).await;
            assert!(early.is_err(), "it did not wait for {missing:?}");
        }
    }

    #[tokio::test]
    async fn a_converged_space_makes_no_call_and_is_woken_at_its_next_edge() {
        for (space, now, wait) in
            [(converged(), "2026-03-02T08:00:10Z", 600), (converged(), "2026-03-08T07:55:00Z", 300), (warned(), "2026-03-09T07:59:18Z", 42)]
        {
            let world = World::with(now, &everything());
            assert_eq!(world.reconcile(&space, script![]).await.unwrap(), seconds(wait), "at {now}");
        }
    }

    #[tokio::test]
    async fn a_protected_space_never_expires() {
        let space = with(&converged(), &json!({"spec": {"protected": true}, "status": {"expiresAt": null}}));
        let mut objects = everything();
        objects[1]["metadata"]["annotations"].as_object_mut().unwrap().remove("developerspace.dev/expires-at");
        let world = World::with("2030-01-01T00:00:00Z", &objects);
        assert_eq!(world.reconcile(&space, script![]).await.unwrap(), Action::await_change());
    }

    #[tokio::test]
    async fn a_namespace_that_came_in_between_and_claims_this_space_is_used() {
        let world = World::with(MADE, &[class()]);
        let script = script![
            add_finalizer(),
            make_namespace().refused(409, "AlreadyExists"),
            get(&namespace_path()).answered(stored_namespace()),
            make_guards(),
            make_bindings(),
            say(&with_finalizer(), &provisioned()),
            told("Provisioned"),
        ];
        world.reconcile(&fresh(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_to_the_post_of_a_child_needs_no_further_write() {
        for child in children() {
            let (kind, name) = (child["kind"].as_str().unwrap(), child["metadata"]["name"].as_str().unwrap());
            let wanted = [quota(), limits(), network(), owner_binding(), member_binding()];
            let wanted = wanted.iter().find(|wanted| wanted["kind"] == kind && wanted["metadata"]["name"] == name).unwrap();
            let world = World::with(CALM, &everything_but(kind, name));
            let script = script![
                post(&children_path(kind), wanted.clone()).refused(409, "AlreadyExists"),
                get(&child_path(&child)).answered(child.clone()),
            ];
            world.reconcile(&converged(), script).await.unwrap();
            world.reconcile(&converged(), script![]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_offered_namespace_is_adopted() {
        let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}}});
        let offered = with(&with(&foreign_namespace(), &offer), &json!({"metadata": {"uid": NAMESPACE_UID}}));
        let mut patch = json!({"metadata": {"uid": NAMESPACE_UID, "resourceVersion": "30"}});
        patch["metadata"]["labels"] = namespace()["metadata"]["labels"].clone();
        patch["metadata"]["annotations"] = namespace()["metadata"]["annotations"].clone();
        let world = World::with(MADE, &[class(), offered.clone()]);
        let script = script![
            add_finalizer(),
            merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 31)),
            make_guards(),
            make_bindings(),
            say(&with_finalizer(), &provisioned()),
            told("Adopted"),
            told_inside("Adopted"),
            told("Provisioned"),
        ];
        world.reconcile(&fresh(), script).await.unwrap();
    }

    #[tokio::test]
    async fn the_offer_goes_once_the_status_has_the_uid() {
        let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}}});
        let offered = with(&stored_namespace(), &offer);
        let world = World::with(CALM, &everything());
        world.keep(&with(&offered, &json!({"metadata": {"resourceVersion": "70"}})));
        let patch = json!({"metadata": {"uid": NAMESPACE_UID, "annotations": {"developerspace.dev/adopt": null}}});
        let script = script![merge_patch(&namespace_path(), patch.clone()).answered(patched(&offered, &patch, 71))];
        world.reconcile(&converged(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_crash_after_an_adoption_leaves_the_offer_to_be_found_again() {
        // As it stands after the first write: claimed, and older than any namespace that was made for the space.
        let offer = json!({"metadata": {"annotations": {"developerspace.dev/adopt": SPACE}, "creationTimestamp": "2020-01-01T00:00:00Z"}});
        let adopted = with(&with(&stored_namespace(), &offer), &json!({"metadata": {"resourceVersion": "31"}}));
        let mut patch = json!({"metadata": {"uid": NAMESPACE_UID, "resourceVersion": "31"}});
        patch["metadata"]["labels"] = namespace()["metadata"]["labels"].clone();
        patch["metadata"]["annotations"] = namespace()["metadata"]["annotations"].clone();
        let world = World::with(MADE, &[class(), adopted.clone()]);
        let script = script![
            merge_patch(&namespace_path(), patch.clone()).answered(patched(&adopted, &patch, 32)),
            make_guards(),
            make_bindings(),
            say(&with_finalizer(), &provisioned()),
            told("Adopted"),
            told_inside("Adopted"),
            told("Provisioned"),
        ];
        world.reconcile(&with_finalizer(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_namespace_that_somebody_deleted_is_made_again_and_that_is_told() {
        let world = World::with(CALM, &[class()]);
        let mut status = provisioned();
        status["namespace"]["uid"] = json!("uid-of-the-second-namespace");
        let script = script![
            make_namespace().made("uid-of-the-second-namespace"),
            make_guards(),
            make_bindings(),
            say(&converged(), &status),
            told("NamespaceRecreated"),
            event_inside("NamespaceRecreated", SPACE, "uid-of-the-second-namespace"),
        ];
        world.reconcile(&converged(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_behind_our_own_write_does_nothing() {
        let world = World::with(MADE, &[class()]);
        world.memory.wrote(SPACE, 101);
        assert_eq!(world.reconcile(&fresh(), script![]).await.unwrap(), seconds(1));
    }
}

mod drift {
    use super::*;

    fn operations(uid: &str, path: &str, content: &Value) -> Value {
        json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": path, "value": content},
            {"op": "add", "path": "/metadata/labels/app.kubernetes.io~1managed-by", "value": "developerspace-operator"},
            {"op": "add", "path": "/metadata/labels/developerspace.dev~1class", "value": "greenhouse"},
            {"op": "add", "path": "/metadata/labels/developerspace.dev~1space", "value": SPACE},
        ])
    }

    #[tokio::test]
    async fn a_drifted_child_is_repaired_by_one_json_patch_with_a_uid_test() {
        let loosened = [
            (quota(), "uid-of-the-quota", "/spec/hard", json!({"spec": {"hard": {"requests.cpu": "400", "count/pods": "1"}}})),
            (limits(), "uid-of-the-limits", "/spec", json!({"spec": {"limits": []}})),
            (network(), "uid-of-the-network-policy", "/spec", json!({"spec": {"ingress": [{}]}})),
            (owner_binding(), "uid-of-the-owner-binding", "/subjects", json!({"subjects": []})),
        ];
        for (wanted, uid, path, drift) in loosened {
            let kind = wanted["kind"].as_str().unwrap();
            let world = World::with(CALM, &everything_but(kind, wanted["metadata"]["name"].as_str().unwrap()));
            world.keep(&with(&stored(&wanted, uid, 60), &drift));
            let content = wanted.pointer(path).unwrap();
            let script = script![json_patch(&child_path(&wanted), operations(uid, path, content)).answered(stored(&wanted, uid, 61))];
            world.reconcile(&converged(), script).await.unwrap();
            world.reconcile(&converged(), script![]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_changed_role_ref_is_deleted_by_its_uid_and_made_anew() {
        let bent = with(&stored(&owner_binding(), "uid-of-the-bent-binding", 60), &json!({"roleRef": {"name": "admin"}}));
        let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
        world.keep(&bent);
        let script = script![
            delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-bent-binding"})),
            make(&owner_binding(), "uid-of-the-owner-binding"),
        ];
        world.reconcile(&converged(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_members_binding_is_removed() {
        let space = edited(&converged(), &json!({"members": null}), 103);
        let world = World::with(CALM, &everything());
        let script =
            script![delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})), say(&space, &provisioned_in(2)),];
        world.reconcile(&space, script).await.unwrap();
    }

    #[tokio::test]
    async fn bindings_and_quotas_of_others_are_left_alone() {
        let world = World::with(CALM, &everything());
        for (mut copy, name) in [(owner_binding(), "somebodys-binding"), (quota(), "somebodys-quota"), (network(), "somebodys-policy")] {
            copy["metadata"]["name"] = json!(name);
            world.keep(&stored(&copy, &format!("uid-of-{name}"), 60));
        }
        world.reconcile(&converged(), script![]).await.unwrap();
    }

    #[tokio::test]
    async fn a_class_without_isolation_takes_the_network_policy_away() {
        let open = json!({"metadata": {"generation": 5}, "spec": {"network": {"isolation": "None", "allowFromNamespaces": []}}});
        let mut open = with(&class(), &open);
        open["status"]["conditions"][0]["observedGeneration"] = json!(5);
        let world = World::with(CALM, &everything());
        world.keep(&open);
        let script = script![delete(&child_path(&network()), &json!({"uid": "uid-of-the-network-policy"}))];
        world.reconcile(&converged(), script).await.unwrap();
    }

    #[tokio::test]
    async fn lost_labels_and_annotations_of_the_namespace_come_back() {
        let drift = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}, "annotations": {"developerspace.dev/owner": null}}});
        let live = with(&stored_namespace(), &drift);
        let patch = json!({"metadata": {
            "uid": NAMESPACE_UID,
            "labels": {"pod-security.kubernetes.io/enforce": "baseline"},
            "annotations": {"developerspace.dev/owner": "User:ada@example.com"},
        }});
        let mut objects = everything();
        objects[1] = live.clone();
        let world = World::with(CALM, &objects);
        let script = script![
            get(&namespace_path()).answered(live.clone()),
            merge_patch(&namespace_path(), patch.clone()).answered(patched(&live, &patch, 62)),
        ];
        world.reconcile(&converged(), script).await.unwrap();
    }
}

mod refusals {
    use super::*;

    fn conflict() -> Value {
        stalled(
            "NamespaceConflict",
            "namespace orchid-lab exists and is not this space's, so it is left alone: choose another name, or have an administrator \
             hand it over with: kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab",
        )
    }

    #[tokio::test]
    async fn an_existing_foreign_namespace_is_not_touched_and_only_the_status_is_written() {
        let world = World::with(MADE, &[class(), foreign_namespace()]);
        let script = script![say(&fresh(), &conflict()), told("NamespaceConflict")];
        world.reconcile(&fresh(), script).await.unwrap();
        world.reconcile(&said(&fresh(), &conflict()), script![]).await.unwrap();
    }

    #[tokio::test]
    async fn neither_labels_nor_an_older_claim_nor_that_of_another_make_a_namespace_ours() {
        let copied = stored(&namespace(), "uid-of-another-namespace", 30);
        let older = with(&copied, &json!({"metadata": {"creationTimestamp": "2026-03-01T08:00:00Z"}}));
        let claim = |claim: Value| with(&copied, &json!({"metadata": {"annotations": {"developerspace.dev/space-uid": claim}}}));
        for theirs in [older, claim(json!(uid("an-earlier-lab"))), claim(Value::Null)] {
            let world = World::with(MADE, &[class(), theirs]);
            world.reconcile(&fresh(), script![say(&fresh(), &conflict()), told("NamespaceConflict")]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_foreign_namespace_that_came_in_between_is_a_conflict() {
        let world = World::with(MADE, &[class()]);
        let script = script![
            add_finalizer(),
            make_namespace().refused(409, "AlreadyExists"),
            get(&namespace_path()).answered(foreign_namespace()),
            say(&with_finalizer(), &conflict()),
            told("NamespaceConflict"),
        ];
        world.reconcile(&fresh(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_class_changes_nothing_but_the_status_and_that_once() {
        let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
        let message =
            "SpaceClass greenhouse does not exist: set spec.className to one that does (there are none yet); what exists stays as it is";
        let mut status = provisioned();
        status["conditions"] = conditions(
            1,
            &[
                (false, "ClassNotFound", message, CALM),
                (false, "NotYet", "", MADE),
                (false, "NotYet", "", MADE),
                (false, "ClassNotFound", "", MADE),
                (true, "ClassNotFound", message, CALM),
            ],
        );
        world.reconcile(&converged(), script![say(&converged(), &status), told("ClassNotFound")]).await.unwrap();
        let again = world.reconcile(&said(&converged(), &status), script![]).await.unwrap();
        assert_eq!(again, seconds(600), "the clock goes on");
    }

    #[tokio::test]
    async fn a_class_that_nobody_has_judged_yet_is_waited_for() {
        let mut unjudged = class();
        unjudged["metadata"]["generation"] = json!(5);
        let world = World::with(MADE, &[unjudged]);
        assert_eq!(world.reconcile(&fresh(), script![]).await.unwrap(), Action::await_change());
    }

    #[tokio::test]
    async fn a_protected_name_is_refused() {
        let (path, about) = (format!("{SPACES}/monitoring/status"), event("NamespaceConflict", "DeveloperSpace", "monitoring"));
        let space = with(&fresh(), &json!({"metadata": {"name": "monitoring", "uid": uid("monitoring")}}));
        let message = "namespace monitoring is protected on this cluster: delete this DeveloperSpace and choose another name";
        let status = stalled("NamespaceConflict", message);
        let script = script![merge_patch(&path, says(100, &status)).answered(said(&space, &status)), about];
        World::with(MADE, &[class()]).reconcile(&space, script).await.unwrap();
    }

    #[tokio::test]
    async fn a_namespace_that_is_going_away_is_waited_for() {
        let going = going(&stored_namespace(), CALM);
        let world = World::with(CALM, &[class(), going]);
        let message = "namespace orchid-lab is being deleted; it is made again, empty, when it is gone";
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
        world.reconcile(&converged(), script![say(&converged(), &status), told("NamespaceTerminating")]).await.unwrap();
    }

    #[tokio::test]
    async fn the_second_space_of_an_owner_waits_until_the_first_gives_up_its_place() {
        let mut world = World::with(MADE, &everything());
        world.keep(&with(&class(), &json!({"spec": {"maxSpacesPerOwner": 1}})));
        world.reconcile(&converged(), script![]).await.unwrap();
        let second = with(&fresh(), &json!({"metadata": {"name": "fern-lab", "uid": uid("fern-lab")}}));
        let message = "the limit of class greenhouse is 1 for each owner, and User:ada@example.com has as many: \
                       delete one, or ask for another class";
        let status = stalled("OwnerLimitExceeded", message);
        let script = script![
            merge_patch(&format!("{SPACES}/fern-lab/status"), says(100, &status)).answered(said(&second, &status)),
            event("OwnerLimitExceeded", "DeveloperSpace", "fern-lab"),
        ];
        world.reconcile(&second, script).await.unwrap();
        assert_eq!(world.nudged().await, [""; 0]);
        let sealed = sealed();
        let script = script![delete(&namespace_path(), &json!({"uid": NAMESPACE_UID})), told("NamespaceDeleted")];
        world.reconcile(&sealed, script).await.unwrap();
        assert_eq!(world.nudged().await, ["fern-lab"]);
    }

    fn undecodable() -> Value {
        with(&fresh(), &json!({"spec": {"owner": {"kind": "Robot"}}}))
    }

    #[tokio::test]
    async fn an_undecodable_object_costs_one_read_and_one_status_write_and_then_only_the_read() {
        let world = World::with(MADE, &[class()]);
        let message = "the stored object cannot be read: Unknown variant Robot. Expected one of User, Group, ServiceAccount; \
                       correct it with kubectl edit, nothing is done until then";
        let condition = |type_: &str, status: &str| {
            json!({
                "type": type_, "status": status, "reason": "InvalidSpec", "message": message,
                "observedGeneration": 1, "lastTransitionTime": MADE,
            })
        };
        let status = json!({"observedGeneration": 1, "conditions": [condition("Ready", "False"), condition("Stalled", "True")]});
        let after = said(&undecodable(), &status);
        let script = script![get(&space_path()).answered(undecodable()), say(&undecodable(), &status)];
        assert_eq!(world.reconcile(&undecodable(), script).await.unwrap(), Action::await_change());
        world.reconcile(&after, script![get(&space_path()).answered(after.clone())]).await.unwrap();
    }
}

mod failures {
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
}

mod expiry {
    use super::*;

    const KEPT: &str = "the time was up and namespace orchid-lab is gone; this DeveloperSpace is kept until 2026-03-12T08:01:00Z";
    const GONE: &str = "2026-03-09T08:01:00Z";

    fn seal() -> Call {
        say(&warned(), &expired(&being_deleted(), true, EXPIRES))
    }

    fn delete_namespace() -> Call {
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID})).answered(going(&stored_namespace(), EXPIRES))
    }

    #[tokio::test]
    async fn a_warning_is_told_in_the_status_on_the_space_and_inside_the_namespace() {
        let a_day_before = warned_of("1d", WARNED_A_DAY_BEFORE);
        let world = World::with(WARNED_A_DAY_BEFORE, &everything());
        let script = script![say(&converged(), &a_day_before), told("Expiring"), told_inside("Expiring")];
        world.reconcile(&converged(), script).await.unwrap();
        let (space, world) = (said(&converged(), &a_day_before), world.later(WARNED_AN_HOUR_BEFORE));
        let script = script![say(&space, &expiring()), told("Expiring"), told_inside("Expiring")];
        world.reconcile(&space, script).await.unwrap();
    }

    #[tokio::test]
    async fn a_due_space_is_sealed_with_the_version_that_was_seen_and_only_then_its_namespace_deleted_by_uid() {
        let world = World::with(EXPIRES, &everything());
        let script = script![seal(), told("Expired"), delete_namespace(), told("NamespaceDeleted")];
        world.reconcile(&warned(), script).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_sealed_a_second_before_its_time() {
        let world = World::with("2026-03-09T07:59:59Z", &everything());
        assert_eq!(world.reconcile(&warned(), script![]).await.unwrap(), seconds(1));
    }

    #[tokio::test]
    async fn a_seal_that_meets_a_renewal_deletes_nothing() {
        let world = World::with(EXPIRES, &everything());
        let result = world.reconcile(&warned(), script![seal().refused(409, "Conflict")]).await;
        assert_eq!(class_of(&result), Some(Class::Conflict));
    }

    #[tokio::test]
    async fn an_unwarned_space_is_warned_and_its_end_moves_by_the_notice() {
        let world = World::with(EXPIRES, &everything());
        let moved = "2026-03-09T09:00:00Z";
        let message = "namespace orchid-lab and everything in it is deleted at 2026-03-09T09:00:00Z (warned 1h before); \
                       to renew, set spec.renewedAt to the present time";
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
            say(&converged(), &status),
            told("Expiring"),
            told_inside("Expiring"),
        ];
        world.reconcile(&converged(), script).await.unwrap();
    }

    #[tokio::test]
    async fn a_seal_that_was_cut_short_is_finished_by_the_uid_in_the_status() {
        let world = World::with("2026-03-09T08:00:07Z", &everything());
        world.reconcile(&sealed(), script![delete_namespace(), told("NamespaceDeleted")]).await.unwrap();
        world.reconcile(&sealed(), script![]).await.unwrap();
    }

    #[tokio::test]
    async fn the_namespace_that_took_the_place_of_the_expired_one_is_left_alone() {
        let world = World::with(GONE, &[class(), foreign_namespace()]);
        let mut status = expired(KEPT, false, GONE);
        status["namespace"] = Value::Null;
        world.reconcile(&sealed(), script![say(&sealed(), &status)]).await.unwrap();
    }

    #[tokio::test]
    async fn an_expired_space_whose_namespace_is_gone_is_told_and_later_deleted_with_uid_and_version() {
        let world = World::with(GONE, &[class()]);
        let mut status = expired(KEPT, false, GONE);
        status["namespace"] = Value::Null;
        let kept = said(&sealed(), &status);
        assert_eq!(world.reconcile(&sealed(), script![say(&sealed(), &status)]).await.unwrap(), seconds(600));
        let world = world.later("2026-03-12T08:00:59Z");
        assert_eq!(world.reconcile(&kept, script![]).await.unwrap(), seconds(1));
        let world = world.later("2026-03-12T08:01:00Z");
        let preconditions = json!({"uid": uid(SPACE), "resourceVersion": "112"});
        world.reconcile(&kept, script![delete(&space_path(), &preconditions)]).await.unwrap();
    }
}

mod deletion {
    use super::*;

    const ASKED: &str = "2026-03-04T11:59:58Z";

    fn read_crd() -> Call {
        get_metadata("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/developerspaces.developerspace.dev").answered(crd())
    }

    fn crd() -> Value {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "developerspaces.developerspace.dev", "uid": "uid-of-the-crd", "resourceVersion": "1"},
        })
    }

    fn leaving() -> Value {
        going(&converged(), ASKED)
    }

    fn terminating(message: &str) -> Value {
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

    fn remove_finalizer() -> Call {
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
            delete(&namespace_path(), &json!({"uid": NAMESPACE_UID})).answered(gone.clone()),
            say(&leaving(), &status),
            told("Terminating"),
        ];
        world.reconcile(&leaving(), script).await.unwrap();
        let space = said(&leaving(), &status);
        world.reconcile(&space, script![read_crd(), get(&namespace_path()).answered(gone)]).await.unwrap();
    }

    #[tokio::test]
    async fn what_blocks_the_namespace_is_shown() {
        let blocked = "Some resources are remaining: pods. has 3 resource instances";
        let conditions = json!([
            {"type": "NamespaceContentRemaining", "status": "True", "message": blocked, "lastTransitionTime": CALM},
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all is well", "lastTransitionTime": CALM},
        ]);
        let going = with(&going(&stored_namespace(), ASKED), &json!({"status": {"phase": "Terminating", "conditions": conditions}}));
        let world = World::with(CALM, &[class(), going.clone()]);
        let script = script![
            read_crd(),
            get(&namespace_path()).answered(going),
            say(&leaving(), &terminating(&format!("namespace orchid-lab is being deleted: {blocked}"))),
            told("Terminating"),
        ];
        world.reconcile(&leaving(), script).await.unwrap();
    }

    #[tokio::test]
    async fn the_finalizer_goes_when_the_namespace_is_gone() {
        let world = World::with(CALM, &[class()]);
        let script = script![read_crd(), get(&namespace_path()).refused(404, "NotFound"), remove_finalizer(), told("Deleted"),];
        world.reconcile(&leaving(), script).await.unwrap();
    }

    #[tokio::test]
    async fn while_the_crd_goes_away_only_the_finalizer_is_removed() {
        for crd in [read_crd().answered(going(&crd(), ASKED)), read_crd().refused(404, "NotFound")] {
            let world = World::with(CALM, &everything());
            world.reconcile(&leaving(), script![crd, remove_finalizer(), told("Released")]).await.unwrap();
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
            told("Deleted"),
        ];
        let world = World::with(CALM, &[class()]);
        world.reconcile(&space, script).await.unwrap();
        world.reconcile(&patched(&space, &patch, 103), script![]).await.unwrap();
    }

    #[tokio::test]
    async fn a_foreign_namespace_outlives_the_space_of_its_name() {
        let world = World::with(CALM, &[class(), foreign_namespace()]);
        let script = script![read_crd(), get(&namespace_path()).answered(foreign_namespace()), remove_finalizer(), told("Deleted"),];
        world.reconcile(&leaving(), script).await.unwrap();
    }

    #[tokio::test]
    async fn retain_strips_the_namespace_and_lets_it_go() {
        let space = with(&leaving(), &json!({"spec": {"deletionPolicy": "Retain"}}));
        let live = with(&stored_namespace(), &json!({"metadata": {"labels": {"theirs": "stays"}, "annotations": {"theirs": "stays too"}}}));
        let nulls = |map: &Value| map.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect::<Value>();
        let ours = namespace();
        let release = json!({"metadata": {
            "uid": NAMESPACE_UID, "labels": nulls(&ours["metadata"]["labels"]), "annotations": nulls(&ours["metadata"]["annotations"]),
        }});
        let mut objects = everything();
        objects[1] = live.clone();
        let world = World::with(CALM, &objects);
        let script = script![
            read_crd(),
            get(&namespace_path()).answered(live.clone()),
            delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
            delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
            merge_patch(&namespace_path(), release.clone()).answered(patched(&live, &release, 64)),
            remove_finalizer(),
            told("Released"),
        ];
        world.reconcile(&space, script).await.unwrap();
    }

    #[tokio::test]
    async fn a_protected_space_waits() {
        let space = with(&leaving(), &json!({"spec": {"protected": true}}));
        let mut status = terminating("this space is protected, so its deletion waits: set spec.protected to false to let it go on");
        status["expiresAt"] = Value::Null;
        let world = World::with(CALM, &everything());
        world.reconcile(&space, script![read_crd(), say(&space, &status), told("Terminating")]).await.unwrap();
        world.reconcile(&said(&space, &status), script![read_crd()]).await.unwrap();
    }
}
