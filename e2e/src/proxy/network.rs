//! Owns the disturbances that affect all requests at once: frozen or lagging watches, a partition, an outdated server.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chrono::TimeDelta;

/// The state of the network between operator and API server.
#[derive(Clone, Debug, Default)]
pub struct NetworkState {
    /// Open watches stay open and deliver nothing; new ones are accepted and get no response.
    pub frozen: bool,
    /// No request gets a response.
    pub black_hole: bool,
    /// Every connection is reset.
    pub partition: bool,
    /// The delay of the events of a resource.
    pub lag: HashMap<String, Duration>,
    /// The offset of the server's clock, as its `Date` headers show it, from the local clock.
    pub clock: TimeDelta,
    /// Recorded lists that are served instead of the current ones; watches of their resources are silent.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// Recorded lists.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The bodies of the lists, by path and query.
    pub lists: HashMap<String, Bytes>,
    /// The resources that were listed.
    pub resources: HashSet<String>,
}

impl NetworkState {
    /// Returns true if a watch of `resource` delivers nothing at present.
    pub fn is_silent(&self, resource: &str) -> bool {
        self.black_hole
            || self.frozen
            || self.snapshot.as_ref().is_some_and(|snapshot| snapshot.resources.contains(resource))
    }
}
