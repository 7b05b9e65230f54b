//! The access to the cluster that a reconcile and a sweep share: the client, the cache of what was read, and the
//! records of what was written.

use std::sync::Arc;

use kube::{Api, Client};

use super::{attempts::Attempts, creations::Creations};
use crate::{
    api::{DeveloperSpace, protected_namespaces::ProtectedNamespaces, without_managed_fields::WithoutManagedFields},
    cache::store::Store,
    clock::Clock,
    installed::Installed,
    metrics::Metrics,
    runtime::events::Recorder,
};

/// The access to the cluster.
pub struct Io {
    /// The client of the API server.
    pub client: Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The cached objects of the cluster.
    pub store: Arc<Store>,
    /// The names of namespaces that the operator must not touch.
    pub protected: ProtectedNamespaces,
    /// The recorder of Events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The state of each space between reconciles, with the version of the last write.
    pub attempts: Arc<Attempts>,
    /// The spaces whose namespace is being created.
    pub creations: Arc<Creations>,
    /// The installed CRDs.
    pub installed: Arc<Installed>,
}

impl Io {
    /// Returns the access with an empty store.
    pub fn new(client: Client, clock: Arc<dyn Clock>, protected: ProtectedNamespaces, recorder: Recorder) -> Self {
        Self {
            client,
            clock,
            store: Arc::default(),
            protected,
            recorder,
            metrics: Arc::default(),
            attempts: Arc::default(),
            creations: Arc::default(),
            installed: Arc::default(),
        }
    }

    /// The API of spaces.
    pub fn spaces(&self) -> Api<WithoutManagedFields<DeveloperSpace>> {
        Api::all(self.client.clone())
    }
}
