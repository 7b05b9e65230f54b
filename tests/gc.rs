//! Whole sweeps of `gc` against an API server that expects every call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Parser;
use developerspace_operator::{
    api::crd::crds,
    cli::{Cli, Command},
    gc::{account::refusal, output::Sweep, run, settings::protected, sweep},
};
use serde_json::{Value, json};
use support::{
    api_server::{
        Call, Step, delete, event, event_inside, get, get_metadata, list, may, merge_patch, play, post_by_default,
        remove_managed_fields, side_by_side,
    },
    objects::*,
};

/// Runs one sweep with those arguments at the time at which the space of the fixtures is due.
async fn sweep_with(arguments: &[&str], script: Vec<Step>) -> Sweep {
    sweep_at(EXPIRES, arguments, script).await
}

async fn sweep_at(now: &str, arguments: &[&str], script: Vec<Step>) -> Sweep {
    let line = ["developerspace-operator", "gc", "--identity", "sweeper-0", "--protected-namespaces", "monitoring"]
        .iter()
        .chain(arguments);
    let Command::Gc(args) = Cli::try_parse_from(line).unwrap().command else { panic!("this is gc") };
    let clock = now.parse::<DateTime<Utc>>().unwrap();
    play(script, async |client| {
        let protected = protected(&client, &args).await.unwrap();
        sweep(client, Arc::new(clock), &args, protected).await
    })
    .await
    .unwrap()
}

fn lists(spaces: &[Value], namespaces: &[Value]) -> [Call; 3] {
    lists_under(&class(), spaces, namespaces)
}

fn lists_under(class: &Value, spaces: &[Value], namespaces: &[Value]) -> [Call; 3] {
    [
        list("/apis/developerspace.dev/v1alpha1/spaceclasses", 25, std::slice::from_ref(class)),
        list(SPACES, 10, spaces),
        list("/api/v1/namespaces", 25, namespaces),
    ]
}

/// `object` with the name of another space.
fn named(object: &Value, name: &str) -> Value {
    merged(
        object,
        &json!({"metadata": {"name": name, "uid": uid(name)}, "status": {"namespace": {"name": name, "uid": uid_of(name)}}}),
    )
}

fn uid_of(namespace: &str) -> String {
    format!("uid-of-namespace-{namespace}")
}

fn namespace_of(name: &str) -> Value {
    let metadata =
        json!({"name": name, "uid": uid_of(name), "annotations": {"developerspace.dev/space-uid": uid(name)}});
    merged(&stored_namespace(), &json!({"metadata": metadata}))
}

fn delete_namespace(name: &str) -> Call {
    delete(&format!("/api/v1/namespaces/{name}"), &json!({"uid": uid_of(name), "resourceVersion": "50"}))
        .answered(going(&namespace_of(name), EXPIRES))
}

/// The read of the CRD before the deletion of the namespace of a space.
fn get_crd() -> Call {
    crd(&json!({}))
}

/// The read of the CRD, with more metadata.
fn crd(more: &Value) -> Call {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/developerspaces.developerspace.dev";
    let metadata = merged(&json!({"name": "developerspaces.developerspace.dev", "uid": "uid-of-the-crd"}), more);
    get_metadata(path)
        .answered(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}))
}

/// The write of `status`.
fn write(space: &Value, status: &Value) -> Call {
    let version: u64 = space["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    merge_patch(&status_path(), status_body(version, status)).answered(written(space, status))
}

/// `space` after [`write`].
fn written(space: &Value, status: &Value) -> Value {
    let version: u64 = space["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    patched(space, &json!({"status": status}), version + 1)
}

fn seal() -> Call {
    write(&warned(), &expired(&being_deleted(), true, EXPIRES))
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

/// A script of the calls of [`lists`], followed by `steps`.
fn after(lists: [Call; 3], steps: Vec<Step>) -> Vec<Step> {
    lists.into_iter().map(Step::from).chain(steps).collect()
}

/// The API server drops the fields that a CRD lacks, and the decisions of a sweep depend on them.
#[tokio::test]
async fn a_sweep_with_an_old_crd_lists_and_writes_nothing() {
    let line = ["developerspace-operator", "gc", "--protected-namespaces", "monitoring"];
    let Command::Gc(args) = Cli::try_parse_from(line).unwrap().command else { panic!("this is gc") };
    let clock = EXPIRES.parse::<DateTime<Utc>>().unwrap();
    let mut old = json!(crds()[0]);
    let fields = old.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
    assert!(fields.as_object_mut().unwrap().remove("terms").is_some());
    let script = [old, json!(crds()[1])].map(|crd| {
        let name = crd["metadata"]["name"].as_str().unwrap();
        Step::from(
            get(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")).answered(crd.clone()),
        )
    });
    let answer = play(script.into(), async |client| run(client, Arc::new(clock), &args).await).await;
    let error = "the installed CustomResourceDefinitions lack fields that this operator writes (DeveloperSpace status.terms), and it changes no space and no \
                 class until they have them: run kubectl apply -k config/crd";
    assert_eq!(answer.map(|answer| answer.code).map_err(|error| error.to_string()), Err(error.to_owned()));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let spaces = [warned(), named(&sealed(), "moss-lab"), named(&fresh(), "fern-lab")];
    let lists = lists(&spaces, &[stored_namespace(), namespace_of("moss-lab"), foreign_namespace()]);
    let sweep = sweep_with(&["--dry-run"], after(lists, script![])).await;
    let warning = json!({"kind": "DeveloperSpace", "name": "fern-lab", "action": "warn", "expiredAt": "2026-03-09T09:00:00Z", "result": "would-do"});
    assert_swept(&sweep, 0, &[warning, deletion("moss-lab", "would-do"), deletion(SPACE, "would-do")]);
    assert_eq!((sweep.live, sweep.refused, sweep.dry_run), (2, false, true));
}

#[tokio::test]
async fn a_failed_deletion_is_reported_and_the_others_go_on() {
    let names = ["fern-lab", "moss-lab", "rose-lab"];
    let lists = lists(&names.map(|name| named(&sealed(), name)), &names.map(namespace_of));
    let script = script![
        side_by_side([get_crd(), get_crd(), get_crd()]),
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

/// Sealed spaces of an interrupted sweep, and their namespaces.
fn interrupted(count: usize) -> (Vec<Value>, Vec<Value>) {
    let names: Vec<String> = (10..10 + count).map(|number| format!("fern-{number}")).collect();
    (names.iter().map(|name| named(&sealed(), name)).collect(), names.iter().map(|name| namespace_of(name)).collect())
}

#[tokio::test]
async fn what_an_interrupted_sweep_left_is_not_refused_forever() {
    let (spaces, namespaces) = interrupted(12);
    let sweep =
        sweep_with(&["--max-deletions", "100%", "--dry-run"], after(lists(&spaces, &namespaces), script![])).await;
    assert_eq!((sweep.live, sweep.limit, sweep.refused), (12, 12, false), "{}", sweep.table());
}

#[tokio::test]
async fn the_limit_counts_the_namespaces_of_spaces_and_plain_ones_together() {
    let (spaces, mut namespaces) = interrupted(2);
    namespaces.push(plain_namespace("scratch", &ttl("1d")));
    let sweep = async |limit: &str| {
        let lists = lists(&spaces, &namespaces);
        sweep_with(&["--include-annotated", "--dry-run", "--max-deletions", limit], after(lists, script![])).await
    };
    let rows = |result| {
        [
            deletion("fern-10", result),
            deletion("fern-11", result),
            row("Namespace", "scratch", "delete-namespace", result),
        ]
    };
    assert_swept(&sweep("3").await, 0, &rows("would-do"));
    assert_swept(&sweep("2").await, 3, &rows("refused"));
}

#[tokio::test]
async fn spaces_without_a_namespace_do_not_raise_the_limit() {
    let (mut spaces, namespaces) = interrupted(12);
    spaces.extend((10..90).map(|number| named(&fresh(), &format!("moss-{number}"))));
    let sweep = sweep_with(&["--dry-run"], after(lists(&spaces, &namespaces), script![])).await;
    assert_eq!((sweep.live, sweep.limit, sweep.exit_status()), (12, 10, 3), "{}", sweep.table());
}

#[tokio::test]
async fn zero_refuses_any_deletion() {
    let lists = || lists(&[named(&sealed(), "moss-lab")], &[namespace_of("moss-lab")]);
    for none in ["0", "0%"] {
        let sweep = sweep_with(&["--max-deletions", none], after(lists(), script![])).await;
        assert_swept(&sweep, 3, &[deletion("moss-lab", "refused")]);
    }
}

#[tokio::test]
async fn a_due_space_is_sealed_before_its_namespace_is_deleted() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    let script = script![
        get_crd(),
        seal(),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
            .answered(going(&stored_namespace(), EXPIRES)),
        event("NamespaceDeleted", "DeveloperSpace", SPACE),
    ];
    assert_swept(&sweep_with(&[], after(lists, script)).await, 0, &[deletion(SPACE, "done")]);
}

#[tokio::test]
async fn a_warning_is_published_in_the_namespace_only_if_it_belongs_to_the_space() {
    let mut alone = warned_of("1d", WARNED_A_DAY_BEFORE);
    alone["conditions"][1]["message"] = json!(expiring_alone("1d"));
    let inside = event_inside("Expiring", SPACE, NAMESPACE_UID);
    for (namespace, status, inside) in
        [(stored_namespace(), warned_of("1d", WARNED_A_DAY_BEFORE), Some(inside)), (foreign_namespace(), alone, None)]
    {
        let lists = lists(&[converged()], &[namespace]);
        let written = merge_patch(&status_path(), status_body(102, &status)).answered(patched(
            &converged(),
            &json!({"status": status}),
            103,
        ));
        let script = script![written, event("Expiring", "DeveloperSpace", SPACE)]
            .into_iter()
            .chain(inside.map(Step::from))
            .collect();
        let sweep = sweep_at(WARNED_A_DAY_BEFORE, &[], after(lists, script)).await;
        assert_swept(&sweep, 0, &[row("DeveloperSpace", SPACE, "warn", "done")]);
    }
}

const RENEW: &str = "to renew, set spec.renewedAt to the current time";

/// The status of a space whose end is announced as `until`, with the warning of the threshold `before`.
fn announced(status: &Value, (from, until): (&str, &str), before: &str, remedy: &str) -> Value {
    let warning = json!({"at": from, "before": before, "expiresAt": until});
    let mut status = merged(status, &json!({"expiresAt": until, "lastWarning": warning}));
    let message =
        format!("namespace {SPACE} and everything in it is deleted at {until} (warned {before} before); {remedy}");
    let expiring = json!({"status": "True", "reason": "WarningGiven", "message": message});
    status["conditions"][1] = merged(&status["conditions"][1], &expiring);
    status
}

/// The rows of a sweep that does this to the space, which ends at `until`.
fn done(action: &str, until: &str) -> [Value; 1] {
    [merged(&row("DeveloperSpace", SPACE, action, "done"), &json!({"expiredAt": until}))]
}

/// The status of the space that was sealed at `until`.
fn sealed_at(space: &Value, status: &Value, until: &str) -> Value {
    let (message, generation) = (being_deleted(), space["metadata"]["generation"].as_i64().unwrap());
    let up = format!("this DeveloperSpace expired at {until}; create a new DeveloperSpace to continue");
    let rows = [
        (false, "Expired", message.as_str(), until),
        (false, "NotYet", "", until),
        (true, "TimeIsUp", up.as_str(), until),
        (true, "Expired", message.as_str(), until),
        (false, "Expired", "", MADE),
    ];
    merged(status, &json!({"observedGeneration": generation, "conditions": conditions(generation, &rows)}))
}

/// Three sweeps at those times: the first writes `status`, which announces the end `until`, and the last one deletes
/// the namespace.
async fn ends_within_three_sweeps(class: &Value, space: &Value, times: [&str; 3], (status, until): (&Value, &str)) {
    let lists = |space: &Value| lists_under(class, std::slice::from_ref(space), &[stored_namespace()]);
    let script = script![
        write(space, status),
        event("Expiring", "DeveloperSpace", SPACE),
        event_inside("Expiring", SPACE, NAMESPACE_UID)
    ];
    assert_swept(&sweep_at(times[0], &[], after(lists(space), script)).await, 0, &done("warn", until));
    let space = &written(space, status);
    assert_swept(&sweep_at(times[1], &[], after(lists(space), script![])).await, 0, &[]);
    let script = script![
        get_crd(),
        write(space, &sealed_at(space, status, until)),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
            .answered(going(&stored_namespace(), until)),
        event("NamespaceDeleted", "DeveloperSpace", SPACE),
    ];
    assert_swept(&sweep_at(times[2], &[], after(lists(space), script)).await, 0, &done("delete-namespace", until));
}

#[tokio::test]
async fn a_ttl_that_ends_in_the_past_ends_the_space_after_a_notice() {
    let (from, until) = ("2026-03-04T12:00:01Z", "2026-03-04T13:00:01Z");
    let more =
        json!({"terms": {"ttl": "1d"}, "postponed": {"of": "2026-03-03T08:00:00Z", "from": from, "until": until}});
    let mut status = announced(&merged(&provisioned(), &more), (from, until), "1h", RENEW);
    status["conditions"][1]["lastTransitionTime"] = json!("2026-03-04T12:00:00Z");
    let times = ["2026-03-04T12:00:00.400Z", "2026-03-04T12:40:00.700Z", "2026-03-04T13:00:01.300Z"];
    ends_within_three_sweeps(&class(), &edited(&converged(), &json!({"ttl": "1d"}), 120), times, (&status, until))
        .await;
}

#[tokio::test]
async fn a_protection_that_is_removed_after_the_end_ends_the_space_after_a_notice() {
    let (from, until) = ("2026-03-20T09:00:01Z", "2026-03-20T10:00:01Z");
    let protected = json!({"spec": {"protected": true}, "status": {"expiresAt": null, "terms": {"protected": true}}});
    let space = edited(&merged(&converged(), &protected), &json!({"protected": false}), 120);
    let more = json!({"postponed": {"of": EXPIRES, "from": from, "until": until}});
    let mut status = announced(&merged(&provisioned(), &more), (from, until), "1h", RENEW);
    status["conditions"][1]["lastTransitionTime"] = json!("2026-03-20T09:00:00Z");
    let times = ["2026-03-20T09:00:00.300Z", "2026-03-20T09:10:00.900Z", "2026-03-20T10:00:01.100Z"];
    ends_within_three_sweeps(&class(), &space, times, (&status, until)).await;
}

/// The first sweep after the beginning of the last notice is minutes late.
#[tokio::test]
async fn the_longest_life_ends_after_a_notice() {
    let (ceiling, from, until) = ("2026-03-08T08:00:00Z", "2026-03-08T07:03:21Z", "2026-03-08T08:03:21Z");
    let remedy = "lifetime.maxLifetime of the class sets this expiry, and a renewal does not extend it: create a new DeveloperSpace, or \
                  use another class";
    let class = merged(&class(), &json!({"spec": {"lifetime": {"maxLifetime": "6d"}}}));
    let bounded = merged(&provisioned(), &json!({"terms": {"maxLifetime": "6d"}}));
    let mut before = announced(&bounded, ("2026-03-07T08:00:00Z", ceiling), "1d", remedy);
    before["conditions"][1]["lastTransitionTime"] = json!("2026-03-07T08:00:00Z");
    let space = merged(&converged(), &json!({"status": before}));
    let notice = json!({"lastNotice": {"of": ceiling, "from": from, "until": until}});
    let status = announced(&merged(&before, &notice), (from, until), "1h", remedy);
    let times = ["2026-03-08T07:03:20.500Z", "2026-03-08T07:33:20.900Z", "2026-03-08T08:03:21.200Z"];
    ends_within_three_sweeps(&class, &space, times, (&status, until)).await;
}

/// The owner shortens the ttl while a notice of withdrawn consent runs. Otherwise another notice would begin at the end
/// of that one.
#[tokio::test]
async fn a_notice_that_continues_after_a_change_is_recorded() {
    let (from, until) = ("2026-03-20T09:00:00Z", "2026-03-27T09:00:00Z");
    let more = json!({"postponed": {"of": EXPIRES, "from": from, "until": until}});
    let before = announced(&merged(&provisioned(), &more), (from, until), "7d", RENEW);
    let space = edited(&merged(&converged(), &json!({"status": before})), &json!({"ttl": "6d"}), 120);
    let status = merged(&before, &json!({"terms": {"ttl": "6d"}, "postponed": {"of": "2026-03-08T08:00:00Z"}}));
    let sweep = |space: &Value, script: Vec<Step>| {
        let lists = lists(std::slice::from_ref(space), &[stored_namespace()]);
        sweep_at("2026-03-22T10:00:00.600Z", &[], after(lists, script))
    };
    assert_swept(&sweep(&space, script![write(&space, &status)]).await, 0, &done("notice", until));
    assert_swept(&sweep(&written(&space, &status), script![]).await, 0, &[]);
}

/// The administrator corrected the class, and no controller has validated it since.
#[tokio::test]
async fn a_space_that_the_current_spec_of_its_class_ends_later_is_left_alone_until_the_class_is_validated() {
    let changed = |ttl: &str| {
        let (accepted, lifetime) = (class()["spec"].clone(), json!({"defaultTTL": ttl}));
        merged(
            &class(),
            &json!({"metadata": {"generation": 5}, "spec": {"lifetime": lifetime}, "status": {"accepted": accepted}}),
        )
    };
    let message = "it has expired under the spec of SpaceClass greenhouse that was accepted last, and not under the current spec, which \
                   the controller has not validated yet: start the controller, or wait until it has validated the class";
    let report = merged(&row("DeveloperSpace", SPACE, "report", "left-alone"), &json!({"message": message}));
    for arguments in [&[][..], &["--dry-run"]] {
        let lists = lists_under(&changed("10d"), &[warned()], &[stored_namespace()]);
        assert_swept(&sweep_with(arguments, after(lists, script![])).await, 0, std::slice::from_ref(&report));
    }
    let lists = lists_under(&changed("5d"), &[warned()], &[stored_namespace()]);
    assert_swept(&sweep_with(&["--dry-run"], after(lists, script![])).await, 0, &[deletion(SPACE, "would-do")]);
}

/// Owners can add managed fields until no write fits. The account of the sweep may lack the permission to remove them.
#[tokio::test]
async fn a_write_that_does_not_fit_is_sent_once_more_without_the_managed_fields() {
    let write = |space: &Value, status: &Value| {
        let version: u64 = space["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        merge_patch(&status_path(), status_body(version, status)).answered(patched(
            space,
            &json!({"status": status}),
            version + 1,
        ))
    };
    let (warning, sealing) = (warned_of("1d", WARNED_A_DAY_BEFORE), expired(&being_deleted(), true, EXPIRES));
    let script = script![
        write(&converged(), &warning).too_large(),
        remove_managed_fields(&converged()),
        write(&without_managed_fields(&converged()), &warning),
        event("Expiring", "DeveloperSpace", SPACE),
        event_inside("Expiring", SPACE, NAMESPACE_UID),
    ];
    let sweep = sweep_at(WARNED_A_DAY_BEFORE, &[], after(lists(&[converged()], &[stored_namespace()]), script)).await;
    assert_swept(&sweep, 0, &[row("DeveloperSpace", SPACE, "warn", "done")]);

    let full = script![get_crd(), write(&warned(), &sealing).too_large()];
    let mut script = full.clone();
    script.extend(script![
        remove_managed_fields(&warned()),
        write(&without_managed_fields(&warned()), &sealing),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
            .answered(going(&stored_namespace(), EXPIRES)),
        event("NamespaceDeleted", "DeveloperSpace", SPACE),
    ]);
    let lists = || lists(&[warned()], &[stored_namespace()]);
    assert_swept(&sweep_with(&[], after(lists(), script)).await, 0, &[deletion(SPACE, "done")]);

    let mut script = full;
    script.extend(script![remove_managed_fields(&warned()).refused(403, "Forbidden")]);
    let message = "failed to write the status of DeveloperSpace orchid-lab: the server says Forbidden";
    let failed = merged(&deletion(SPACE, "failed"), &json!({"message": message}));
    assert_swept(&sweep_with(&[], after(lists(), script)).await, 1, &[failed]);

    let kept = merged(&sealed(), &json!({"status": expired("kept", false, EXPIRES)}));
    let removal = |version: &str| delete(&space_path(), &json!({"uid": uid(SPACE), "resourceVersion": version}));
    let script = script![removal("111").too_large(), remove_managed_fields(&kept), removal("112")];
    let sweep = sweep_at("2026-03-12T08:00:01Z", &[], after(self::lists(&[kept], &[]), script)).await;
    assert_swept(&sweep, 0, &[row("DeveloperSpace", SPACE, "forget", "done")]);
}

#[tokio::test]
async fn a_sweep_in_the_last_moment_before_the_end_leaves_it_to_the_next() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    assert_swept(&sweep_at("2026-03-09T07:59:59.900Z", &[], after(lists, script![])).await, 0, &[]);
}

#[tokio::test]
async fn a_deletion_that_waits_stops_no_clock() {
    let going =
        |space: &Value| merged(&going(space, WARNED_AN_HOUR_BEFORE), &json!({"spec": {"deletionPolicy": "Retain"}}));
    let gone = named(&going(&sealed()), "moss-lab");
    let lists = || lists(&[going(&warned()), gone.clone()], &[stored_namespace()]);
    let status = expired(&being_deleted(), true, EXPIRES);
    let script = script![
        get_crd(),
        merge_patch(&status_path(), status_body(110, &status)).answered(patched(
            &going(&warned()),
            &json!({"status": status}),
            111
        )),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"}))
            .answered(merged(&stored_namespace(), &json!({"metadata": {"deletionTimestamp": EXPIRES}}))),
        event("NamespaceDeleted", "DeveloperSpace", SPACE),
    ];
    assert_swept(&sweep_with(&[], after(lists(), script)).await, 0, &[deletion(SPACE, "done")]);

    let removed = script![crd(&json!({"deletionTimestamp": EXPIRES}))];
    assert_swept(&sweep_with(&[], after(lists(), removed)).await, 0, &[released(SPACE)]);
}

fn released(name: &str) -> Value {
    merged(
        &deletion(name, "left-alone"),
        &json!({"message": "the CustomResourceDefinition is being deleted, so the controller releases the namespace"}),
    )
}

/// The spaces were listed before the CRD was deleted, so that none of them is being deleted in the list.
#[tokio::test]
async fn no_namespace_is_deleted_once_the_crd_is_deleted_during_a_sweep() {
    let spaces = [warned(), named(&sealed(), "moss-lab")];
    for call in [crd(&json!({"deletionTimestamp": EXPIRES})), get_crd().refused(404, "NotFound")] {
        let lists = lists(&spaces, &[stored_namespace(), namespace_of("moss-lab")]);
        let sweep = sweep_with(&[], after(lists, script![side_by_side([call.clone(), call])])).await;
        assert_swept(&sweep, 0, &[released("moss-lab"), released(SPACE)]);
    }
}

#[tokio::test]
async fn no_namespace_is_deleted_while_the_crd_cannot_be_read() {
    let lists = lists(&[named(&sealed(), "moss-lab")], &[namespace_of("moss-lab")]);
    let sweep = sweep_with(&[], after(lists, script![get_crd().refused(403, "Forbidden")])).await;
    let why = "failed to read CustomResourceDefinition developerspaces.developerspace.dev: the server says Forbidden";
    assert_swept(&sweep, 1, &[merged(&deletion("moss-lab", "failed"), &json!({"message": why}))]);
}

/// No other row reports the finalizer of a Namespace. A namespace that is terminating and is not held needs no row.
#[tokio::test]
async fn what_holds_the_namespace_of_an_expired_space_is_reported() {
    let held = merged(
        &going(&namespace_of("moss-lab"), EXPIRES),
        &json!({"metadata": {"finalizers": ["example.com/volumes"]}}),
    );
    let message = "namespace moss-lab is being deleted, and its deletion is blocked: the Namespace has the finalizers example.com/volumes; each one \
                   is removed by its controller, or by an administrator";
    let report = json!({"kind": "Namespace", "name": "moss-lab", "action": "report", "result": "left-alone", "message": message});
    for arguments in [&[][..], &["--dry-run"]] {
        let spaces = [named(&sealed(), "moss-lab"), named(&sealed(), "fern-lab")];
        let lists = lists(&spaces, &[held.clone(), going(&namespace_of("fern-lab"), EXPIRES)]);
        let sweep = sweep_with(arguments, after(lists, script![])).await;
        assert_swept(&sweep, 0, std::slice::from_ref(&report));
        assert_eq!(sweep.live, 0, "neither is living");
    }
}

#[tokio::test]
async fn a_space_that_was_renewed_in_between_is_skipped() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    let sweep = sweep_with(&[], after(lists, script![get_crd(), seal().refused(409, "Conflict")])).await;
    assert_swept(&sweep, 0, &[deletion(SPACE, "skipped")]);
}

#[tokio::test]
async fn a_namespace_that_another_client_deleted_first_is_skipped() {
    let refused = || delete_namespace("moss-lab").refused(409, "Conflict");
    let live = |metadata: Value| {
        let changed = merged(&namespace_of("moss-lab"), &json!({"metadata": {"resourceVersion": "60"}}));
        get("/api/v1/namespaces/moss-lab").answered(merged(&changed, &json!({"metadata": metadata})))
    };
    for script in [
        script![get_crd(), delete_namespace("moss-lab").refused(404, "NotFound")],
        script![get_crd(), refused(), live(json!({"deletionTimestamp": EXPIRES}))],
        script![get_crd(), refused(), live(json!({"uid": "uid-of-a-later-namespace"}))],
        script![
            get_crd(),
            refused(),
            live(json!({"annotations": {"developerspace.dev/adopt": "moss-lab/uid-of-a-later-space"}}))
        ],
    ] {
        let lists = lists(&[named(&sealed(), "moss-lab")], &[namespace_of("moss-lab")]);
        assert_swept(&sweep_with(&[], after(lists, script)).await, 0, &[deletion("moss-lab", "skipped")]);
    }
}

#[tokio::test]
async fn a_namespace_that_another_client_deleted_after_the_seal_is_skipped() {
    let lists = lists(&[warned()], &[stored_namespace()]);
    let script = script![
        get_crd(),
        seal(),
        event("Expired", "DeveloperSpace", SPACE),
        delete(&namespace_path(), &json!({"uid": NAMESPACE_UID, "resourceVersion": "50"})).refused(404, "NotFound"),
    ];
    assert_swept(&sweep_with(&[], after(lists, script)).await, 0, &[deletion(SPACE, "skipped")]);
}

#[tokio::test]
async fn a_space_that_another_client_deleted_first_is_skipped() {
    let retained = "2026-03-12T08:00:01Z";
    let kept = merged(&sealed(), &json!({"status": expired("kept", false, EXPIRES)}));
    let forget = || delete(&space_path(), &json!({"uid": uid(SPACE), "resourceVersion": "111"}));
    for (call, result) in [(forget(), "done"), (forget().refused(404, "NotFound"), "skipped")] {
        let lists = lists(std::slice::from_ref(&kept), &[]);
        let sweep = sweep_at(retained, &[], after(lists, script![call])).await;
        assert_swept(&sweep, 0, &[row("DeveloperSpace", SPACE, "forget", result)]);
    }
}

#[tokio::test]
async fn a_webhook_that_refuses_as_in_a_race_is_a_failed_row() {
    let denied = "admission webhook \"guard.example.com\" denied the request: it has volumes";
    let failed = |row: &Value, action: &str| merged(row, &json!({"message": format!("failed to {action}: {denied}")}));
    let refused = |code: u16| delete_plain("scratch").refused_with(code, "Conflict", denied);
    for code in [404, 409] {
        let lists = lists(&[], &[plain_namespace("scratch", &ttl("1d"))]);
        let sweep = sweep_with(&["--include-annotated"], after(lists, script![refused(code)])).await;
        assert_swept(
            &sweep,
            1,
            &[failed(&row("Namespace", "scratch", "delete-namespace", "failed"), "delete namespace scratch")],
        );
    }
    let refused = || delete_namespace("moss-lab").refused_with(409, "Conflict", denied);
    let unchanged = || get("/api/v1/namespaces/moss-lab").answered(namespace_of("moss-lab"));
    let lists = lists(&[named(&sealed(), "moss-lab")], &[namespace_of("moss-lab")]);
    let script = script![get_crd(), refused(), unchanged(), refused(), unchanged(), refused()];
    let sweep = sweep_with(&[], after(lists, script)).await;
    assert_swept(&sweep, 1, &[failed(&deletion("moss-lab", "failed"), "delete namespace moss-lab")]);
}

#[tokio::test]
async fn a_plain_namespace_that_another_client_changed_or_deleted_first_is_skipped() {
    for (code, reason) in [(404, "NotFound"), (409, "Conflict")] {
        let lists = lists(&[], &[plain_namespace("scratch", &ttl("1d"))]);
        let sweep =
            sweep_with(&["--include-annotated"], after(lists, script![delete_plain("scratch").refused(code, reason)]))
                .await;
        assert_swept(&sweep, 0, &[row("Namespace", "scratch", "delete-namespace", "skipped")]);
    }
}

fn plain_namespace(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": name, "uid": uid_of(name), "resourceVersion": "77", "creationTimestamp": "2026-03-08T08:00:00Z",
            "labels": {}, "annotations": annotations,
        },
    })
}

fn ttl(ttl: &str) -> Value {
    json!({"developerspace.dev/ttl": ttl})
}

fn unreadable(name: &str, key: &str, text: &str) -> Value {
    let message = format!("annotation {key}: {text:?} cannot be read");
    json!({"kind": "Namespace", "name": name, "action": "read", "result": "failed", "message": message})
}

fn delete_plain(name: &str) -> Call {
    delete(&format!("/api/v1/namespaces/{name}"), &json!({"uid": uid_of(name), "resourceVersion": "77"}))
}

#[tokio::test]
async fn annotated_namespaces_are_collected_when_asked_for_and_never_one_of_a_space() {
    let namespaces = [
        plain_namespace("scratch", &ttl("1d")),
        plain_namespace("younger", &ttl("2d")),
        plain_namespace("unclear", &ttl("soon")),
        plain_namespace("fern-lab", &ttl("1h")),
        plain_namespace("kube-public", &ttl("1h")),
    ];
    let space = merged(&named(&converged(), "fern-lab"), &json!({"spec": {"protected": true}}));
    let lists = || lists(std::slice::from_ref(&space), &namespaces);
    let sweep = sweep_with(&["--include-annotated"], after(lists(), script![delete_plain("scratch")])).await;
    let rows = [
        row("Namespace", "scratch", "delete-namespace", "done"),
        unreadable("unclear", "developerspace.dev/ttl", "soon"),
    ];
    assert_swept(&sweep, 1, &rows);
    assert_swept(&sweep_with(&[], after(lists(), script![])).await, 0, &[]);
}

#[tokio::test]
async fn a_namespace_with_a_mark_of_a_space_is_not_plain() {
    let marked =
        |name: &str, metadata: Value| merged(&plain_namespace(name, &ttl("1h")), &json!({"metadata": metadata}));
    let namespaces = [
        marked("managed", json!({"labels": {"app.kubernetes.io/managed-by": "developerspace-operator"}})),
        marked("offered", json!({"annotations": {"developerspace.dev/adopt": "offered/User:ines@example.com"}})),
        marked("released", json!({"labels": {"developerspace.dev/released": "true"}})),
    ];
    assert_swept(&sweep_with(&["--include-annotated"], after(lists(&[], &namespaces), script![])).await, 0, &[]);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_failed_row_and_counts() {
    let twin = |ttl: &str| json!({"k8s-ttl-controller.twin.sh/ttl": ttl});
    let namespaces = [
        plain_namespace("decimal", &twin("1.5h")),
        plain_namespace("months", &json!({"janitor/ttl": "6M"})),
        plain_namespace("negative", &json!({"janitor/ttl": "-1"})),
        plain_namespace("weeks", &twin("1w")),
        plain_namespace("zero", &ttl("0")),
    ];
    let arguments = ["--include-annotated", "--compat", "janitor,k8s-ttl-controller"];
    let sweep = sweep_with(&arguments, after(lists(&[], &namespaces), script![delete_plain("decimal")])).await;
    let mut decimal = row("Namespace", "decimal", "delete-namespace", "done");
    decimal["expiredAt"] = json!("2026-03-08T09:30:00Z");
    let rows = [
        decimal,
        unreadable("months", "janitor/ttl", "6M"),
        unreadable("negative", "janitor/ttl", "-1"),
        unreadable("zero", "developerspace.dev/ttl", "0"),
    ];
    assert_swept(&sweep, 1, &rows);
    assert!(
        sweep.table().ends_with("1 namespaces deleted, 3 failed, 0 skipped; 0 had a living namespace."),
        "{}",
        sweep.table()
    );
}

#[tokio::test]
async fn a_space_that_cannot_be_read_keeps_its_namespace_and_is_a_failed_row() {
    let broken = merged(&named(&sealed(), "moss-lab"), &json!({"spec": {"ttl": ["1h"]}}));
    let namespace = merged(&namespace_of("moss-lab"), &plain_namespace("moss-lab", &ttl("1h")));
    let sweep = sweep_with(&["--include-annotated"], after(lists(&[broken], &[namespace]), script![])).await;
    assert_eq!(sweep.exit_status(), 1);
    let rows = json!(sweep)["items"].clone();
    assert_eq!(
        (rows.as_array().unwrap().len(), &rows[0]["name"], &rows[0]["action"]),
        (1, &json!("moss-lab"), &json!("read")),
        "{rows}"
    );
}

#[tokio::test]
async fn a_namespace_whose_space_is_gone_is_reported_and_left_alone() {
    let made_now = json!({"metadata": {"creationTimestamp": EXPIRES}});
    let claims = |name: &str, uid: &str| {
        merged(&namespace_of(name), &json!({"metadata": {"annotations": {"developerspace.dev/space-uid": uid}}}))
    };
    let renewed = merged(&converged(), &json!({"spec": {"renewedAt": "2026-03-08T08:00:00Z"}}));
    let forged = [claims("copy", &uid(SPACE)), claims("kube-public", "space-that-is-gone")];
    let namespaces = [namespace_of("fern-lab"), merged(&namespace_of("moss-lab"), &made_now), stored_namespace()]
        .into_iter()
        .chain(forged);
    let namespaces: Vec<Value> = namespaces.collect();
    let message = format!(
        "was created for the DeveloperSpace with UID {}, which no longer exists, and is left unchanged: delete it with `kubectl delete \
         namespace fern-lab`, or offer it to a new DeveloperSpace fern-lab with the annotation developerspace.dev/adopt=fern-lab/<UID>",
        uid("fern-lab")
    );
    let orphan = json!({"kind": "Namespace", "name": "fern-lab", "action": "report", "result": "left-alone", "message": message});
    for arguments in [&[][..], &["--include-annotated"]] {
        let lists = lists(std::slice::from_ref(&renewed), &namespaces);
        assert_swept(&sweep_with(arguments, after(lists, script![])).await, 0, std::slice::from_ref(&orphan));
    }
}

/// The read of the settings in the namespace that a sweep by hand names.
fn get_settings() -> Call {
    get("/api/v1/namespaces/tools/configmaps/developerspace-settings")
}

/// The list of the settings in all namespaces.
fn list_settings() -> Call {
    get(ELSEWHERE)
}

const ELSEWHERE: &str = "/api/v1/configmaps?fieldSelector=metadata.name%3Ddeveloperspace-settings&limit=10";

/// A script in which the named namespace has no settings, followed by `steps`.
fn without_settings(steps: Vec<Step>) -> Vec<Step> {
    [Step::from(get_settings().refused(404, "NotFound"))].into_iter().chain(steps).collect()
}

fn get_namespace(name: &str) -> Call {
    get(&format!("/api/v1/namespaces/{name}"))
}

fn settings(namespace: &str, names: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "developerspace-settings", "namespace": namespace, "resourceVersion": "5"},
        "data": {"PROTECTED_NAMESPACES": names},
    })
}

/// A page of the settings in those namespaces. The token of the next page is empty on the last page.
fn settings_page(namespaces: &[&str], token: &str) -> Value {
    let items: Vec<Value> = namespaces.iter().map(|namespace| settings(namespace, "")).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "9", "continue": token}, "items": items})
}

/// Returns which of `monitoring`, `istio-system`, `tools`, `kube-system` and `fern-lab` a sweep with those arguments
/// protects, or its refusal.
async fn protection(arguments: &[&str], script: Vec<Step>) -> Result<[bool; 5], String> {
    let line = ["x", "gc", "--operator-namespace", "tools"].iter().chain(arguments);
    let Command::Gc(args) = Cli::try_parse_from(line).unwrap().command else { panic!("this is gc") };
    let protected = play(script, async |client| protected(&client, &args).await).await;
    protected.map(|protected| {
        ["monitoring", "istio-system", "tools", "kube-system", "fern-lab"].map(|name| protected.contains(name))
    })
}

/// Only the names that are always protected.
const BUILT_IN: Result<[bool; 5], String> = Ok([false, false, true, true, false]);

#[tokio::test]
async fn a_sweep_by_hand_reads_the_protected_namespaces_of_the_controller() {
    let found = script![get_settings().answered(settings("tools", "monitoring, istio-*"))];
    assert_eq!(protection(&[], found).await, Ok([true, true, true, true, false]));
    assert_eq!(protection(&[], script![get_settings().answered(settings("tools", ""))]).await, BUILT_IN);
    assert_eq!(
        protection(&["--protected-namespaces", "monitoring"], script![]).await,
        Ok([true, false, true, true, false])
    );
    assert_eq!(protection(&["--protected-namespaces="], script![]).await, BUILT_IN, "empty is an answer");
    assert_eq!(
        protection(&[], without_settings(script![list_settings().answered(settings_page(&[], ""))])).await,
        BUILT_IN
    );
}

#[tokio::test]
async fn an_account_that_may_not_read_the_settings_goes_on() {
    assert_eq!(protection(&[], script![get_settings().refused(403, "Forbidden")]).await, BUILT_IN);
    assert_eq!(protection(&[], without_settings(script![list_settings().refused(403, "Forbidden")])).await, BUILT_IN);
    let namespace = script![
        list_settings().answered(settings_page(&["fern-lab"], "")),
        get_namespace("fern-lab").refused(403, "Forbidden"),
    ];
    assert_eq!(protection(&[], without_settings(namespace)).await, BUILT_IN);
}

#[tokio::test]
async fn a_sweep_that_could_not_read_the_settings_is_refused_and_a_dry_run_goes_on() {
    let named = |code: u16, reason: &str| script![get_settings().refused(code, reason)];
    let listed = |code: u16, reason: &str| without_settings(script![list_settings().refused(code, reason)]);
    let looked_up = |code: u16, reason: &str| {
        without_settings(script![
            list_settings().answered(settings_page(&["platform"], "")),
            get_namespace("platform").refused(code, reason),
        ])
    };
    for (code, reason) in [(500, "InternalError"), (401, "Unauthorized"), (503, "ServiceUnavailable")] {
        for (script, failed) in [
            (named(code, reason), "failed to read ConfigMap developerspace-settings in namespace tools"),
            (listed(code, reason), "failed to list the ConfigMaps developerspace-settings in all namespaces"),
            (looked_up(code, reason), "failed to read namespace platform"),
        ] {
            assert_eq!(protection(&["--dry-run"], script.clone()).await, BUILT_IN, "{failed}, {reason}");
            let refusal = protection(&[], script).await.unwrap_err();
            assert!(refusal.starts_with(&format!("{failed}: the server says {reason};")), "{refusal}");
            assert!(
                refusal.ends_with("or set --protected-namespaces to the names that this sweep must not delete"),
                "{refusal}"
            );
        }
    }
}

/// Users of a space can create a ConfigMap of that name, make it unreadable for a client that reads managed fields, and
/// fill whole pages.
#[tokio::test]
async fn no_object_of_a_user_hides_the_settings_of_the_operator() {
    let names: Vec<String> = (10..20).map(|number| format!("fern-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let managed = json!([{
        "manager": "mallory", "operation": "Update", "apiVersion": "v1", "time": "9999-12-31T23:59:59Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}},
    }]);
    let mut page = settings_page(&names, "page-2");
    for item in page["items"].as_array_mut().unwrap() {
        item["metadata"]["managedFields"] = managed.clone();
    }
    let of_spaces = names.iter().map(|name| Step::from(get_namespace(name).answered(namespace_of(name))));
    let script = [Step::from(list_settings().answered(page))]
        .into_iter()
        .chain(of_spaces)
        .chain(script![
            get(&format!("{ELSEWHERE}&continue=page-2")).answered(settings_page(&["platform"], "")),
            get_namespace("platform").answered(plain_namespace("platform", &json!({}))),
        ])
        .collect();
    let refusal = protection(&[], without_settings(script)).await.unwrap_err();
    assert!(refusal.contains("and namespace platform has one: set --operator-namespace"), "{refusal}");
}

#[tokio::test]
async fn every_namespace_that_may_be_the_operators_is_named_and_none_of_a_space() {
    let plain = |name: &str| plain_namespace(name, &json!({}));
    let released = merged(&plain("aaa-lab"), &json!({"metadata": {"labels": {"developerspace.dev/released": "true"}}}));
    let from = json!({"developerspace.dev/released-from": format!("bee-lab/{}", uid("bee-lab"))});
    let claimed = plain_namespace("claimed-lab", &json!({"developerspace.dev/space-uid": uid("claimed-lab")}));
    let bee = plain_namespace("bee-lab", &from);
    let of_users =
        [(released, "aaa-lab"), (bee, "bee-lab"), (claimed, "claimed-lab"), (namespace_of("fern-lab"), "fern-lab")];
    let names = of_users.each_ref().map(|(_, name)| *name);
    let looked_up = || {
        of_users
            .iter()
            .map(|(namespace, name)| Step::from(get_namespace(name).answered(namespace.clone())))
            .collect::<Vec<_>>()
    };
    let of_spaces =
        script![list_settings().answered(settings_page(&names, ""))].into_iter().chain(looked_up()).collect();
    assert_eq!(protection(&[], without_settings(of_spaces)).await, BUILT_IN);

    let all = [&names[..], &["gone", "platform", "zinnia"]].concat();
    let others = script![
        get_namespace("gone").refused(404, "NotFound"),
        get_namespace("platform").answered(plain("platform")),
        get_namespace("zinnia").answered(plain("zinnia")),
    ];
    let several = script![list_settings().answered(settings_page(&all, ""))]
        .into_iter()
        .chain(looked_up())
        .chain(others)
        .collect();
    let refusal = "namespace tools has no ConfigMap developerspace-settings with the protected namespaces, and the namespaces platform, zinnia have \
                   one: set --operator-namespace to the namespace that the operator runs in, which `kubectl get clusterrolebinding \
                   developerspace-operator -o wide` shows, or set --protected-namespaces to the names that this sweep must not delete";
    assert_eq!(protection(&[], without_settings(several)).await, Err(refusal.to_owned()));
}

#[tokio::test]
async fn a_pattern_that_stops_the_controller_at_its_start_refuses_a_sweep() {
    for names in ["monitoring istio-*", "monitoring\nistio-*\n", "Monitoring", "monitoring;istio-*"] {
        for arguments in [&[][..], &["--dry-run"]] {
            let refusal =
                protection(arguments, script![get_settings().answered(settings("tools", names))]).await.unwrap_err();
            let invalid = format!(
                "PROTECTED_NAMESPACES in ConfigMap developerspace-settings in namespace tools is {names:?}; it must be names"
            );
            assert!(refusal.starts_with(&invalid) && refusal.contains("correct the ConfigMap"), "{refusal}");
        }
    }
}

/// The refusal of the account that runs a sweep with those arguments.
async fn refusal_of(arguments: &[&str], script: Vec<Step>) -> Option<String> {
    let Command::Gc(args) = Cli::try_parse_from(["x", "gc"].iter().chain(arguments)).unwrap().command else {
        panic!("this is gc")
    };
    play(script, async |client| refusal(&client, &args).await).await
}

fn holds(verb: &str, allowed: bool) -> Call {
    may(json!({"group": "developerspace.dev", "resource": "developerspaces", "verb": verb}), allowed)
}

/// The review that names the account.
fn review(user_info: &Value) -> Call {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}});
    let answer = merged(&review, &json!({"status": {"userInfo": user_info}}));
    post_by_default("/apis/authentication.k8s.io/v1/selfsubjectreviews", review).answered(answer)
}

fn reviewed(user: &str, rights: Vec<Step>) -> Vec<Step> {
    [Step::from(review(&json!({"username": user})))].into_iter().chain(rights).collect()
}

#[tokio::test]
async fn the_operators_account_is_refused_for_namespaces_that_no_space_made() {
    let annotated = &["--include-annotated"];
    let (operator, renamed) =
        ("system:serviceaccount:tools:developerspace-operator", "system:serviceaccount:tools:platform-spaces");
    let by_rights = |assigns: bool| script![holds("operate", true), holds("assign", assigns)];
    for (user, rights) in [(operator, script![]), (renamed, by_rights(false))] {
        let refused = refusal_of(annotated, reviewed(user, rights)).await;
        assert!(
            refused.as_ref().is_some_and(|text| text.contains(user) && text.contains("docs/gc.md")),
            "{user}: {refused:?}"
        );
    }
    assert_eq!(
        refusal_of(annotated, reviewed("ines@example.com", by_rights(true))).await,
        None,
        "an administrator holds every verb"
    );
    let sweeper = reviewed("system:serviceaccount:tools:sweeper", script![holds("operate", false)]);
    assert_eq!(refusal_of(annotated, sweeper).await, None);
    assert_eq!(refusal_of(&[], vec![]).await, None, "a sweep of spaces asks for nothing");
}

#[tokio::test]
async fn an_account_that_cannot_be_determined_is_refused_for_namespaces_that_no_space_made() {
    let failed = |call: Call| call.refused(500, "InternalError");
    let user = "system:serviceaccount:tools:platform-spaces";
    let assigns = script![holds("operate", true), failed(holds("assign", true))];
    for (script, why) in [
        (
            script![failed(review(&json!({"username": user})))],
            "failed to create a SelfSubjectReview: the server says InternalError;",
        ),
        (script![review(&json!({}))], "the API server returned a SelfSubjectReview without a user name;"),
        (
            reviewed(user, script![failed(holds("operate", true))]),
            "may operate developerspaces: the server says InternalError;",
        ),
        (reviewed(user, assigns), "may assign developerspaces: the server says InternalError;"),
    ] {
        let refusal = refusal_of(&["--include-annotated"], script).await;
        assert!(refusal.as_ref().is_some_and(|text| text.contains(why)), "{why}: {refusal:?}");
    }
}
