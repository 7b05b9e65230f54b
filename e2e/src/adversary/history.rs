//! Owns the history of the spaces: each version of each, with the time at which it was seen.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use developerspace_operator::api::DeveloperSpace;
use futures::StreamExt;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::world::World;
use crate::fixtures::{name_of, text};

/// A version of a space.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// The time at which it was seen.
    pub at: DateTime<Utc>,
    /// The space.
    pub space: Arc<Value>,
    /// Its `spec.renewedAt`.
    pub renewed_at: Option<DateTime<Utc>>,
    /// Its `status.expiresAt`.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Version {
    /// A version that was seen at that time. Its times are parsed here, because every check reads those of all
    /// versions.
    fn new(at: DateTime<Utc>, space: Value) -> Self {
        let time = |pointer: &str| text(&space, pointer).parse().ok();
        let (renewed_at, expires_at) = (time("/spec/renewedAt"), time("/status/expiresAt"));
        Self { at, space: Arc::new(space), renewed_at, expires_at }
    }
}

type Versions = HashMap<String, Vec<Version>>;

/// The versions of all spaces, by name.
pub(super) struct History {
    versions: Arc<Mutex<Versions>>,
    watching: JoinHandle<()>,
}

impl History {
    /// Begins to watch.
    pub(super) fn begin(world: &Arc<dyn World>) -> Self {
        let client = world.client();
        let versions: Arc<Mutex<Versions>> = Arc::default();
        let (noted, world) = (versions.clone(), world.clone());
        let spaces = Api::<DynamicObject>::all_with(client, &ApiResource::erase::<DeveloperSpace>(&()));
        let watching = tokio::spawn(async move {
            let mut events = watcher(spaces, watcher::Config::default().timeout(60)).default_backoff().boxed();
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(mut space) | Event::InitApply(mut space)) = event else { continue };
                space.metadata.managed_fields = None;
                if let Ok(space) = serde_json::to_value(&space) {
                    note(&noted, Version::new(world.now(), space));
                }
            }
        });
        Self { versions, watching }
    }

    /// The versions of all spaces that had that name.
    pub(super) fn of(&self, name: &str) -> Vec<Version> {
        lock(&self.versions).get(name).cloned().unwrap_or_default()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn note(versions: &Mutex<Versions>, version: Version) {
    let mut versions = lock(versions);
    let known = versions.entry(name_of(&version.space).to_owned()).or_default();
    let number = |version: &Version| text(&version.space, "/metadata/resourceVersion").to_owned();
    if known.last().is_none_or(|last| number(last) != number(&version)) {
        known.push(version);
    }
}

fn lock(versions: &Mutex<Versions>) -> MutexGuard<'_, Versions> {
    versions.lock().unwrap_or_else(PoisonError::into_inner)
}
