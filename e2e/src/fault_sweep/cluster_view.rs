//! Owns a view of the cluster that watches keep current, directly from the API server and not through the proxy.
//! Hundreds of cases are checked with it, without a request for each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::wait::eventually;

/// The kinds of all objects of a space's state.
const KINDS: [ViewedKind; 7] = [
    ViewedKind { group: "developerspace.dev", version: "v1alpha1", kind: "DeveloperSpace" },
    ViewedKind { group: "developerspace.dev", version: "v1alpha1", kind: "SpaceClass" },
    ViewedKind { group: "", version: "v1", kind: "Namespace" },
    ViewedKind { group: "", version: "v1", kind: "ResourceQuota" },
    ViewedKind { group: "", version: "v1", kind: "LimitRange" },
    ViewedKind { group: "networking.k8s.io", version: "v1", kind: "NetworkPolicy" },
    ViewedKind { group: "rbac.authorization.k8s.io", version: "v1", kind: "RoleBinding" },
];

/// A kind of objects, in one version of its group.
#[derive(Clone, Copy)]
struct ViewedKind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}

impl ViewedKind {
    fn resource(self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, self.version, self.kind))
    }

    /// The name of the space to which an object belongs, and the object's key among those of the space.
    fn locate(self, object: &DynamicObject) -> (String, String) {
        let (space, name) = (object.namespace().unwrap_or_else(|| object.name_any()), object.name_any());
        let key = if space == name { self.kind.to_owned() } else { format!("{} {name}", self.kind) };
        (space, key)
    }
}

/// The number of objects of a page.
const PAGE: u32 = 500;
/// The longest time that a page may take, retries included.
const PAGE_WITHIN: Duration = Duration::from_secs(180);

/// A watch is broken if all its attempts have failed for this time. It is longer than the longest back-off between two
/// attempts.
const WATCH_BROKEN_AFTER: Duration = Duration::from_secs(90);

/// The objects of one space, by kind and name.
pub type Objects = BTreeMap<String, Value>;

/// The objects of all spaces, by name, and the errors of the watches, by kind.
#[derive(Default)]
struct TrackedSpaces {
    spaces: RwLock<HashMap<String, TrackedSpace>>,
    failures: Mutex<BTreeMap<&'static str, WatchFailure>>,
}

/// Errors of one watch in succession, without an event between them.
struct WatchFailure {
    first: Instant,
    last: Instant,
    error: String,
}

/// The objects of one space, and a channel that reports their changes.
#[derive(Default)]
struct TrackedSpace {
    objects: Objects,
    /// The time since which the namespace is terminating.
    terminating: Option<Instant>,
    /// The times between which the last namespace that is deleted by now was terminating.
    last_termination: Option<(Instant, Instant)>,
    changed: watch::Sender<()>,
}

impl TrackedSpace {
    /// Records the times of termination that a change of the objects shows, and wakes the waiting tasks.
    fn changed(&mut self) {
        let is_terminating = self
            .objects
            .get("Namespace")
            .is_some_and(|namespace| !namespace["metadata"]["deletionTimestamp"].is_null());
        match self.terminating {
            None if is_terminating => self.terminating = Some(Instant::now()),
            Some(since) if !is_terminating => {
                (self.terminating, self.last_termination) = (None, Some((since, Instant::now())));
            }
            _ => {}
        }
        self.changed.send_replace(());
    }
}

/// A current view of the cluster.
pub struct ClusterView {
    tracked: Arc<TrackedSpaces>,
    watching: Vec<JoinHandle<()>>,
}

impl ClusterView {
    /// Starts the watches with `client`.
    pub fn start(client: &Client) -> Self {
        let tracked = Arc::<TrackedSpaces>::default();
        let watching = KINDS.map(|kind| tokio::spawn(follow(client.clone(), kind, tracked.clone())));
        Self { tracked, watching: watching.into() }
    }

    /// The objects of the space of that name.
    pub fn objects(&self, space: &str) -> Objects {
        self.tracked.read().get(space).map(|space_state| space_state.objects.clone()).unwrap_or_default()
    }

    /// Returns the times between which the last namespace of that name that is deleted by now was terminating.
    pub fn last_termination(&self, space: &str) -> Option<(Instant, Instant)> {
        self.tracked.read().get(space).and_then(|space_state| space_state.last_termination)
    }

    /// Returns an error if a watch is broken. An error that is followed by an event, or that does not recur, is normal:
    /// the watch begins again.
    pub fn check(&self) -> Result<()> {
        for (kind, WatchFailure { first, last, error }) in &*self.tracked.failures() {
            ensure!(last.duration_since(*first) < WATCH_BROKEN_AFTER, "the watch of {kind} is broken: {error}");
        }
        Ok(())
    }

    /// Waits until `probe` accepts the space's objects. The error contains the last failure of `probe`.
    pub async fn until(
        &self,
        what: &str,
        space: &str,
        within: Duration,
        probe: impl Fn(&Objects) -> Result<()>,
    ) -> Result<Objects> {
        let deadline = Instant::now() + within;
        let mut changed = self.tracked.write().entry(space.to_owned()).or_default().changed.subscribe();
        loop {
            changed.borrow_and_update();
            let objects = self.objects(space);
            match probe(&objects) {
                Ok(()) => return Ok(objects),
                Err(missing) => {
                    if timeout_at(deadline, changed.changed()).await.is_err() {
                        bail!("gave up waiting for {space} {what} after {within:?}: {missing:#}");
                    }
                }
            }
        }
    }
}

impl Drop for ClusterView {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}

/// Reads the present objects of all spaces, by space.
pub async fn read_all(client: &Client) -> Result<HashMap<String, Objects>> {
    let mut all: HashMap<String, Objects> = HashMap::new();
    for kind in KINDS {
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind.resource());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            // A loaded API server ends a response that takes too long, and the page is read again.
            let read = || async { Ok(Some(api.list(&params).await?)) };
            let page = eventually(&format!("a list of all {}s", kind.kind), PAGE_WITHIN, read).await?;
            let token = page.metadata.continue_.filter(|token| !token.is_empty());
            for object in page.items {
                let (space, key) = kind.locate(&object);
                let mut object = serde_json::to_value(&object)?;
                object["kind"] = kind.kind.into();
                all.entry(space).or_default().insert(key, object);
            }
            match token {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
    }
    Ok(all)
}

/// Keeps the objects of one kind current.
async fn follow(client: Client, kind: ViewedKind, tracked: Arc<TrackedSpaces>) {
    let api = Api::<DynamicObject>::all_with(client, &kind.resource());
    let mut events = watcher(api, watcher::Config::default().timeout(20)).default_backoff().boxed();
    let mut listed: Option<Vec<(String, String)>> = None;
    while let Some(event) = events.next().await {
        if event.is_ok() {
            tracked.failures().remove(kind.kind);
        }
        match event {
            Ok(Event::Init) => listed = Some(vec![]),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                let (space, key) = kind.locate(&object);
                if let Some(listed) = &mut listed {
                    listed.push((space.clone(), key.clone()));
                }
                if let Ok(mut object) = serde_json::to_value(&object) {
                    object["kind"] = kind.kind.into();
                    tracked.change(space, |objects| objects.insert(key, object));
                }
            }
            Ok(Event::Delete(object)) => {
                let (space, key) = kind.locate(&object);
                tracked.change(space, |objects| objects.remove(&key));
            }
            Ok(Event::InitDone) => tracked.retain(kind.kind, &listed.take().unwrap_or_default()),
            Err(error) => tracked.add_failure(kind.kind, error.to_string()),
        }
    }
}

impl TrackedSpaces {
    fn retain(&self, kind: &str, listed: &[(String, String)]) {
        let listed: std::collections::HashSet<&(String, String)> = listed.iter().collect();
        for (space, space_state) in self.write().iter_mut() {
            space_state
                .objects
                .retain(|key, object| object["kind"] != kind || listed.contains(&(space.clone(), key.clone())));
            space_state.changed();
        }
    }

    fn change(&self, space: String, change: impl FnOnce(&mut Objects) -> Option<Value>) {
        let mut all = self.write();
        let space_state = all.entry(space).or_default();
        change(&mut space_state.objects);
        space_state.changed();
    }

    /// Records an error of a watch. An error long after the last one is not a part of the same failure.
    fn add_failure(&self, kind: &'static str, error: String) {
        let now = Instant::now();
        let mut failures = self.failures();
        let earlier = failures.get(kind).filter(|failure| now.duration_since(failure.last) < WATCH_BROKEN_AFTER);
        let first = earlier.map_or(now, |failure| failure.first);
        failures.insert(kind, WatchFailure { first, last: now, error });
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<&'static str, WatchFailure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, TrackedSpace>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, TrackedSpace>> {
        self.spaces.write().unwrap_or_else(PoisonError::into_inner)
    }
}
