//! The exact calls that the operator sends to validate a class and to write its status.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use developerspace_operator::{
    api::SpaceClass,
    controller::classes::{ClassValidator, Spaces, look_up_roles, validate, validate_one},
};
use http::{Request, Response};
use kube::{
    Client,
    client::Body,
    runtime::{reflector, watcher::Event},
};
use serde_json::{Value, json};
use support::{
    api_server::{Call, Step, event_about_class, json_patch, look_up, may_bind, play, side_by_side},
    objects::{self, merged},
    world::World,
};
use tower_test::mock;

const NOW: &str = "2026-03-04T10:00:00Z";
const STATUS: &str = "/apis/developerspace.dev/v1alpha1/spaceclasses/greenhouse/status";
const USABLE: &str = "spaces may use this class";

/// The class as an administrator just wrote it.
fn written() -> Value {
    let mut class = objects::class();
    class.as_object_mut().unwrap().remove("status");
    class
}

/// The accepted class, whose status has the copy of its spec.
fn converged() -> Value {
    standing_accepted(&objects::class())
}

fn standing_accepted(class: &Value) -> Value {
    let stands = accepted("True", "Valid", USABLE, objects::CREATED);
    merged(class, &json!({"status": {"accepted": stored_spec(class), "conditions": [stands]}}))
}

/// The spec as the operator copies it.
fn stored_spec(class: &Value) -> Value {
    serde_json::to_value(objects::read::<SpaceClass>(class).spec).unwrap()
}

fn accepted(status: &str, reason: &str, message: &str, since: &str) -> Value {
    json!({"type": "Accepted", "status": status, "reason": reason, "message": message, "observedGeneration": 4, "lastTransitionTime": since})
}

/// Writes the whole status, at the version that was validated.
fn writes(condition: &Value, spec: Option<&Value>) -> Call {
    let mut status = json!({"observedGeneration": 4, "conditions": [condition]});
    if let Some(spec) = spec {
        status["accepted"] = spec.clone();
    }
    let operations = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "40"},
        {"op": "add", "path": "/status", "value": status},
    ]);
    json_patch(STATUS, operations).answered(written())
}

fn no_spaces() -> Spaces {
    reflector::store().0
}

/// The spaces of a cluster that has only `space`.
fn only(space: &Value) -> Spaces {
    let (spaces, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(objects::read(space)));
    spaces
}

/// Validates `class` in `world` and expects exactly the calls of `script`.
async fn judged(world: &World, class: &Value, spaces: Spaces, script: Vec<Step>) {
    world.keep(class);
    let class: SpaceClass = objects::read(class);
    play(script, async |client| validate(&world.context(client), &spaces, &class).await).await.unwrap();
}

/// Looks up all ClusterRoles. Returns those that were created or deleted.
async fn looked_up(world: &World, script: Vec<Step>) -> BTreeSet<String> {
    play(script, async |client| look_up_roles(&world.context(client).io).await).await
}

#[tokio::test]
async fn a_new_class_is_accepted_together_with_its_spec() {
    let class = written();
    let (asked, allowed) =
        (side_by_side([look_up("edit"), look_up("view")]), [may_bind("edit", true), may_bind("view", true)]);
    let written = writes(&accepted("True", "Valid", USABLE, NOW), Some(&stored_spec(&class)));
    let [edit, view] = allowed;
    judged(&World::empty(NOW), &class, no_spaces(), script![asked, edit, view, written]).await;
}

#[tokio::test]
async fn a_converged_class_costs_nothing() {
    judged(&World::empty(NOW), &converged(), no_spaces(), vec![]).await;
}

#[tokio::test]
async fn a_class_accepted_by_an_older_operator_gets_its_copy_by_one_write() {
    let class = objects::class();
    let written = writes(&accepted("True", "Valid", USABLE, objects::CREATED), Some(&stored_spec(&class)));
    judged(&World::empty(NOW), &class, no_spaces(), script![written]).await;
}

#[tokio::test]
async fn a_refused_change_keeps_the_spec_last_accepted() {
    let before = stored_spec(&objects::class());
    let typo = json!({"metadata": {"generation": 4}, "spec": {"lifetime": {"maxTTL": "2s"}}, "status": {"conditions": [
        merged(&accepted("True", "Valid", USABLE, objects::CREATED), &json!({"observedGeneration": 3}))]}});
    let class = merged(&converged(), &typo);
    let problem = "lifetime.defaultTTL 7d is longer than lifetime.maxTTL 2s: shorten defaultTTL or lengthen maxTTL";
    let written = writes(&accepted("False", "InvalidSpec", problem, NOW), Some(&before));
    judged(&World::empty(NOW), &class, no_spaces(), script![written]).await;
    // A class that was never accepted has no earlier spec to keep.
    let class = merged(&self::written(), &json!({"spec": {"lifetime": {"maxTTL": "2s"}}}));
    judged(
        &World::empty(NOW),
        &class,
        no_spaces(),
        script![writes(&accepted("False", "InvalidSpec", problem, NOW), None)],
    )
    .await;
}

#[tokio::test]
async fn a_class_that_a_newer_operator_refuses_keeps_what_it_had() {
    let open = merged(&objects::class(), &json!({"spec": {"network": {"allowFromNamespaces": [{}]}}}));
    let world = World::empty(NOW);
    let problem = "network.allowFromNamespaces: an empty selector selects every namespace: select namespaces by name, for example matchLabels {kubernetes.io/metadata.name: ingress-nginx}";
    let written = writes(&accepted("False", "InvalidSpec", problem, NOW), Some(&stored_spec(&open)));
    judged(&world, &open, no_spaces(), script![written]).await;
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_named_until_it_does() {
    let (world, class) = (World::with(NOW, &[converged()]), converged());
    let missing = look_up("view").refused(404, "NotFound");
    looked_up(&world, script![side_by_side([look_up("edit"), missing])]).await;
    let message = "ClusterRole view does not exist: create what is missing, or name another ClusterRole; until then no new RoleBinding to it is created, and everything else of this class applies";
    let not_found = accepted("False", "RoleNotFound", message, NOW);
    judged(&world, &class, no_spaces(), script![writes(&not_found, Some(&stored_spec(&class)))]).await;
    let class = merged(&class, &json!({"status": {"conditions": [not_found]}}));
    judged(&world, &class, no_spaces(), vec![]).await;
    assert_eq!(objects::read::<SpaceClass>(&class).in_force(), Some(&objects::read::<SpaceClass>(&class).spec));
    // Neither a failed request nor a missing permission to read changes the result.
    looked_up(
        &world,
        script![side_by_side([
            look_up("edit").refused(500, "InternalError"),
            look_up("view").refused(403, "Forbidden")
        ])],
    )
    .await;
    judged(&world, &class, no_spaces(), vec![]).await;
    looked_up(&world, script![side_by_side([look_up("edit"), look_up("view")])]).await;
    let written = writes(&accepted("True", "Valid", USABLE, NOW), Some(&stored_spec(&class)));
    judged(&world, &class, no_spaces(), script![written]).await;
}

/// A ClusterRole whose look-up failed counts as existing, and spaces were given bindings to it.
#[tokio::test]
async fn a_role_that_is_first_found_missing_after_a_failed_look_up_has_changed() {
    let world = World::with(NOW, &[converged()]);
    let look = |view: Call| script![side_by_side([look_up("edit"), view])];
    assert_eq!(looked_up(&world, look(look_up("view").refused(500, "InternalError"))).await, [].into());
    assert_eq!(looked_up(&world, look(look_up("view").refused(404, "NotFound"))).await, ["view".to_owned()].into());
    assert_eq!(looked_up(&world, look(look_up("view").refused(404, "NotFound"))).await, [].into());
    assert_eq!(looked_up(&world, look(look_up("view"))).await, ["view".to_owned()].into());
}

/// The ClusterRoles are looked up a few at a time, and these look-ups take longer than the interval between two rounds
/// of them.
#[tokio::test(start_paused = true)]
async fn a_class_is_validated_although_no_look_up_of_a_role_is_answered() {
    let readers =
        (0..60).map(|number| json!({"name": format!("reader-{number}"), "clusterRole": format!("reader-{number}")}));
    let roles: Vec<Value> = readers.chain([json!({"name": "grower", "clusterRole": "edit"})]).collect();
    let world = World::with(NOW, &[merged(&written(), &json!({"spec": {"roles": roles}}))]);
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let (_validator, validation) = ClassValidator::new(world.context(Client::new(service, "default")), no_spaces());
    let validating = tokio::spawn(validation);
    let allowed = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}, "spec": {}, "status": {"allowed": true},
    });
    let is_written = async {
        let mut unanswered = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            match request.uri().path() {
                STATUS => return true,
                path if path.ends_with("/selfsubjectaccessreviews") => {
                    reply.send_response(Response::new(Body::from(allowed.to_string().into_bytes())));
                }
                _ => unanswered.push(reply),
            }
        }
        false
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(600), is_written).await, Ok(true));
    validating.abort();
}

#[tokio::test]
async fn a_role_that_may_not_be_bound_is_refused_before_it_is_missed() {
    let class = written();
    let there = "the operator may not bind ClusterRole edit: name another role, or add edit to the resourceNames of the bind rule in the operator's ClusterRole";
    let missing = "ClusterRole edit does not exist, and the operator may not bind one of that name: correct the name, or create the ClusterRole and add edit to the resourceNames of the bind rule in the operator's ClusterRole";
    for (answer, message) in [(look_up("edit"), there), (look_up("edit").refused(404, "NotFound"), missing)] {
        let asked = side_by_side([answer, look_up("view")]);
        let written = writes(&accepted("False", "RoleNotBindable", message, NOW), None);
        judged(&World::empty(NOW), &class, no_spaces(), script![asked, may_bind("edit", false), written]).await;
    }
}

#[tokio::test]
async fn the_class_with_the_selector_is_refused_whichever_was_written_last() {
    let selecting =
        json!({"spec": {"network": {"allowFromNamespaces": [{"matchLabels": {"example.com/role": "front"}}]}}});
    let class = standing_accepted(&merged(&objects::class(), &selecting));
    let world = World::empty(NOW);
    judged(&world, &class, no_spaces(), vec![]).await;
    world.keep(&json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "nursery"},
        "spec": {"metadata": {"allowedKeys": ["example.com/*"]}},
    }));
    let problem = "network.allowFromNamespaces: owners of spaces write the label example.com/role, since metadata.allowedKeys has example.com/* in SpaceClass nursery: select namespaces by name, for example matchLabels {kubernetes.io/metadata.name: ingress-nginx}";
    let written = writes(&accepted("False", "InvalidSpec", problem, NOW), Some(&stored_spec(&class)));
    judged(&world, &class, no_spaces(), script![written]).await;
}

#[tokio::test]
async fn a_class_may_not_let_in_the_namespace_of_a_space() {
    let naming = json!({"spec": {"network": {"allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": objects::SPACE}}]}}});
    let class = standing_accepted(&merged(&objects::class(), &naming));
    let world = World::with(NOW, &[objects::stored_namespace()]);
    judged(&world, &class, no_spaces(), vec![]).await;
    let mut elsewhere = objects::converged();
    elsewhere["metadata"]["uid"] = json!("uid-of-another-space");
    elsewhere["status"]["namespace"] = json!(null);
    judged(&world, &class, only(&elsewhere), vec![]).await;
    let problem = "network.allowFromNamespaces: namespace orchid-lab belongs to the DeveloperSpace of that name: select namespaces by name, for example matchLabels {kubernetes.io/metadata.name: ingress-nginx}";
    let written = writes(&accepted("False", "InvalidSpec", problem, NOW), Some(&stored_spec(&class)));
    judged(&world, &class, only(&objects::converged()), script![written]).await;
}

/// Validates the class after that number of failures, while `write` is the write of its status, and expects that Event.
async fn attempted(world: &World, failures: u32, write: Call, event: Option<Call>) -> Option<Duration> {
    let [edit, view] = [may_bind("edit", true), may_bind("view", true)];
    let mut script = script![side_by_side([look_up("edit"), look_up("view")]), edit, view, write];
    script.extend(event.map(Step::from));
    let spaces = only(&objects::fresh());
    play(script, async |client| validate_one(&world.context(client), &spaces, "greenhouse", failures).await).await
}

/// A webhook or a policy of the cluster refuses the status of the class, which would contain the error.
#[tokio::test]
async fn an_error_that_lasts_is_published_and_reported_to_the_spaces_that_wait() {
    let mut world = World::with(NOW, &[written()]);
    let write = || writes(&accepted("True", "Valid", USABLE, NOW), Some(&stored_spec(&written())));
    let denied = "admission webhook \"guard.example.com\" denied the request: classes are frozen";
    let error = format!("failed to write the status of SpaceClass greenhouse: {denied}");
    let note = format!("the operator {error}; it retries, and a change of this SpaceClass has no effect until then");
    let event = || event_about_class("ValidationFailed", "greenhouse", "uid-of-the-class").with_note(&note);
    let reported = |world: &World| world.store.validation_error("greenhouse").map(|error| error.to_string());

    let wait = attempted(&world, 0, write().refused(500, "InternalError"), None).await;
    assert_eq!((wait, reported(&world)), (Some(Duration::from_secs(1)), None), "the next attempt may succeed");
    assert_eq!(world.requeued().await, [""; 0]);

    let refused = || write().refused_with(403, "Forbidden", denied);
    let wait = attempted(&world, 1, refused(), Some(event())).await;
    assert_eq!((wait, reported(&world)), (Some(Duration::from_secs(25)), Some(error.clone())));
    assert_eq!(world.requeued().await, [objects::SPACE]);

    attempted(&world, 2, refused(), Some(event())).await;
    assert_eq!(
        (reported(&world), world.requeued().await),
        (Some(error), vec![]),
        "the spaces report this error already"
    );

    assert_eq!(attempted(&world, 3, write(), None).await, None);
    assert_eq!(reported(&world), None);
}

/// The spaces of the class have an earlier spec, so they do not wait.
#[tokio::test]
async fn an_error_about_a_class_in_its_current_generation_requeues_no_space() {
    let stale = merged(&converged(), &json!({"status": {"observedGeneration": 3}}));
    let mut world = World::with(NOW, std::slice::from_ref(&stale));
    let write = writes(&accepted("True", "Valid", USABLE, objects::CREATED), Some(&stored_spec(&stale)));
    let script = script![
        write.refused(403, "Forbidden"),
        event_about_class("ValidationFailed", "greenhouse", "uid-of-the-class")
    ];
    let spaces = only(&objects::converged());
    play(script, async |client| validate_one(&world.context(client), &spaces, "greenhouse", 0).await).await.unwrap();
    assert_eq!((world.store.failing_classes(), world.requeued().await), (1, vec![]));
}

/// Each shipped class limits the number of the objects that fill etcd and of those that cost money. It limits no kind
/// of object that the operator creates itself: another user could fill the quota with such objects, and a deleted one
/// could not be restored.
#[test]
fn the_shipped_classes_bound_the_number_of_objects() {
    let counted = [
        "pods",
        "services",
        "services.loadbalancers",
        "services.nodeports",
        "persistentvolumeclaims",
        "configmaps",
        "secrets",
        "count/jobs.batch",
        "count/cronjobs.batch",
        "count/deployments.apps",
    ];
    for (file, numbers) in [
        (include_str!("../config/classes/small.yaml"), ["20", "10", "0", "0", "2", "30", "30", "20", "5", "10"]),
        (
            include_str!("../config/classes/standard.yaml"),
            ["100", "50", "1", "2", "5", "100", "100", "100", "20", "50"],
        ),
        (
            include_str!("../config/classes/large.yaml"),
            ["400", "100", "2", "5", "20", "200", "200", "400", "50", "100"],
        ),
    ] {
        let class: SpaceClass = serde_saphyr::from_str(file).unwrap();
        let hard = class.spec.quota.unwrap().hard;
        let is_a_count = |key: &&String| !key.contains("cpu") && !key.contains("memory") && !key.contains("storage");
        let bounds: BTreeMap<&str, &str> =
            hard.keys().filter(is_a_count).map(|key| (key.as_str(), hard[key].0.as_str())).collect();
        assert_eq!(bounds, counted.into_iter().zip(numbers).collect(), "{}", class.metadata.name.unwrap());
    }
}
