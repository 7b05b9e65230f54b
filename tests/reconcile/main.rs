//! Single reconciles against an API server that checks every call, its order and its body.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod access;
mod deletion;
mod deletion_waits;
mod drift;
mod expiry;
mod failures;
mod held_seals;
mod moves;
mod provisioning;
mod refusals;
mod size_limit;
#[path = "../support/mod.rs"]
mod support;
mod tightened;
mod waiting;
mod warnings;
mod withheld;

use std::time::Duration;

use developerspace_operator::{
    cache::store::SOURCES,
    runtime::error::{Class, Error},
};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use support::{
    api_server::{
        Call, Step, delete, event, event_inside, get, get_metadata, json_patch, merge_patch, post,
        remove_managed_fields, side_by_side,
    },
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
    side_by_side([
        make(&quota(), "uid-of-the-quota"),
        make(&limits(), "uid-of-the-limits"),
        make(&network(), "uid-of-the-network-policy"),
    ])
}

fn make_bindings() -> Step {
    side_by_side([
        make(&owner_binding(), "uid-of-the-owner-binding"),
        make(&member_binding(), "uid-of-the-member-binding"),
    ])
}

fn child_path(child: &Value) -> String {
    format!("{}/{}", children_path(child["kind"].as_str().unwrap()), child["metadata"]["name"].as_str().unwrap())
}

/// Writes `status` of `space`; the API server responds with the next version of the space.
fn status_patch(space: &Value, status: &Value) -> Call {
    let version = version(space);
    merge_patch(&status_path(), status_body(version, status)).answered(patched(
        space,
        &json!({"status": status}),
        version + 1,
    ))
}

/// `space` after [`status_patch`].
fn with_status(space: &Value, status: &Value) -> Value {
    patched(space, &json!({"status": status}), version(space) + 1)
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The status, in that generation, of a space that was ready before and is refused.
fn refused_since(generation: i64, reason: &str, message: &str) -> Value {
    let mut status = provisioned_in(generation);
    status["conditions"] = conditions(
        generation,
        &[
            (false, reason, message, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, reason, "", MADE),
            (true, reason, message, CALM),
        ],
    );
    status
}

/// Reads the namespace again, since a child is missing in a namespace that had all of them.
fn confirmed() -> Call {
    get(&namespace_path()).answered(stored_namespace())
}

/// Reads the RoleBindings of the space's namespace.
fn list_bindings(items: &[Value]) -> Call {
    get(&format!("{}?limit=25", children_path("RoleBinding"))).answered(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBindingList", "metadata": {"resourceVersion": "65"}, "items": items,
    }))
}

/// An Event about the space.
fn space_event(reason: &str) -> Call {
    event(reason, "DeveloperSpace", SPACE)
}

/// An Event in the namespace of the space.
fn namespace_event(reason: &str) -> Call {
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
