//! The context of a reconcile, which the test fills in.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use developerspace_operator::{
    api::{
        DeveloperSpace,
        excerpt::{Excerpt, Excerpted},
        protected_namespaces::ProtectedNamespaces,
    },
    cache::{
        owner_limit::OwnerLimit,
        reduced::{Reduced, SeenPolicy},
        store::{SOURCES, Source, Store},
        watches::CachedSpace,
    },
    controller::{
        attempts::Attempts,
        context::Context,
        creations::Creations,
        expiry_queue::ExpiryQueue,
        io::Io,
        worker::{reconcile_expiring, reconcile_queued},
    },
    desired::Child,
    installed::Installed,
    metrics::Metrics,
    runtime::{
        error::Error, events::recorder, recent_writes::RecentWrites, requeue::RequeueSender, watchdog::Watchdog,
        worker_slots::WorkerSlots,
    },
};
use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::{
    core::v1::{LimitRange, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Client, runtime::controller::Action};
use serde_json::Value;

use super::{
    api_server::{Step, play, without_answers},
    objects,
};

/// The cluster as the operator has seen it, at one moment.
pub(crate) struct World {
    now: DateTime<Utc>,
    pub store: Arc<Store>,
    pub attempts: Arc<Attempts>,
    pub watchdog: Arc<Watchdog>,
    pub metrics: Arc<Metrics>,
    owner_limit: Arc<OwnerLimit>,
    pub expiry_queue: Arc<ExpiryQueue>,
    pub recent_writes: Arc<RecentWrites>,
    pub creations: Arc<Creations>,
    protected: Vec<String>,
    requeue: RequeueSender,
    requeued: BoxStream<'static, String>,
    installed: Arc<Installed>,
}

impl World {
    /// A cluster of which every source was listed and that has no objects.
    pub(crate) fn empty(now: &str) -> Self {
        let world = Self::unlisted(now);
        for source in SOURCES {
            world.store.set_listed(source);
        }
        world
    }

    /// A cluster of which no source was listed yet.
    pub(crate) fn unlisted(now: &str) -> Self {
        let (requeue, requeued) = RequeueSender::new();
        let (store, attempts, watchdog, metrics, owner_limit, expiry_queue, recent_writes, creations, installed) =
            Default::default();
        Self {
            now: now.parse().unwrap(),
            store,
            attempts,
            watchdog,
            metrics,
            owner_limit,
            expiry_queue,
            recent_writes,
            creations,
            protected: vec!["monitoring".to_owned()],
            requeue,
            requeued,
            installed,
        }
    }

    /// A cluster of which every source was listed and that has these objects.
    pub(crate) fn with(now: &str, objects: &[Value]) -> Self {
        let world = Self::empty(now);
        for object in objects {
            world.keep(object);
        }
        world
    }

    pub(crate) fn list_all_but(&self, missing: Source) {
        SOURCES.into_iter().filter(|source| *source != missing).for_each(|source| self.store.set_listed(source));
    }

    /// Stores `object`, as a watch does.
    pub(crate) fn keep(&self, object: &Value) {
        fn child<K: Excerpted + Into<Child>>(store: &Store, object: &Value) {
            let Excerpt(read) = objects::read::<Excerpt<K>>(object);
            store.put_child(object["metadata"]["namespace"].as_str().unwrap(), read.into().seen());
        }
        match object["kind"].as_str().unwrap() {
            "SpaceClass" => self.store.put_class(objects::read(object)),
            "Namespace" => assert!(self.store.put_namespace(&objects::read(object))),
            "ResourceQuota" => child::<ResourceQuota>(&self.store, object),
            "LimitRange" => child::<LimitRange>(&self.store, object),
            "NetworkPolicy" => match objects::read::<Reduced<NetworkPolicy>>(object).kept {
                SeenPolicy::Ours(seen) => assert!(self.store.put_child(objects::SPACE, seen)),
                SeenPolicy::Other { is_foreign } => {
                    self.store.put_policy(objects::SPACE, object["metadata"]["name"].as_str().unwrap(), is_foreign);
                }
            },
            "RoleBinding" => child::<RoleBinding>(&self.store, object),
            other => panic!("nothing is kept of a {other}"),
        }
    }

    /// Sets the clock to `now`.
    pub(crate) fn later(self, now: &str) -> Self {
        Self { now: now.parse().unwrap(), ..self }
    }

    /// Replaces the list of protected names, as a restart of the operator can.
    pub(crate) fn protecting(self, pattern: &str) -> Self {
        Self { protected: vec![pattern.to_owned()], ..self }
    }

    /// Installs CRDs that lack fields.
    pub(crate) fn with_old_crds(self) -> Self {
        Self { installed: Arc::new(Installed::unread()), ..self }
    }

    /// Registers `space` as one that waited for a place under `class` before the operator started.
    pub(crate) fn recall_waiting(&self, space: &Value, class: &str) {
        self.owner_limit.restore_waiting(&objects::read(space), class);
    }

    /// Registers `space` as one that had its place under `class` before the operator started.
    pub(crate) fn recall(&self, space: &Value, class: &str) {
        let space: DeveloperSpace = objects::read(space);
        self.owner_limit.restore(&space, &space.spec.owner.to_string(), class);
    }

    /// Releases the place of `space`. Returns the names of the spaces that get it.
    pub(crate) fn give_up(&self, space: &Value) -> Vec<String> {
        self.owner_limit.release(&space["metadata"]["uid"].as_str().unwrap().into())
    }

    /// Removes `space` from the count, as after its deletion.
    pub(crate) fn forget(&self, space: &Value) {
        drop(self.give_up(space));
    }

    /// Returns the names of the spaces for which a reconcile was requested.
    pub(crate) async fn requeued(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(Some(name)) = tokio::time::timeout(Duration::from_millis(10), self.requeued.next()).await {
            names.push(name);
        }
        names
    }

    /// The context of a reconcile that uses `client`.
    pub(crate) fn context(&self, client: Client) -> Arc<Context> {
        let slots = WorkerSlots::new(1);
        let (recorder, writing) = recorder(client.clone(), slots.clone(), "greenkeeper-0");
        tokio::spawn(writing);
        let protected = ProtectedNamespaces::new("operators-home", &self.protected);
        let io = Io {
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            attempts: self.attempts.clone(),
            creations: self.creations.clone(),
            installed: self.installed.clone(),
            ..Io::new(client, Arc::new(self.now), protected, recorder)
        };
        Arc::new(Context {
            owner_limit: self.owner_limit.clone(),
            watchdog: self.watchdog.clone(),
            recent_writes: self.recent_writes.clone(),
            expiry_queue: self.expiry_queue.clone(),
            requeue: self.requeue.clone(),
            ..Context::new(io, slots)
        })
    }

    /// Reconciles this version of `space` and expects exactly the calls of `script`.
    pub(crate) async fn reconcile(&self, space: &Value, script: Vec<Step>) -> Result<Action, Error> {
        let space: Arc<CachedSpace> = Arc::new(objects::read(space));
        play(script, async |client| reconcile_queued(space, self.context(client)).await).await
    }

    /// Reconciles `space`, of which the queue has the copy in the store by name, while no request is answered.
    pub(crate) async fn reconcile_without_answers(&self, space: &Value) -> Result<Action, Error> {
        let space = Arc::new(objects::read::<CachedSpace>(space).by_name());
        without_answers(async |client| reconcile_queued(space, self.context(client)).await).await
    }

    /// Reconciles `space` at its end, as `expiry_worker::run` does with the copy in the store by name. Returns true if
    /// it was reconciled.
    pub(crate) async fn end(&self, space: &Value, script: Vec<Step>) -> Result<bool, Error> {
        let space = objects::read::<CachedSpace>(space).by_name();
        play(script, async |client| reconcile_expiring(&space, &self.context(client)).await).await
    }
}
