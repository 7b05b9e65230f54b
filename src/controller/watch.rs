//! The watches. Each is a stream of its own with a back-off of its own; it feeds the store and yields the names of the spaces
//! that have to be looked at.

use std::{collections::HashSet, hash::Hash, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, future::ready, stream::BoxStream};
use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt, reflector,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    context::Context,
    reconcile::key,
    store::{Source, Store},
};
use crate::{
    api::{DeveloperSpace, SpaceClass, names},
    client::WATCH_TIMEOUT_SECONDS,
    desired::{
        Child, ChildKind,
        children::{hash, version},
    },
};

/// A stored space, readable or not.
pub type Guarded = DeserializeGuard<DeveloperSpace>;

/// Asks for a space to be looked at.
#[derive(Clone, Debug)]
pub struct Nudges(mpsc::UnboundedSender<String>);

impl Nudges {
    /// A sender, and the stream of names that comes out.
    pub fn new() -> (Self, BoxStream<'static, String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stream = futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|name| (name, receiver)) });
        (Self(sender), stream.boxed())
    }

    /// Asks for the space of that name.
    pub fn nudge(&self, name: String) {
        // Nobody listens only while the process ends, or in a one-shot run.
        let _ = self.0.send(name);
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS)
}

/// The longest wait before a watch that failed is tried again. kube's own goes up to a minute, jitter included, and everything has to be
/// as it should within a minute of the end of whatever was wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// kube's back-off, up to [`LONGEST_WAIT`].
#[derive(Default)]
struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(LONGEST_WAIT))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// How soon a watch begins with a list again, at the least.
const BREATH: Duration = Duration::from_secs(1);

/// Watches one kind for ever, beginning with a list again every [`Relist`] and whenever the server has forgotten where we were.
///
/// kube's watcher alone does neither: a watch that is refused with 410 when it opens is tried for ever with the same
/// resourceVersion, and an event that got lost is never made up for. Nor does it mind events that come in the wrong order.
fn watch_for_ever<K>(api: Api<K>, config: watcher::Config, relist: Relist) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let one = move |number: u64| {
        let breath = if number == 0 { Duration::ZERO } else { BREATH };
        let begin = futures::stream::once(tokio::time::sleep(breath)).filter_map(|()| ready(None));
        let mut newest = 0;
        let trusted = move |event: &watcher::Result<Event<K>>| ready(!is_forgotten(event) && !goes_back(&mut newest, event));
        let watched = watcher(api.clone(), config.clone()).backoff(Patience::default()).take_while(trusted);
        begin.chain(watched.take_until(tokio::time::sleep(relist.period(number))))
    };
    futures::stream::iter(0..).map(one).flatten()
}

/// Whether the server does not know the resourceVersion any more from which a watch was to go on.
fn is_forgotten<T>(event: &watcher::Result<T>) -> bool {
    matches!(event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == 410)
}

/// Whether something older is told after something newer. Within one resource resourceVersions only grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>), so that such a watch is not to be
/// trusted, and what is kept may be wrong.
fn goes_back<K: Resource>(newest: &mut u64, event: &watcher::Result<Event<K>>) -> bool {
    match event {
        Ok(Event::Apply(object) | Event::Delete(object)) => {
            let told = version(object.meta());
            let back = told < *newest;
            if back {
                tracing::warn!(object = object.meta().name, told, newest, "a watch tells of older things after newer ones; listing again");
            }
            *newest = told.max(*newest);
            back
        }
        Ok(Event::Init) => {
            *newest = 0;
            false
        }
        Ok(Event::InitApply(_) | Event::InitDone) | Err(_) => false,
    }
}

/// How often everything is listed again, so that an event that got lost is made up for.
#[derive(Clone, Copy, Debug)]
pub struct Relist(pub Duration);

impl Relist {
    /// Spread, so that all kinds are not listed at the same moment.
    fn period(self, number: u64) -> Duration {
        let spread = f64::from(u32::try_from(number * 37 % 20).unwrap_or_default()) / 100.0;
        self.0.mul_f64(0.9 + spread)
    }
}

/// The events of one kind; errors are logged and waited out.
fn events<K>(api: Api<K>, config: watcher::Config, relist: Relist) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    watch_for_ever(api, config, relist).filter_map(move |event| {
        let event = event.inspect_err(|error| tracing::warn!(kind, %error, "a watch failed and is tried again")).ok();
        ready(event)
    })
}

/// What a list in progress has brought.
struct Listing<T>(Option<HashSet<T>>);

impl<T: Hash + Eq> Listing<T> {
    fn new() -> Self {
        Self(None)
    }

    fn begin(&mut self) {
        self.0 = Some(HashSet::new());
    }

    fn note(&mut self, item: T) {
        if let Some(items) = &mut self.0 {
            items.insert(item);
        }
    }

    fn end(&mut self) -> HashSet<T> {
        self.0.take().unwrap_or_default()
    }
}

/// Namespaces: all of them, since one that is not ours yet can be in a space's way or be handed over.
pub fn namespaces(client: &Client, store: Arc<Store>, relist: Relist) -> BoxStream<'static, String> {
    let mut listing = Listing::new();
    let mut changed = move |event: Event<Namespace>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(namespace) | Event::Apply(namespace) => {
            let name = namespace.name_any();
            listing.note(name.clone());
            if store.put_namespace(&namespace) { vec![name] } else { Vec::new() }
        }
        Event::Delete(namespace) => {
            let name = namespace.name_any();
            store.remove_namespace(&name, &namespace.uid().unwrap_or_default());
            vec![name]
        }
        Event::InitDone => {
            let gone = store.retain_namespaces(&listing.end());
            store.set_listed(Source::Namespaces);
            gone
        }
    };
    events(Api::<Namespace>::all(client.clone()), config(), relist).flat_map(move |event| futures::stream::iter(changed(event))).boxed()
}

/// Our children of all kinds.
pub fn children(client: &Client, store: &Arc<Store>, relist: Relist) -> BoxStream<'static, String> {
    let streams = [
        child_kind::<ResourceQuota>(client, store, (ChildKind::Quota, relist)),
        child_kind::<LimitRange>(client, store, (ChildKind::Limits, relist)),
        child_kind::<NetworkPolicy>(client, store, (ChildKind::Network, relist)),
        child_kind::<RoleBinding>(client, store, (ChildKind::Binding, relist)),
    ];
    futures::stream::select_all(streams).boxed()
}

fn child_kind<K>(client: &Client, store: &Arc<Store>, (kind, relist): (ChildKind, Relist)) -> BoxStream<'static, String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static + Into<Child>,
{
    let store = store.clone();
    let mut listing = Listing::new();
    let mut changed = move |event: Event<K>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => {
            let namespace = object.namespace().unwrap_or_default();
            let seen = object.into().seen();
            listing.note((namespace.clone(), seen.name.to_string()));
            if store.put_child(&namespace, seen) { vec![namespace] } else { Vec::new() }
        }
        Event::Delete(object) => {
            let namespace = object.namespace().unwrap_or_default();
            store.remove_child(&namespace, kind, &object.name_any(), &object.uid().unwrap_or_default());
            vec![namespace]
        }
        Event::InitDone => {
            let gone = store.retain_children(kind, &listing.end());
            store.set_listed(Source::Children(kind));
            gone
        }
    };
    let config = config().labels(&names::managed_selector());
    events(Api::<K>::all(client.clone()), config, relist).flat_map(move |event| futures::stream::iter(changed(event))).boxed()
}

/// Classes: yields the names of those whose word for spaces changed.
pub fn classes(client: &Client, store: Arc<Store>, relist: Relist) -> BoxStream<'static, String> {
    let mut listing = Listing::new();
    let mut changed = move |event: Event<DeserializeGuard<SpaceClass>>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(guarded) | Event::Apply(guarded) => {
            let name = guarded.name_any();
            listing.note(name.clone());
            match guarded.0 {
                Ok(class) => put_class(&store, class),
                Err(broken) => {
                    tracing::warn!(class = name, error = broken.error, "a stored SpaceClass cannot be read; spaces of it wait");
                    store.remove_class(&name);
                    vec![name]
                }
            }
        }
        Event::Delete(guarded) => {
            store.remove_class(&guarded.name_any());
            vec![guarded.name_any()]
        }
        Event::InitDone => {
            let listed = listing.end();
            let gone: Vec<String> = store.class_names().into_iter().filter(|name| !listed.contains(name)).collect();
            for name in &gone {
                store.remove_class(name);
            }
            store.set_listed(Source::Classes);
            gone
        }
    };
    events(Api::<DeserializeGuard<SpaceClass>>::all(client.clone()), config(), relist)
        .flat_map(move |event| futures::stream::iter(changed(event)))
        .boxed()
}

/// Keeps a class; names it unless only what spaces do not read has changed.
fn put_class(store: &Store, mut class: SpaceClass) -> Vec<String> {
    class.metadata.managed_fields = None;
    let name = class.name_any();
    let told = |class: &SpaceClass| {
        let SpaceClass { metadata, spec, status } = class.clone();
        (metadata.annotations, spec, status.map(|status| status.conditions), metadata.generation, metadata.uid)
    };
    let same = store.class(&name).is_some_and(|kept| told(&kept) == told(&class));
    store.put_class(class);
    if same { Vec::new() } else { vec![name] }
}

/// Spaces: fills `kept`, keeps the count per owner true, and yields the names of those to look at.
///
/// Those of a list only when its last page has come: until then `kept` is as it was before the list, as kube's reflector has it, and
/// whoever looked would miss what the list brings.
pub fn spaces(ctx: &Context, mut kept: reflector::store::Writer<Guarded>, relist: Relist) -> BoxStream<'static, String> {
    let Context { client, admissions, memory, nudges, watchdog, store, .. } = ctx;
    let (admissions, memory, watchdog, store) = (admissions.clone(), memory.clone(), watchdog.clone(), store.clone());
    let (mut listing, mut names) = (Listing::new(), Vec::new());
    let nudges = nudges.clone();
    let wake = move |names: Vec<String>| names.into_iter().for_each(|name| nudges.nudge(name));
    let mut changed = move |mut event: Event<Guarded>| {
        strip(&mut event);
        kept.apply_watcher_event(&event);
        match event {
            Event::Init => {
                listing.begin();
                names.clear();
                Vec::new()
            }
            Event::InitApply(space) => {
                listing.note(space.uid().unwrap_or_default());
                names.push(space.name_any());
                Vec::new()
            }
            Event::InitDone => {
                let listed = listing.end();
                watchdog.retain(&listed.iter().map(hash).collect());
                wake(admissions.retain(&listed));
                let listed: HashSet<&str> = names.iter().map(String::as_str).collect();
                memory.retain(|name| listed.contains(name));
                store.set_listed(Source::Spaces);
                std::mem::take(&mut names)
            }
            Event::Delete(space) => {
                // Who waits for a place may have been given it before.
                memory.wrote(&space.name_any(), version(space.meta()));
                watchdog.expects(key(&space), None);
                wake(admissions.withdraw(&space.uid().unwrap_or_default()));
                Vec::new()
            }
            Event::Apply(space) => vec![space.name_any()],
        }
    };
    events(Api::<Guarded>::all(client.clone()), config(), relist).flat_map(move |event| futures::stream::iter(changed(event))).boxed()
}

fn strip(event: &mut Event<Guarded>) {
    if let Event::Apply(space) | Event::InitApply(space) | Event::Delete(space) = event {
        space.managed_fields_mut().clear();
    }
}
