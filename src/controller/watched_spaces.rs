//! Connects the watch of spaces to the registers that end with a space.

use std::{collections::HashSet, sync::Arc};

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::reflector};

use super::{attempts::Attempts, context::Context};
use crate::{
    cache::{
        relist::Relist,
        watches::{self, CachedSpace, SpaceFeed, SpaceRegisters},
    },
    desired::{Uid, hash::hash},
    metrics::Metrics,
    runtime::watchdog::{Watchdog, space_key},
};

/// The registers that end with a space.
struct Registers {
    attempts: Arc<Attempts>,
    watchdog: Arc<Watchdog>,
    metrics: Arc<Metrics>,
}

impl SpaceRegisters for Registers {
    fn retain(&self, uids: &HashSet<Uid>, names: &HashSet<&str>) {
        let keys = uids.iter().map(hash).collect();
        self.watchdog.retain(&keys);
        self.metrics.noncompliant.retain(&keys);
        self.attempts.retain(|name| names.contains(name));
    }

    fn remove(&self, space: &CachedSpace) {
        self.attempts.record_deletion(&space.name_any(), space.uid().unwrap_or_default());
        self.watchdog.set_expiry(space_key(space), None);
        self.metrics.noncompliant.record(space_key(space), Vec::new());
    }
}

/// Watches the spaces, see [`watches::spaces`].
pub fn watched_spaces(
    ctx: &Context,
    kept: reflector::store::Writer<CachedSpace>,
    relist: Relist,
) -> BoxStream<'static, String> {
    let registers = Registers {
        attempts: ctx.io.attempts.clone(),
        watchdog: ctx.watchdog.clone(),
        metrics: ctx.io.metrics.clone(),
    };
    let feed = SpaceFeed {
        store: ctx.io.store.clone(),
        owner_limit: ctx.owner_limit.clone(),
        requeue: ctx.requeue.clone(),
        registers,
    };
    watches::spaces(&ctx.io.client, feed, kept, relist)
}
