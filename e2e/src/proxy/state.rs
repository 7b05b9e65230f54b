//! Owns the data that all connections of a proxy share: the rules, the journal, the network and the commands to
//! watches.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use tokio::sync::{broadcast, watch};

use super::{
    fault::{EventFault, WatchCommand},
    journal::Journal,
    network::{NetworkState, Snapshot},
    rules::ActiveRules,
    upstream::Upstream,
};

pub(super) struct ProxyState {
    pub(super) upstream: Upstream,
    pub(super) rules: Mutex<ActiveRules>,
    pub(super) event_rules: AtomicUsize,
    pub(super) journal: Journal,
    pub(super) network: watch::Sender<NetworkState>,
    pub(super) commands: broadcast::Sender<WatchCommand>,
    pub(super) recording: Mutex<Option<Snapshot>>,
    pub(super) pid: AtomicU32,
}

impl ProxyState {
    pub(super) fn rules(&self) -> MutexGuard<'_, ActiveRules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_event_rules(&self) -> bool {
        self.event_rules.load(Ordering::Relaxed) > 0
    }

    pub(super) fn match_event(&self, space: &str, resource: &str) -> Option<EventFault> {
        self.rules().match_event(space, resource)
    }
}
