//! The frame of a watch: the events of one kind, the objects of a list in progress, and the handlers.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;

use crate::cache::{relist::Relist, watch_stream::events};

/// The page size of the lists of namespaces and children. The text of a page is in memory twice before it is parsed. A
/// developer can make a NetworkPolicy, the status of a terminating namespace or, as an `admin`, a RoleBinding as large
/// as an object may be: the client reads the objects of a page that is too large one by one, see
/// [`crate::small_pages`].
pub(super) const PAGE: u32 = 25;

/// The objects that a list in progress has returned so far.
pub(super) struct Listed<T>(Option<HashSet<T>>);

impl<T: Hash + Eq> Listed<T> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn begin(&mut self) {
        self.0 = Some(HashSet::new());
    }

    pub(super) fn add(&mut self, object: T) {
        if let Some(objects) = &mut self.0 {
            objects.insert(object);
        }
    }

    pub(super) fn end(&mut self) -> HashSet<T> {
        self.0.take().unwrap_or_default()
    }
}

/// The handlers of the events of one kind. Each returns the names that the watch yields.
pub(super) trait Feed {
    /// The watched objects.
    type Object;
    /// The identity of an object in a list.
    type Key: Hash + Eq;

    /// Handles an object of a list, and an object that was created or changed.
    fn put(&self, object: Self::Object, listed: &mut Listed<Self::Key>) -> Vec<String>;

    /// Handles an object that was deleted.
    fn remove(&self, object: Self::Object) -> Vec<String>;

    /// Handles the end of a list: all other objects no longer exist.
    fn complete(&self, listed: HashSet<Self::Key>) -> Vec<String>;
}

/// Watches one kind: passes its events to `feed`, and yields the names.
pub(super) fn watch<F>(
    feed: F,
    api: Api<F::Object>,
    config: watcher::Config,
    relist: Relist,
) -> BoxStream<'static, String>
where
    F: Feed + Send + 'static,
    F::Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    F::Key: Send + 'static,
{
    let mut listed = Listed::new();
    let mut changed = move |event: Event<F::Object>| match event {
        Event::Init => {
            listed.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => feed.put(object, &mut listed),
        Event::Delete(object) => feed.remove(object),
        Event::InitDone => feed.complete(listed.end()),
    };
    events(api, config, relist).flat_map(move |event| stream::iter(changed(event))).boxed()
}
