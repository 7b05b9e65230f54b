//! Reconciles expiring spaces ahead of all others. kube's queue takes due names in any order, so that in a burst of
//! creations an expiry would wait as long as any creation: spaces that expire are reconciled outside that queue, at
//! their time, in worker slots of their own.

use std::{future::Future, pin::pin, sync::Arc};

use kube::runtime::reflector::{ObjectRef, Store};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    context::Context,
    expiry_queue::RETRY_INTERVAL,
    worker::{back_off, is_logged, reconcile_expiring},
};
use crate::cache::watches::CachedSpace;

/// Reconciles the spaces that end, each at its time, until `stop` resolves; running reconciles are finished.
pub async fn run(ctx: Arc<Context>, spaces: Store<CachedSpace>, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(ctx.slots.number().into()));
    let (mut under_way, mut stop) = (JoinSet::new(), pin!(stop));
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = under_way.join_next() => {}
            () = ctx.expiry_queue.changed() => {}
            () = tokio::time::sleep(ctx.expiry_queue.until_next(ctx.io.clock.now())), if slots.available_permits() > 0 => {}
        }
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            let Some(name) = ctx.expiry_queue.pop_due(ctx.io.clock.now()) else { break };
            let (ctx, spaces) = (ctx.clone(), spaces.clone());
            under_way.spawn(async move {
                ctx.expiry_queue.run_ahead_of_creations(expire(&name, &spaces, ctx.clone())).await;
                drop(slot);
            });
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn expire(name: &str, spaces: &Store<CachedSpace>, ctx: Arc<Context>) {
    while let Some(space) = spaces.get(&ObjectRef::new(name)) {
        match reconcile_expiring(&space, &ctx).await {
            Ok(true) => return,
            Ok(false) => tokio::time::sleep(RETRY_INTERVAL).await,
            Err(error) => {
                if is_logged(&ctx, name, &error) {
                    tracing::warn!(
                        space = name,
                        error = error.sentence(),
                        "failed to expire a DeveloperSpace; retrying"
                    );
                }
                back_off(space, &error, ctx.clone());
                return ctx.requeue.requeue(name.to_owned());
            }
        }
    }
    drop(ctx.expiry_queue.take_sealed(name));
}
