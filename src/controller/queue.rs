//! Connects the watches to kube's queue and runs it, together with the concurrent work: expiries, classes and orphans.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::ready, stream::BoxStream};
use kube::{
    ResourceExt,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::{self, ObjectRef},
    },
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    classes::{ClassValidator, spaces_of},
    context::Context,
    expiry_worker, orphans,
    owner_places::requeue_all,
    startup::restore_places,
    watched_spaces::watched_spaces,
    worker::{back_off, is_logged, reconcile_queued},
};
use crate::{
    cache::{
        relist::Relist,
        reserved_names::Freed,
        watches::{self, CachedSpace},
    },
    runtime::{
        error::{Class, Error},
        spawn::{spawn_scoped, spawn_stream},
    },
};

/// The number of reconciles that may be under way for each worker slot, including those that wait for one. A slot may
/// begin another call that hangs every two seconds, and each such call ends after ten seconds: at most five calls hang
/// at a time, which leaves room for others. The number is not much larger, since kube's runner polls all reconciles
/// under way whenever one of them is done.
const RECONCILES_PER_SLOT: u16 = 8;

/// Runs the controller until `stop` resolves; running reconciles are finished. All objects are listed again once in
/// each `period`.
pub async fn run(
    ctx: Arc<Context>,
    requeued: BoxStream<'static, String>,
    period: Duration,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &ctx.io.client;
    let urgent = ctx.clone();
    let relist = Relist::every(period).defer_while(move || urgent.is_behind(urgent.io.clock.now()));
    let (reader, writer) = reflector::store::<CachedSpace>();
    let spaces = watched_spaces(&ctx, writer, relist.clone());
    let (known, of_class) = (reader.clone(), reader.clone());
    let names = futures::stream::select_all([
        spawn_stream(spaces),
        spawn_stream(watches::namespaces(client, ctx.io.store.clone(), ctx.owner_limit.clone(), relist.clone())),
        spawn_stream(watches::children(client, &ctx.io.store, &relist)),
        requeued,
    ]);
    let named =
        names.map(|name| ObjectRef::<CachedSpace>::new(&name)).filter(move |space| ready(known.get(space).is_some()));
    let (validator, validation) = ClassValidator::new(ctx.clone(), reader.clone());
    let reserving = (ctx.clone(), reader.clone());
    let by_class = watches::classes(client, ctx.io.store.clone(), relist)
        .inspect(move |class| {
            validator.validate(class.clone());
            requeue_freed(&reserving.0, &reserving.1);
        })
        .flat_map(move |class| futures::stream::iter(spaces_of(&of_class, &class)));
    let restored = restore_places(ctx.clone(), reader.clone());
    let orphans = orphans::report(ctx.clone(), reader.clone());
    let _helpers =
        [tokio::spawn(validation), tokio::spawn(restored), tokio::spawn(orphans)].map(AbortOnDropHandle::new);
    let stop = stop.shared();
    let expiries = spawn_scoped(expiry_worker::run(ctx.clone(), reader.clone(), stop.clone()));
    let reported = ctx.clone();
    // Only names drive the queue. A name arrives after the store contains the change that it is about.
    let queue = Controller::for_stream(futures::stream::pending(), reader)
        .with_config(controller::Config::default().concurrency(ctx.slots.number().saturating_mul(RECONCILES_PER_SLOT)))
        .reconcile_on(named)
        .reconcile_on(by_class)
        .graceful_shutdown_on(stop)
        .run(|space, ctx| spawn_scoped(reconcile_queued(space, ctx)), back_off, ctx)
        .for_each(|result| {
            log(&reported, &result);
            ready(())
        });
    futures::future::join(queue, expiries).await;
}

/// Requeues, after a change of a class, the spaces whose names or keys may be validated differently because of the
/// namespaces that all classes admit.
fn requeue_freed(ctx: &Context, spaces: &reflector::Store<CachedSpace>) {
    let names = match ctx.io.store.reserved.read_classes(&ctx.io.store.classes()) {
        Freed::Names(names) => names,
        Freed::All => spaces.state().iter().map(|space| space.name_any()).collect(),
    };
    requeue_all(ctx, names);
}

fn log(
    ctx: &Context,
    result: &Result<(ObjectRef<CachedSpace>, Action), controller::Error<Error, kube::runtime::watcher::Error>>,
) {
    match result {
        Ok((space, _)) => tracing::debug!(space = space.name, "reconciled"),
        Err(controller::Error::ReconcilerFailed(error, space))
            if error.class() == Class::Conflict && !matches!(error, Error::Overtaken { .. }) =>
        {
            tracing::debug!(space = space.name, error = error.sentence(), "the object has changed; reconciling again");
        }
        Err(controller::Error::ReconcilerFailed(error, space)) => {
            if is_logged(ctx, &space.name, error) {
                tracing::warn!(
                    space = space.name,
                    error = error.sentence(),
                    "failed to reconcile a DeveloperSpace; retrying"
                );
            }
        }
        Err(controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "the queue reported an error"),
    }
}
