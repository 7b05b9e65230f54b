//! Owns noticing from outside when spaces become ready, by one watch, the same for every contestant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Since when each space is ready.
pub struct Ready {
    since: Arc<Mutex<HashMap<String, Instant>>>,
    count: watch::Receiver<usize>,
    watching: JoinHandle<()>,
}

impl Ready {
    /// Begins to watch.
    pub fn watch(client: &Client) -> Self {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("developerspace.dev", "v1alpha1", "DeveloperSpace"));
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
        let (since, (sender, count)) = (Arc::<Mutex<HashMap<String, Instant>>>::default(), watch::channel(0));
        let known = since.clone();
        let watching = tokio::spawn(async move {
            let mut spaces = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(space) = spaces.next().await {
                let Ok(space) = space else { continue };
                if is_ready(&space) {
                    // Not held while telling: who waits looks into it while the count is held.
                    let count = note(&known, space.name_any());
                    sender.send_replace(count);
                }
            }
        });
        Self { since, count, watching }
    }

    /// Waits until so many are ready.
    pub async fn until(&mut self, wanted: usize, within: Duration) -> Result<()> {
        let all = self.count.wait_for(|count| *count >= wanted);
        tokio::time::timeout(within, all).await.with_context(|| format!("{wanted} spaces were not ready within {within:?}"))??;
        Ok(())
    }

    /// Waits until each of these is ready, whatever others are.
    pub async fn until_all(&mut self, names: &[String], within: Duration) -> Result<()> {
        let all = async {
            for name in names {
                let since = self.since.clone();
                let is_ready = |_: &usize| since.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name);
                self.count.wait_for(is_ready).await.map(drop)?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(within, all).await.with_context(|| format!("{} spaces were not ready within {within:?}", names.len()))?
    }

    /// Since when that one is.
    pub fn since(&self, name: &str) -> Option<Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// How many are.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn note(known: &Mutex<HashMap<String, Instant>>, name: String) -> usize {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(name).or_insert_with(Instant::now);
    known.len()
}

fn is_ready(space: &DynamicObject) -> bool {
    let conditions = space.data.pointer("/status/conditions").and_then(|all| all.as_array());
    conditions.is_some_and(|all| all.iter().any(|said| said["type"] == "Ready" && said["status"] == "True"))
}
