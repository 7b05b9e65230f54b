//! I/O: watches, writes, timers. The content of the writes is decided in [`crate::desired`].
//!
//! [`run`] connects the watches to the reconciler and runs until it is stopped.

pub mod admit;
pub mod child_api;
pub mod children;
pub mod classes;
pub mod context;
pub mod expire;
pub mod expiry_queue;
pub mod finalize;
pub mod foreign_bindings;
pub mod isolation;
pub mod ledger;
pub mod namespace;
pub mod observe;
pub mod orphans;
pub mod provision;
pub mod quota_wait;
pub mod race;
pub mod recent_writes;
pub mod reconcile;
pub mod report;
pub mod retry;
pub mod running_pods;
pub mod unrecorded;
pub mod usage;
pub mod waiting_limit;
pub mod whole_space;

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::ready, stream::BoxStream};
use kube::{
    ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::{self, ObjectRef},
    },
};
use tokio_util::task::AbortOnDropHandle;

use self::{context::Context, observe::class_name};
use crate::{
    api::{DeveloperSpace, names},
    cache::{
        owner_limit::is_live,
        relist::Relist,
        reserved_names::Freed,
        store::{SOURCES, Source},
        watches::{self, CachedSpace},
    },
    desired::{
        namespace::{Ownership, ownership},
        standing::standing,
        waiting_limit::{waits, was_never_admitted},
    },
    runtime::{
        error::{Class, Error},
        spawn::{spawn_scoped, spawn_stream},
    },
};

/// The number of reconciles that may be under way for each of the [`context::WorkerSlots`], including those that wait for a worker slot. A slot may
/// begin another call that hangs every two seconds, and each such call ends after ten seconds: at most five calls hang at a time, which leaves room
/// for others. The number is not much larger, since kube's runner polls all reconciles under way whenever one of them is done.
const UNDER_WAY: u16 = 8;

/// The largest fraction that is added to a wait, so that reconciles that failed together are not retried together.
const JITTER: f64 = 0.2;

/// Runs the controller until `stop` resolves; running reconciles are finished. All objects are listed again once in each `period`.
pub async fn run(
    ctx: Arc<Context>,
    nudged: BoxStream<'static, String>,
    period: Duration,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &ctx.client;
    let urgent = ctx.clone();
    let relist = Relist::every(period).unless(move || urgent.is_behind(urgent.clock.now()));
    let (reader, writer) = reflector::store::<CachedSpace>();
    let spaces = watches::spaces(&ctx, writer, relist.clone());
    let (known, of_class) = (reader.clone(), reader.clone());
    let names = futures::stream::select_all([
        spawn_stream(spaces),
        spawn_stream(watches::namespaces(client, ctx.store.clone(), ctx.admissions.clone(), relist.clone())),
        spawn_stream(watches::children(client, &ctx.store, &relist)),
        nudged,
    ]);
    let named = names.map(|name| ObjectRef::<CachedSpace>::new(&name)).filter(move |space| ready(known.get(space).is_some()));
    let (judge, judged) = classes::Judge::new(ctx.clone(), reader.clone());
    let reserving = (ctx.clone(), reader.clone());
    let by_class = watches::classes(client, ctx.store.clone(), relist)
        .inspect(move |class| {
            judge.judge(class.clone());
            requeue_freed(&reserving.0, &reserving.1);
        })
        .flat_map(move |class| futures::stream::iter(spaces_of(&of_class, &class)));
    let recalled = recall(ctx.clone(), reader.clone());
    let orphans = orphans::report(ctx.clone(), reader.clone());
    let _helpers = [tokio::spawn(judged), tokio::spawn(recalled), tokio::spawn(orphans)].map(AbortOnDropHandle::new);
    let stop = stop.shared();
    let ends = spawn_scoped(expiry_queue::run(ctx.clone(), reader.clone(), stop.clone()));
    // Only names drive the queue. A name arrives after the store contains the change that it is about.
    let queue = Controller::for_stream(futures::stream::pending(), reader)
        .with_config(controller::Config::default().concurrency(ctx.places.number().saturating_mul(UNDER_WAY)))
        .reconcile_on(named)
        .reconcile_on(by_class)
        .graceful_shutdown_on(stop)
        .run(|space, ctx| spawn_scoped(reconcile::reconcile(space, ctx)), on_error, ctx)
        .for_each(|result| {
            log(&result);
            ready(())
        });
    futures::future::join(queue, ends).await;
}

/// The spaces that `class` concerns: those that name it or were admitted to it, and those that name none, since it may be or become the default.
fn spaces_of(spaces: &reflector::Store<CachedSpace>, class: &str) -> Vec<ObjectRef<CachedSpace>> {
    let is_admitted = |space: &CachedSpace| space.kept.admitted_to.as_deref() == Some(class);
    let concerned = |space: &CachedSpace| is_admitted(space) || space.kept.class_name.as_deref().is_none_or(|name| name == class);
    spaces.state_filter(concerned).iter().map(|space| ObjectRef::new(&space.name_any())).collect()
}

/// Requeues, after a change of a class, the spaces whose names or keys may be validated differently because of the namespaces that all classes admit.
fn requeue_freed(ctx: &Context, spaces: &reflector::Store<CachedSpace>) {
    let names = match ctx.store.reserved.read_classes(&ctx.store.classes()) {
        Freed::Names(names) => names,
        Freed::All => spaces.state().iter().map(|space| space.name_any()).collect(),
    };
    for name in names {
        ctx.requeue.requeue(name);
    }
}

/// Waits until all sources but the admissions are listed, and registers the spaces that hold a place under the owner limit before any other space
/// is admitted. Then reconciles may begin.
async fn recall(ctx: Arc<Context>, spaces: reflector::Store<CachedSpace>) {
    ctx.store.listed(&SOURCES.into_iter().filter(|source| *source != Source::OwnerLimit).collect::<HashSet<_>>()).await;
    classes::look_up_roles(&ctx).await;
    for kept in spaces.state() {
        if let DeserializeGuard(Ok(space)) = kept.unpack() {
            if let Some(at) = space.status.as_ref().and_then(|status| status.expires_at) {
                ctx.ends.expects(&space.name_any(), at, ctx.clock.now());
            }
            recall_one(&ctx, &space);
        }
    }
    ctx.store.set_listed(Source::OwnerLimit);
    tracing::info!(spaces = spaces.len(), "all objects are listed; starting to reconcile");
}

/// Registers a space under the owner and the class that it was admitted with, if it is alive or its namespace exists. A space whose namespace was
/// created and could not be recorded counts in the class that the namespace was created for: its spec may name another class in the meantime, in
/// which it has no place.
fn recall_one(ctx: &Context, space: &DeveloperSpace) {
    let namespace = ctx.store.namespace(&space.name_any()).filter(|namespace| ownership(space, namespace) == Ownership::Ours);
    let owner = space.spec.owner.to_string();
    // A status from before owners were recorded does not name the owner who was admitted; the namespace does.
    let is_known = space.status.as_ref().is_some_and(|status| status.owner.is_some());
    let is_owner = || namespace.as_ref().is_some_and(|namespace| namespace.metadata.has_annotation_value(names::ANNOTATION_OWNER, &owner));
    let admitted = standing(space).map(|standing| (standing.owner.to_string(), standing.class_name)).filter(|_| is_known || is_owner());
    let is_of = |class: &String| namespace.as_ref().is_some_and(|namespace| namespace.metadata.has_label(names::LABEL_CLASS, class));
    let claimed = || ctx.store.class_names().into_iter().find(is_of).filter(|_| is_owner()).map(|class| (owner.clone(), class));
    if let Some((owner, class)) = admitted.or_else(claimed).filter(|_| namespace.is_some() || is_live(space)) {
        ctx.admissions.recall(space, &owner, &class);
    } else if let Some(class) = class_name(space, &ctx.store).filter(|_| is_live(space) && was_never_admitted(space) && waits(space)) {
        ctx.admissions.recall_waiting(space, &class);
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn on_error(space: Arc<CachedSpace>, error: &Error, ctx: Arc<Context>) -> Action {
    let name = space.name_any();
    let failures = ctx.memory.failed(&name);
    ctx.metrics.count("error");
    let seed = u64::from(failures) ^ name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let spread = 1.0 + JITTER * f64::from(u32::try_from(seed % 1_000).unwrap_or_default()) / 1_000.0;
    Action::requeue(ctx.memory.rests(&name, error.retry_after(failures).mul_f64(spread)))
}

fn log(result: &Result<(ObjectRef<CachedSpace>, Action), controller::Error<Error, kube::runtime::watcher::Error>>) {
    match result {
        Ok((space, _)) => tracing::debug!(space = space.name, "reconciled"),
        Err(controller::Error::ReconcilerFailed(error, space))
            if error.class() == Class::Conflict && !matches!(error, Error::Overtaken { .. }) =>
        {
            tracing::debug!(space = space.name, error = error.sentence(), "the object has changed; reconciling again");
        }
        Err(controller::Error::ReconcilerFailed(error, space)) => {
            tracing::warn!(space = space.name, error = error.sentence(), "failed to reconcile a DeveloperSpace; retrying");
        }
        Err(controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "the queue reported an error"),
    }
}
