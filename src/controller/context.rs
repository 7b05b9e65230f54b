//! The state that all reconciles share.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{expiry_queue::ExpiryQueue, io::Io};
use crate::{
    cache::owner_limit::OwnerLimit,
    runtime::{
        recent_writes::RecentWrites,
        requeue::RequeueSender,
        turns::Turns,
        watchdog::Watchdog,
        worker_slots::{LOW_PRIORITY_MAX_WAIT, WorkerSlots},
    },
};

/// The state that all reconciles share.
pub struct Context {
    /// The access to the cluster.
    pub io: Io,
    /// The register of the limit of spaces per owner.
    pub owner_limit: Arc<OwnerLimit>,
    /// The watchdog of the operator's work.
    pub watchdog: Arc<Watchdog>,
    /// The spaces that are being reconciled.
    pub turns: Turns,
    /// The recent writes for each space.
    pub recent_writes: Arc<RecentWrites>,
    /// The expiries that are near.
    pub expiry_queue: Arc<ExpiryQueue>,
    /// The worker slots, which limit the number of spaces that are reconciled concurrently.
    pub slots: WorkerSlots,
    /// Requeues other spaces.
    pub requeue: RequeueSender,
}

impl Context {
    /// Returns a context with empty registers, whose requests to requeue other spaces are dropped.
    pub fn new(io: Io, slots: WorkerSlots) -> Self {
        Self {
            io,
            owner_limit: Arc::default(),
            watchdog: Arc::default(),
            turns: Turns::default(),
            recent_writes: Arc::default(),
            expiry_queue: Arc::default(),
            slots,
            requeue: RequeueSender::new().0,
        }
    }

    /// The longest time for which reports about expired spaces are deferred; `None` while no more spaces have expired
    /// than can be reconciled at once.
    pub(crate) fn deferral(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.is_behind(now).then_some(LOW_PRIORITY_MAX_WAIT)
    }

    /// Returns true if more spaces have expired than can be reconciled at once.
    pub fn is_behind(&self, now: DateTime<Utc>) -> bool {
        self.watchdog.is_behind(now, self.slots.number().into())
    }
}
