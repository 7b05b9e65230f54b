//! Owns the detection of ready spaces from outside, by one watch that is the same for every contestant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use tokio::{sync::watch, task::JoinHandle};

/// The time at which each object became ready.
pub struct ReadyWatch {
    since: Arc<Mutex<HashMap<String, Instant>>>,
    count: watch::Receiver<usize>,
    watching: JoinHandle<()>,
}

impl ReadyWatch {
    /// Begins to watch spaces.
    pub fn spaces(client: &Client) -> Self {
        Self::start(client, &GroupVersionKind::gvk("developerspace.dev", "v1alpha1", "DeveloperSpace"), |space| {
            is_ready(space).then(|| space.name_any())
        })
    }

    /// Begins to watch quotas. The namespace of a quota is recorded as ready once the quota is in force.
    pub fn quotas(client: &Client) -> Self {
        Self::start(client, &GroupVersionKind::gvk("", "v1", "ResourceQuota"), |quota| {
            quota.namespace().filter(|_| is_in_force(quota))
        })
    }

    /// Begins to watch `kind`. `ready_name` returns the name under which an object is recorded, if the object is ready.
    fn start(
        client: &Client,
        kind: &GroupVersionKind,
        ready_name: impl Fn(&DynamicObject) -> Option<String> + Send + 'static,
    ) -> Self {
        let kind = ApiResource::from_gvk(kind);
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
        let (since, (sender, count)) = (Arc::<Mutex<HashMap<String, Instant>>>::default(), watch::channel(0));
        let known = since.clone();
        let watching = tokio::spawn(async move {
            let mut objects = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(object) = objects.next().await {
                let Some(name) = object.ok().as_ref().and_then(&ready_name) else { continue };
                // `record` releases its lock before the count is sent: a waiter takes that lock while it holds the
                // count.
                let count = record(&known, name);
                sender.send_replace(count);
            }
        });
        Self { since, count, watching }
    }

    /// Waits until the object of that name is ready.
    pub async fn until_one(&self, name: &str, within: Duration) -> Result<()> {
        let (since, mut count) = (self.since.clone(), self.count.clone());
        let one = count.wait_for(|_| since.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name));
        tokio::time::timeout(within, one)
            .await
            .with_context(|| format!("{name} was not ready within {within:?}"))??;
        Ok(())
    }

    /// Waits until `wanted` objects are ready.
    pub async fn until(&mut self, wanted: usize, within: Duration) -> Result<()> {
        let all = self.count.wait_for(|count| *count >= wanted);
        tokio::time::timeout(within, all)
            .await
            .with_context(|| format!("{wanted} spaces were not ready within {within:?}"))??;
        Ok(())
    }

    /// Waits until each of these spaces is ready, regardless of other spaces.
    pub async fn until_all(&mut self, names: &[String], within: Duration) -> Result<()> {
        let all = async {
            for name in names {
                let since = self.since.clone();
                let is_ready = |_: &usize| since.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name);
                self.count.wait_for(is_ready).await.map(drop)?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(within, all)
            .await
            .with_context(|| format!("{} spaces were not ready within {within:?}", names.len()))?
    }

    /// The time at which the object of that name became ready.
    pub fn ready_at(&self, name: &str) -> Option<Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// The number of ready objects.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }
}

impl Drop for ReadyWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn record(known: &Mutex<HashMap<String, Instant>>, name: String) -> usize {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(name).or_insert_with(Instant::now);
    known.len()
}

fn is_ready(space: &DynamicObject) -> bool {
    let conditions = space.data.pointer("/status/conditions").and_then(|all| all.as_array());
    conditions
        .is_some_and(|all| all.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
}

/// Returns true if admission enforces the quota: kube-controller-manager has filled in each of its limits.
fn is_in_force(quota: &DynamicObject) -> bool {
    let keys = |pointer: &str| quota.data.pointer(pointer).and_then(|hard| hard.as_object());
    keys("/spec/hard").is_some_and(|hard| {
        hard.keys().all(|key| keys("/status/hard").is_some_and(|counted| counted.contains_key(key)))
    })
}
