//! Owns the data that all connections of a proxy share: the rules, the journal, the network and the orders to watches.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use tokio::sync::{broadcast, watch};

use super::{
    fault::{EventFault, Order},
    journal::Journal,
    network::{NetworkState, Snapshot},
    rules::Rules,
    upstream::Upstream,
};

pub(super) struct State {
    pub(super) upstream: Upstream,
    pub(super) rules: Mutex<Rules>,
    pub(super) event_rules: AtomicUsize,
    pub(super) journal: Journal,
    pub(super) network: watch::Sender<NetworkState>,
    pub(super) orders: broadcast::Sender<Order>,
    pub(super) recording: Mutex<Option<Snapshot>>,
    pub(super) pid: AtomicU32,
}

impl State {
    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_event_rules(&self) -> bool {
        self.event_rules.load(Ordering::Relaxed) > 0
    }

    pub(super) fn judge_event(&self, space: &str, resource: &str) -> Option<EventFault> {
        self.rules().judge_event(space, resource)
    }
}
