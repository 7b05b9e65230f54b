//! The memory that a reconcile allocates and that a space occupies. These counts are the same on every machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::sync::Arc;

use allocation_counter::measure;
use developerspace_operator::{cache::watches::CachedSpace, controller::worker::reconcile_queued};
use http::{Request, Response};
use kube::{Client, client::Body};
use support::{objects, world::World};
use tokio::runtime::{Builder, Runtime};
use tower_test::mock::pair;

const NOW: &str = "2026-03-03T08:00:00Z";

/// The limit for a reconcile that finds nothing to do. It is slightly above the measured number, which varies a little between compilers and crates.
const ALLOCATIONS: u64 = 1_000;
/// The limit, in bytes on the heap, for a space, its namespace and its five children.
const KEPT: i64 = 2_600;

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
    let once = || runtime.block_on(reconcile_queued(space.clone(), ctx.clone())).map(drop).map_err(|error| error.sentence()).unwrap();
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
    assert!(taken.bytes_current <= KEPT, "{} bytes kept of {watched} bytes of JSON, more than {KEPT}", taken.bytes_current);
    assert!(kept.is_some_and(|space| space.unpack().0.is_ok()));
}
