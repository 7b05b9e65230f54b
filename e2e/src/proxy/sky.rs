//! Owns what holds for all requests at once: frozen or lagging watches, a partition, a server that looks back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Which resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// None.
    #[default]
    None,
    /// These plurals.
    These(HashSet<String>),
    /// All.
    All,
}

impl Which {
    /// Only that one.
    pub fn only(resource: &str) -> Self {
        Self::These(HashSet::from([resource.to_owned()]))
    }

    /// Whether `resource` is one of them.
    pub fn has(&self, resource: &str) -> bool {
        match self {
            Self::None => false,
            Self::These(resources) => resources.contains(resource),
            Self::All => true,
        }
    }
}

/// The state of the network between operator and API server.
#[derive(Clone, Debug, Default)]
pub struct Sky {
    /// Watches that stay open while nothing passes; new ones are accepted and not answered.
    pub frozen: Which,
    /// Nothing at all is answered.
    pub black_hole: bool,
    /// Every connection is reset.
    pub partition: bool,
    /// How much later the events of a resource arrive.
    pub lag: HashMap<String, Duration>,
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
        self.black_hole || self.frozen.has(resource) || self.past.as_ref().is_some_and(|past| past.resources.contains(resource))
    }
}
