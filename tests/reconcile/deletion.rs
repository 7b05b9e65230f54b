//! A space that somebody deletes.

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
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"})).answered(gone.clone()),
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
    // The store still has the space, whose namespace may be another's by now.
    world.reconcile(&space, script![]).await.unwrap();
}

/// The answer to the patch was lost: the namespace is nobody's by now, and is not written again.
#[tokio::test]
async fn what_was_let_go_is_left_alone() {
    let space = with(&leaving(), &json!({"spec": {"deletionPolicy": "Retain"}}));
    let mut live = stored_namespace();
    for field in ["labels", "annotations", "managedFields"] {
        live["metadata"].as_object_mut().unwrap().remove(field);
    }
    let world = World::with(CALM, &[class(), live.clone()]);
    let script = script![read_crd(), get(&namespace_path()).answered(live), remove_finalizer(), told("Released")];
    world.reconcile(&space, script).await.unwrap();
}

#[tokio::test]
async fn a_protected_space_waits() {
    let space = with(&leaving(), &json!({"spec": {"protected": true}, "status": {"terms": {"protected": true}}}));
    let mut status = terminating("this space is protected, so its deletion waits: set spec.protected to false to let it go on");
    status["expiresAt"] = Value::Null;
    status["terms"]["protected"] = json!(true);
    let world = World::with(CALM, &everything());
    world.reconcile(&space, script![read_crd(), say(&space, &status), told("Terminating")]).await.unwrap();
    world.reconcile(&said(&space, &status), script![read_crd()]).await.unwrap();
}

const NO_DELETES: &str = "namespaces \"orchid-lab\" is forbidden: ValidatingAdmissionPolicy 'volumes-first' denied request: it has volumes";

fn waits(sentence: &str) -> Value {
    terminating(&format!("this DeveloperSpace is being deleted, and that waits: {sentence}"))
}

async fn is_told(space: &Value, calls: Vec<Step>, sentence: &str) {
    let world = World::with(CALM, &everything());
    let status = waits(sentence);
    let script = calls.iter().cloned().chain(script![say(space, &status), told("Terminating")]).collect();
    assert_eq!(class_of(&world.reconcile(space, script).await), Some(Class::Forbidden));
    assert_eq!(class_of(&world.reconcile(&said(space, &status), calls).await), Some(Class::Forbidden), "it is said once");
}

#[tokio::test]
async fn what_refuses_a_deletion_is_told() {
    let refused = delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}));
    let calls =
        script![read_crd(), get(&namespace_path()).answered(stored_namespace()), refused.refused_with(403, "Forbidden", NO_DELETES)];
    is_told(&leaving(), calls, &format!("failed to delete namespace orchid-lab: {NO_DELETES}")).await;

    let calls = script![read_crd().refused(403, "Forbidden")];
    let sentence = "failed to read CustomResourceDefinition developerspaces.developerspace.dev: the server says Forbidden";
    is_told(&leaving(), calls, sentence).await;

    let calls = script![read_crd(), get(&namespace_path()).refused(403, "Forbidden")];
    is_told(&leaving(), calls, "failed to read namespace orchid-lab: the server says Forbidden").await;
}
