//! The watches. Each is a separate stream with its own back-off. It feeds the store and yields the names of the spaces that have to be reconciled.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{reflector, watcher::Event},
};
use tokio::sync::mpsc;

use super::{
    owner_limit::{OwnerLimit, Released},
    reduced::{Reduced, SeenPolicy, Watched},
    relist::Relist,
    store::{Source, Store},
    watch_stream::{config, events},
};
use crate::{
    api::{DeveloperSpace, SpaceClass, names},
    controller::{context::Context, reconcile::key},
    desired::{ChildKind, SeenChild, Uid, hash::hash, namespace::SeenNamespace},
};

/// A space in the form in which it is kept.
pub type CachedSpace = Reduced<DeveloperSpace>;

/// Requeues spaces.
#[derive(Clone, Debug)]
pub struct RequeueSender(mpsc::UnboundedSender<String>);

impl RequeueSender {
    /// Returns a sender, and the stream of the requeued names.
    pub fn new() -> (Self, BoxStream<'static, String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stream = futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|name| (name, receiver)) });
        (Self(sender), stream.boxed())
    }

    /// Requeues the space of that name.
    pub fn requeue(&self, name: String) {
        // The receiver is missing only while the process ends, or in a one-shot run.
        let _ = self.0.send(name);
    }
}

/// The items that a list in progress has returned so far.
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

/// Watches all namespaces, since a namespace that the operator does not manage can conflict with a space or be handed over to one.
///
/// Also yields the names of the spaces that get the place of a released namespace that is deleted or adopted.
pub fn namespaces(client: &Client, store: Arc<Store>, admissions: Arc<OwnerLimit>, relist: Relist) -> BoxStream<'static, String> {
    let mut listing = Listing::new();
    let mut changed = move |event: Event<Reduced<Namespace>>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(namespace) | Event::Apply(namespace) => {
            let name = namespace.name_any();
            listing.note(name.clone());
            let changed = store.put_seen_namespace(name.clone(), namespace.kept);
            // Uses the state in the store: the response to the operator's own release may be newer than this event.
            let freed = store.namespace(&name).map(|seen| admissions.set_released(&name, counts(&seen))).unwrap_or_default();
            changed.then_some(name).into_iter().chain(freed).collect()
        }
        Event::Delete(namespace) => {
            let name = namespace.name_any();
            store.mark_namespace_deleted(&name, &Uid::from_metadata(namespace.meta()));
            let freed = admissions.set_released(&name, None);
            std::iter::once(name).chain(freed).collect()
        }
        Event::InitDone => {
            let gone = store.retain_namespaces(&listing.end());
            store.set_listed(Source::Namespaces);
            let freed: Vec<String> = gone.iter().flat_map(|name| admissions.set_released(name, None)).collect();
            gone.into_iter().chain(freed).collect()
        }
    };
    events(Api::<Reduced<Namespace>>::all(client.clone()), config().page_size(PAGE), relist)
        .flat_map(move |event| futures::stream::iter(changed(event)))
        .boxed()
}

/// The owner and the class for which a released namespace counts.
pub fn counts(seen: &SeenNamespace) -> Option<Released> {
    let released = seen.released.as_deref().filter(|released| !released.owner.is_empty())?;
    Some(Released { owner: released.owner.to_string(), class: released.class.to_string(), from: released.space.to_string() })
}

/// Watches the operator's children of all kinds.
pub fn children(client: &Client, store: &Arc<Store>, relist: &Relist) -> BoxStream<'static, String> {
    let streams = [
        child_kind::<ResourceQuota>(client, store, (ChildKind::Quota, relist.clone())),
        child_kind::<LimitRange>(client, store, (ChildKind::Limits, relist.clone())),
        policies(client, store, relist.clone()),
        child_kind::<RoleBinding>(client, store, (ChildKind::Binding, relist.clone())),
    ];
    futures::stream::select_all(streams).boxed()
}

fn child_kind<K>(client: &Client, store: &Arc<Store>, (kind, relist): (ChildKind, Relist)) -> BoxStream<'static, String>
where
    K: Watched<Kept = SeenChild> + Clone + std::fmt::Debug + Send,
{
    let store = store.clone();
    let mut listing = Listing::new();
    let mut changed = move |event: Event<Reduced<K>>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => {
            let namespace = object.namespace().unwrap_or_default();
            let seen = object.kept;
            listing.note(store.key(&namespace, &seen.name));
            if store.put_watched_child(&namespace, seen) { vec![namespace] } else { Vec::new() }
        }
        Event::Delete(object) => {
            let namespace = object.namespace().unwrap_or_default();
            store.remove_child(&namespace, kind, &object.name_any(), &Uid::from_metadata(object.meta()));
            vec![namespace]
        }
        Event::InitDone => {
            let gone = store.retain_children(kind, &listing.end());
            store.set_listed(Source::Children(kind));
            gone
        }
    };
    let config = config().labels(&names::managed_selector()).page_size(PAGE);
    events(Api::<Reduced<K>>::all(client.clone()), config, relist).flat_map(move |event| futures::stream::iter(changed(event))).boxed()
}

/// Watches all `NetworkPolicies`, since a foreign policy can allow traffic that the operator's policy denies.
fn policies(client: &Client, store: &Arc<Store>, relist: Relist) -> BoxStream<'static, String> {
    let (store, kind) = (store.clone(), ChildKind::Network);
    let mut listing = Listing::new();
    let named = |object: &Reduced<NetworkPolicy>| (object.namespace().unwrap_or_default(), object.name_any());
    let mut changed = move |event: Event<Reduced<NetworkPolicy>>| match event {
        Event::Init => {
            listing.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => {
            let (namespace, name) = named(&object);
            let is_new = match object.kept {
                SeenPolicy::Ours(seen) => {
                    listing.note(store.key(&namespace, &name));
                    store.put_watched_child(&namespace, seen)
                }
                SeenPolicy::Other { is_foreign } => {
                    // The policy may have lost the label by which the operator manages it.
                    let was_ours = store.remove_child(&namespace, kind, &name, &Uid::from_metadata(object.meta()));
                    let is_new = store.put_policy(&namespace, &name, is_foreign);
                    if is_foreign {
                        listing.note(store.key(&namespace, &name));
                    }
                    was_ours || is_new
                }
            };
            if is_new { vec![namespace] } else { Vec::new() }
        }
        Event::Delete(object) => {
            let (namespace, name) = named(&object);
            let was_ours = store.remove_child(&namespace, kind, &name, &Uid::from_metadata(object.meta()));
            let was_foreign = store.put_policy(&namespace, &name, false);
            if was_ours || was_foreign { vec![namespace] } else { Vec::new() }
        }
        Event::InitDone => {
            let listed = listing.end();
            let gone = store.retain_children(kind, &listed).into_iter().chain(store.retain_policies(&listed)).collect();
            store.set_listed(Source::Children(kind));
            gone
        }
    };
    events(Api::<Reduced<NetworkPolicy>>::all(client.clone()), config().page_size(PAGE), relist)
        .flat_map(move |event| futures::stream::iter(changed(event)))
        .boxed()
}

/// Watches the classes. Yields the names of the classes that changed in a way that affects spaces.
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
                    tracing::warn!(
                        class = name,
                        error = broken.error,
                        "a stored SpaceClass cannot be read; its spaces keep their recorded terms"
                    );
                    store.put_unreadable_class(broken.metadata);
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

/// Keeps a class. Returns its name unless the change affects no space.
fn put_class(store: &Store, mut class: SpaceClass) -> Vec<String> {
    class.metadata.managed_fields = None;
    let name = class.name_any();
    let same = store.class(&name).is_some_and(|kept| says_the_same(&kept, &class));
    store.put_class(class);
    if same { Vec::new() } else { vec![name] }
}

fn says_the_same(kept: &SpaceClass, class: &SpaceClass) -> bool {
    let SpaceClass { metadata, spec, status } = class;
    let said = |metadata: &ObjectMeta| (metadata.annotations.clone(), metadata.generation, metadata.uid.clone());
    said(metadata) == said(&kept.metadata) && *spec == kept.spec && *status == kept.status
}

/// The page size of the lists of namespaces and children. The text of a page is in memory twice before it is parsed, and a developer can make a
/// NetworkPolicy, the status of a terminating namespace or, as an `admin`, a RoleBinding as large as an object may be.
const PAGE: u32 = 25;

/// The page size of the list of spaces, each of which its owner can make as large as an object may be: no policy can bound the managed fields.
const PAGE_OF_SPACES: u32 = 10;

/// Watches the spaces: fills `kept`, keeps the count per owner correct, and yields the names of the spaces to reconcile.
///
/// The names of a list are yielded only after its last page: until then `kept` has the state before the list, as in kube's reflector, and a
/// reconcile would miss the listed changes.
pub fn spaces(ctx: &Context, mut kept: reflector::store::Writer<CachedSpace>, relist: Relist) -> BoxStream<'static, String> {
    let Context { client, admissions, memory, requeue, watchdog, metrics, store, .. } = ctx;
    let (admissions, memory, store) = (admissions.clone(), memory.clone(), store.clone());
    let (watchdog, metrics) = (watchdog.clone(), metrics.clone());
    let (mut listing, mut names) = (Listing::new(), Vec::new());
    let requeue = requeue.clone();
    let wake = move |names: Vec<String>| names.into_iter().for_each(|name| requeue.requeue(name));
    let mut changed = move |event: Event<CachedSpace>| {
        kept.apply_watcher_event(&by_name(&event));
        match event {
            Event::Init => {
                listing.begin();
                names.clear();
                Vec::new()
            }
            Event::InitApply(space) => {
                listing.note(Uid::from_metadata(space.meta()));
                wake(store.reserved.put_space(&space.name_any(), space.kept.accounts.as_deref()));
                names.push(space.name_any());
                Vec::new()
            }
            Event::InitDone => {
                let listed = listing.end();
                let keys = listed.iter().map(hash).collect();
                watchdog.retain(&keys);
                metrics.noncompliant.retain(&keys);
                wake(admissions.retain(&listed));
                let listed: HashSet<&str> = names.iter().map(String::as_str).collect();
                memory.retain(|name| listed.contains(name));
                wake(store.reserved.retain_spaces(&listed));
                store.set_listed(Source::Spaces);
                std::mem::take(&mut names)
            }
            Event::Delete(space) => {
                memory.left(&space.name_any(), space.uid().unwrap_or_default());
                watchdog.expects(key(&space), None);
                metrics.noncompliant.note(key(&space), Vec::new());
                wake(admissions.withdraw(&Uid::from_metadata(space.meta())));
                wake(store.reserved.put_space(&space.name_any(), None));
                Vec::new()
            }
            Event::Apply(space) => {
                wake(store.reserved.put_space(&space.name_any(), space.kept.accounts.as_deref()));
                vec![space.name_any()]
            }
        }
    };
    events(Api::<CachedSpace>::all(client.clone()), config().page_size(PAGE_OF_SPACES), relist)
        .flat_map(move |event| futures::stream::iter(changed(event)))
        .boxed()
}

/// kube's store keeps the metadata of an object twice, in the key and in the object, so the event is reduced to the name.
fn by_name(event: &Event<CachedSpace>) -> Event<CachedSpace> {
    match event {
        Event::Apply(space) => Event::Apply(space.by_name()),
        Event::InitApply(space) => Event::InitApply(space.by_name()),
        Event::Delete(space) => Event::Delete(space.by_name()),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}
