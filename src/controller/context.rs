//! The clients and the state that all reconciles share.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use kube::{Api, Client};

use super::{attempts::Attempts, creations::Creations, expiry_queue::ExpiryQueue};
use crate::{
    api::{DeveloperSpace, names::ProtectedNamespaces, without_managed_fields::WithoutManagedFields},
    cache::{owner_limit::OwnerLimit, store::Store},
    clock::Clock,
    installed::Installed,
    metrics::Metrics,
    runtime::{
        events::Recorder,
        recent_writes::RecentWrites,
        requeue::RequeueSender,
        turns::Turns,
        watchdog::Watchdog,
        worker_slots::{LOW_PRIORITY_MAX_WAIT, WorkerSlots},
    },
};

/// The clients and the state that all reconciles share.
pub struct Context {
    /// The client of the API server.
    pub client: Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The cached objects of the cluster.
    pub store: Arc<Store>,
    /// The register of the limit of spaces per owner.
    pub owner_limit: Arc<OwnerLimit>,
    /// The names of namespaces that the operator must not touch.
    pub protected: ProtectedNamespaces,
    /// The recorder of Events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The watchdog of the operator's work.
    pub watchdog: Arc<Watchdog>,
    /// The state of each space between reconciles.
    pub attempts: Arc<Attempts>,
    /// The spaces whose namespace is being created.
    pub creations: Arc<Creations>,
    /// The spaces that are being reconciled.
    pub turns: Turns,
    /// The recent writes for each space.
    pub recent_writes: Arc<RecentWrites>,
    /// The ends of spaces that are near.
    pub expiry_queue: Arc<ExpiryQueue>,
    /// The worker slots, which limit the number of spaces that are reconciled concurrently.
    pub slots: WorkerSlots,
    /// Requeues other spaces.
    pub requeue: RequeueSender,
    /// The installed CRDs.
    pub installed: Arc<Installed>,
}

impl Context {
    /// Returns a context with an empty store.
    pub fn new(client: Client, clock: Arc<dyn Clock>, protected: ProtectedNamespaces, recorder: Recorder, slots: WorkerSlots) -> Self {
        Self {
            client,
            clock,
            store: Arc::default(),
            owner_limit: Arc::default(),
            protected,
            recorder,
            metrics: Arc::default(),
            watchdog: Arc::default(),
            attempts: Arc::default(),
            creations: Arc::default(),
            turns: Turns::default(),
            recent_writes: Arc::default(),
            expiry_queue: Arc::default(),
            slots,
            requeue: RequeueSender::new().0,
            installed: Arc::default(),
        }
    }

    /// The API of spaces.
    pub fn spaces(&self) -> Api<WithoutManagedFields<DeveloperSpace>> {
        Api::all(self.client.clone())
    }

    /// The longest time for which reports about expired spaces are deferred; `None` while no more spaces have expired than can be reconciled at once.
    pub fn deferral(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.is_behind(now).then_some(LOW_PRIORITY_MAX_WAIT)
    }

    /// Returns true if more spaces have expired than can be reconciled at once.
    pub fn is_behind(&self, now: DateTime<Utc>) -> bool {
        self.watchdog.is_behind(now, self.slots.number().into())
    }
}
