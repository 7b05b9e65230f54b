//! Whole sweeps of `gc` against an API server that expects every call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Parser;
use developerspace_operator::{
    cli::{Cli, Command},
    gc::{output::Sweep, sweep},
};
use serde_json::{Value, json};
use support::{
    api_server::{Call, Step, delete, event, list, merge_patch, play, side_by_side},
    objects::*,
};

/// One sweep with those arguments when the space of the fixtures is due.
async fn sweep_with(arguments: &[&str], script: Vec<Step>) -> Sweep {
    let line = ["developerspace-operator", "gc", "--identity", "sweeper-0"].iter().chain(arguments);
    let Command::Gc(args) = Cli::try_parse_from(line).unwrap().command else { panic!("this is gc") };
    let clock = EXPIRES.parse::<DateTime<Utc>>().unwrap();
    play(script, async |client| sweep(client, Arc::new(clock), &args).await).await.unwrap()
}

fn lists(spaces: &[Value], namespaces: &[Value]) -> [Call; 3] {
    [list("/apis/developerspace.dev/v1alpha1/spaceclasses", &[class()]), list(SPACES, spaces), list("/api/v1/namespaces", namespaces)]
}

/// `object` with the name of another space.
fn named(object: &Value, name: &str) -> Value {
    merged(object, &json!({"metadata": {"name": name, "uid": uid(name)}, "status": {"namespace": {"name": name, "uid": uid_of(name)}}}))
}

fn uid_of(namespace: &str) -> String {
    format!("uid-of-namespace-{namespace}")
}

fn namespace_of(name: &str) -> Value {
    let metadata = json!({"name": name, "uid": uid_of(name), "annotations": {"developerspace.dev/space-uid": uid(name)}});
    merged(&stored_namespace(), &json!({"metadata": metadata}))
}

fn delete_namespace(name: &str) -> Call {
    delete(&format!("/api/v1/namespaces/{name}"), &json!({"uid": uid_of(name), "resourceVersion": "50"}))
        .answered(going(&namespace_of(name), EXPIRES))
}

fn seal() -> Call {
    let status = expired(&being_deleted(), true, EXPIRES);
    merge_patch(&status_path(), says(110, &status)).answered(patched(&warned(), &json!({"status": status}), 111))
}

fn row(kind: &str, name: &str, action: &str, result: &str) -> Value {
    json!({"kind": kind, "name": name, "action": action, "expiredAt": EXPIRES, "result": result})
}

fn deletion(name: &str, result: &str) -> Value {
    row("DeveloperSpace", name, "delete-namespace", result)
}

fn assert_swept(sweep: &Sweep, status: u8, rows: &[Value]) {
    assert_eq!(json!(sweep)["items"], json!(rows), "{}", sweep.table());
    assert_eq!(sweep.exit_status(), status, "{}", sweep.table());
}

/// What a script becomes of the calls of [`lists`] and what follows.
fn after(lists: [Call; 3], steps: Vec<Step>) -> Vec<Step> {
    lists.into_iter().map(Step::from).chain(steps).collect()
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let spaces = [warned(), named(&sealed(), "moss-lab"), named(&fresh(), "fern-lab")];
    let lists = lists(&spaces, &[stored_namespace(), namespace_of("moss-lab"), foreign_namespace()]);
    let sweep = sweep_with(&["--dry-run"], after(lists, script![])).await;
    let warning =
        json!({"kind": "DeveloperSpace", "name": "fern-lab", "action": "warn", "expiredAt": "2026-03-09T09:00:00Z", "result": "would-do"});
    assert_swept(&sweep, 0, &[warning, deletion("moss-lab", "would-do"), deletion(SPACE, "would-do")]);
    assert_eq!((sweep.live, sweep.refused, sweep.dry_run), (2, false, true));
}

#[tokio::test]
async fn a_failed_deletion_is_reported_and_the_others_go_on() {
    let names = ["fern-lab", "moss-lab", "rose-lab"];
    let lists = lists(&names.map(|name| named(&sealed(), name)), &names.map(namespace_of));
    let script = script![
        side_by_side([
            delete_namespace("fern-lab"),
            delete_namespace("moss-lab").refused(500, "InternalError"),
            delete_namespace("rose-lab"),
        ]),
        event("NamespaceDeleted", "DeveloperSpace", "fern-lab"),
        event("NamespaceDeleted", "DeveloperSpace", "rose-lab"),
    ];
    let sweep = sweep_with(&[], after(lists, script)).await;
    let mut failed = deletion("moss-lab", "failed");
    failed["message"] = json!("failed to delete namespace moss-lab: the server says InternalError");
    assert_swept(&sweep, 1, &[deletion("fern-lab", "done"), failed, deletion("rose-lab", "done")]);
}

#[tokio::test]
async fn more_than_the_limit_is_refused_whole() {
    let spaces = [warned(), named(&sealed(), "moss-lab")];
    let lists = || lists(&spaces, &[stored_namespace(), namespace_of("moss-lab")]);
    let sweep = sweep_with(&["--max-deletions", "1"], after(lists(), script![])).await;
    assert_swept(&sweep, 3, &[deletion("moss-lab", "refused"), deletion(SPACE, "refused")]);
    assert!(sweep.table().contains("Nothing was deleted"), "{}", sweep.table());
    let sweep = sweep_with(&["--max-deletions", "1", "--dry-run"], after(lists(), script![])).await;
    assert_eq!(sweep.exit_status(), 3, "a dry run says so too");
}

#[tokio::test]
async fn what_an_interrupted_sweep_left_is_not_refused_for_ever() {
    let names: Vec<String> = (10..22).map(|number| format!("fern-{number}")).collect();
    let spaces: Vec<Value> = names.iter().map(|name| named(&sealed(), name)).collect();
    let namespaces: Vec<Value> = names.iter().map(|name| namespace_of(name)).collect();
    let sweep = sweep_with(&["--max-deletions", "100%", "--dry-run"], after(lists(&spaces, &namespaces), script![])).await;
    assert_eq!((sweep.live, sweep.limit, sweep.refused), (0, 12, false), "{}", sweep.table());
}

#[tokio::test]
async fn a_due_space_is_sealed_before_its_namespace_is_deleted() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    let script = script![
        seal(),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"})).answered(going(&stored_namespace(), EXPIRES)),
        event("NamespaceDeleted", "DeveloperSpace", SPACE),
    ];
    assert_swept(&sweep_with(&[], after(lists, script)).await, 0, &[deletion(SPACE, "done")]);
}

#[tokio::test]
async fn a_space_that_was_renewed_in_between_is_skipped() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    let sweep = sweep_with(&[], after(lists, script![seal().refused(409, "Conflict")])).await;
    assert_swept(&sweep, 0, &[deletion(SPACE, "skipped")]);
}

#[tokio::test]
async fn annotated_namespaces_are_collected_when_asked_for_and_never_one_of_a_space() {
    let annotated = |name: &str, annotations: Value| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "uid": uid_of(name), "resourceVersion": "77", "creationTimestamp": "2026-03-08T08:00:00Z",
                "labels": {}, "annotations": annotations,
            },
        })
    };
    let namespaces = [
        annotated("scratch", json!({"developerspace.dev/ttl": "1d"})),
        annotated("younger", json!({"developerspace.dev/ttl": "2d"})),
        annotated("unclear", json!({"developerspace.dev/ttl": "soon"})),
        annotated("fern-lab", json!({"developerspace.dev/ttl": "1h"})),
        annotated("kube-public", json!({"developerspace.dev/ttl": "1h"})),
        annotated("claimed", json!({"developerspace.dev/ttl": "1h", "developerspace.dev/space-uid": "somebody"})),
    ];
    let space = merged(&named(&converged(), "fern-lab"), &json!({"spec": {"protected": true}}));
    let lists = || lists(std::slice::from_ref(&space), &namespaces);
    let script = script![delete("/api/v1/namespaces/scratch", &json!({"uid": uid_of("scratch"), "resourceVersion": "77"})),];
    let sweep = sweep_with(&["--include-annotated"], after(lists(), script)).await;
    let unclear = json!({
        "kind": "Namespace", "name": "unclear", "action": "read", "result": "failed",
        "message": "annotation developerspace.dev/ttl: \"soon\" cannot be read",
    });
    assert_swept(&sweep, 0, &[row("Namespace", "scratch", "delete-namespace", "done"), unclear]);
    assert_swept(&sweep_with(&[], after(lists(), script![])).await, 0, &[]);
}
