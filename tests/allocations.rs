//! The memory that a reconcile allocates, that a space occupies, and that the objects of tenants take while they are
//! read. These counts are the same on every machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::sync::Arc;

use allocation_counter::measure;
use developerspace_operator::{
    api::excerpt::Excerpt,
    cache::{reduced::Reduced, watches::CachedSpace},
    controller::worker::reconcile_queued,
    desired::foreign_bindings::ListedBinding,
};
use http::{Request, Response};
use k8s_openapi::api::{
    certificates::v1::CertificateSigningRequest,
    core::v1::{LimitRange, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Client, client::Body};
use serde::de::DeserializeOwned;
use support::{objects, world::World};
use tokio::runtime::{Builder, Runtime};
use tower_test::mock::pair;

const NOW: &str = "2026-03-03T08:00:00Z";

/// The limit for a reconcile that finds nothing to do. It is slightly above the measured number, which varies a little
/// between compilers and crates.
const ALLOCATIONS: u64 = 1_000;
/// The limit, in bytes on the heap, for a space, its namespace and its five children.
const KEPT: i64 = 2_600;
/// The limit, in bytes, for reading an object whose content is not compared.
const READ_IN_PART: u64 = 32 * 1_024;
/// The same for an object whose content is compared: the limit of a field, and a little for the other fields.
const READ_TO_COMPARE: u64 = 9 * 1_024 * 1_024;
/// The same for a binding, of which a thousand subjects are compared.
const READ_SUBJECTS: u64 = 2 * 1_024 * 1_024;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_converged_reconcile_allocates_little() {
    let runtime = runtime();
    let (service, _server) = pair::<Request<Body>, Response<Body>>();
    let _inside = runtime.enter();
    let ctx = World::with(NOW, &objects::everything()).context(Client::new(service, "default"));
    let space: Arc<CachedSpace> = Arc::new(objects::read(&objects::converged()));
    let once = || {
        runtime
            .block_on(reconcile_queued(space.clone(), ctx.clone()))
            .map(drop)
            .map_err(|error| error.sentence())
            .unwrap();
    };
    once();
    let taken = measure(once);
    assert!(taken.count_total <= ALLOCATIONS, "{} allocations, more than {ALLOCATIONS}", taken.count_total);
}

#[test]
fn what_is_kept_of_a_space_is_small() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let of_one: Vec<_> = objects::everything().into_iter().filter(|object| object["kind"] != "SpaceClass").collect();
    let watched: usize = of_one.iter().chain([&objects::converged()]).map(|object| object.to_string().len()).sum();
    let world = World::empty(NOW);
    let mut kept: Option<CachedSpace> = None;
    let taken = measure(|| {
        kept = Some(objects::read(&objects::converged()));
        for object in &of_one {
            world.keep(object);
        }
    });
    assert!(
        taken.bytes_current <= KEPT,
        "{} bytes kept of {watched} bytes of JSON, more than {KEPT}",
        taken.bytes_current
    );
    assert!(kept.is_some_and(|space| space.unpack().0.is_ok()));
}

/// That element a hundred thousand times.
fn many(element: &str) -> String {
    vec![element; 100_000].join(",")
}

/// An object of that name and content, whose metadata consists of as many parts as a tenant can write.
fn dense(name: &str, content: &str) -> String {
    let keys: Vec<String> = (0..100_000).map(|number| format!(r#""x{number}":"""#)).collect();
    let (keys, finalizers) = (keys.join(","), many(r#""a/b""#));
    let owners = many(r#"{"apiVersion":"v1","kind":"a","name":"a","uid":"a"}"#);
    let labels = format!(
        r#"{{"app.kubernetes.io/managed-by":"developerspace-operator","developerspace.dev/space":"orchid-lab",{keys}}}"#
    );
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"orchid-lab","uid":"uid-of-{name}","resourceVersion":"7","labels":{labels},
        "annotations":{{{keys}}},"ownerReferences":[{owners}],"finalizers":[{finalizers}]}},{content}}}"#
    )
}

/// The most bytes that are in use while `text` is read.
fn peak<T: DeserializeOwned>(text: &str) -> u64 {
    measure(|| drop(serde_json::from_str::<T>(text).unwrap())).bytes_max
}

/// The API server stores four bytes for each peer and twenty-six for each subject.
#[test]
fn a_dense_object_of_a_tenant_is_read_with_little_memory() {
    let peers = format!(r#""spec":{{"podSelector":{{}},"ingress":[{{"from":[{}]}}]}}"#, many(r#"{"podSelector":{}}"#));
    let role = r#""roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}"#;
    let subjects =
        format!(r#"{role},"subjects":[{}]"#, many(r#"{"kind":"ServiceAccount","name":"a","namespace":"b"}"#));
    let hard: Vec<String> = (0..100_000).map(|number| format!(r#""count/x{number}.y":"1""#)).collect();
    let hard = format!(r#""spec":{{"hard":{{{}}}}}"#, hard.join(","));
    let limits = format!(r#""spec":{{"limits":[{}]}}"#, many(r#"{"type":"Pod"}"#));
    let request = format!(
        r#""spec":{{"request":"eA==","signerName":"x","username":"nadia@example.com"}},"status":{{"conditions":[{}]}}"#,
        many(r#"{"type":"Denied","status":"True"}"#)
    );
    for (kind, peak, limit) in [
        ("NetworkPolicy of a developer", peak::<Reduced<NetworkPolicy>>(&dense("open", &peers)), READ_IN_PART),
        ("its metadata alone", peak::<Excerpt<NetworkPolicy>>(&dense("open", &peers)), READ_IN_PART),
        ("NetworkPolicy", peak::<Reduced<NetworkPolicy>>(&dense("developerspace-isolation", &peers)), READ_TO_COMPARE),
        ("ResourceQuota", peak::<Reduced<ResourceQuota>>(&dense("developerspace", &hard)), READ_TO_COMPARE),
        ("LimitRange", peak::<Reduced<LimitRange>>(&dense("developerspace", &limits)), READ_TO_COMPARE),
        ("RoleBinding", peak::<Reduced<RoleBinding>>(&dense("developerspace-view", &subjects)), READ_SUBJECTS),
        ("RoleBinding of an admin", peak::<Excerpt<ListedBinding>>(&dense("crew", &subjects)), READ_IN_PART),
        (
            "CertificateSigningRequest",
            peak::<Excerpt<CertificateSigningRequest>>(&dense("dspace-7", &request)),
            READ_IN_PART,
        ),
    ] {
        assert!(peak <= limit, "{kind}: {peak} bytes, more than {limit}");
    }
}
