//! Owns what holds for all requests at once: frozen or lagging watches, a partition, a server that looks back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;

/// The state of the network between operator and API server.
#[derive(Clone, Debug, Default)]
pub struct Sky {
    /// Watches that stay open while nothing passes; new ones are accepted and not answered.
    pub frozen: bool,
    /// Nothing at all is answered.
    pub black_hole: bool,
    /// Every connection is reset.
    pub partition: bool,
    /// How much later the events of a resource arrive.
    pub lag: HashMap<String, Duration>,
    /// How far the server's clock, as its `Date` headers tell it, is from ours.
    pub clock: TimeDelta,
    /// Lists as they were once, by path and query; watches of those resources are silent.
    pub past: Option<Arc<Past>>,
}

/// Lists that were recorded, by path and query.
#[derive(Debug, Default)]
pub struct Past {
    /// The bodies.
    pub lists: HashMap<String, Bytes>,
    /// The resources that were listed.
    pub resources: HashSet<String>,
}

impl Sky {
    /// Whether a watch of `resource` gets nothing at present.
    pub fn is_silent(&self, resource: &str) -> bool {
        self.black_hole || self.frozen || self.past.as_ref().is_some_and(|past| past.resources.contains(resource))
    }
}
