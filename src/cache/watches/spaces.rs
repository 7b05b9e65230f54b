//! The watch of the spaces.

use std::{collections::HashSet, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{reflector, watcher::Event},
};

use super::feed::Listed;
use crate::{
    api::DeveloperSpace,
    cache::{
        owner_limit::OwnerLimit,
        reduced::Reduced,
        relist::Relist,
        store::{Source, Store},
        watch_stream::{config, events},
    },
    desired::Uid,
    runtime::requeue::RequeueSender,
};

/// A space in the form in which it is kept.
pub type CachedSpace = Reduced<DeveloperSpace>;

/// The page size of the list of spaces, each of which its owner can make as large as an object may be: no policy can
/// bound the managed fields.
const PAGE_OF_SPACES: u32 = 10;

/// The state outside of the cache that ends with a space.
pub trait SpaceRegisters: Send + 'static {
    /// Forgets all spaces but those of a complete list, by UID and by name.
    fn retain(&self, uids: &HashSet<Uid>, names: &HashSet<&str>);

    /// Records that the space was deleted.
    fn remove(&self, space: &CachedSpace);
}

/// The parts of the operator that the watch of spaces feeds.
pub struct SpaceFeed<R> {
    /// The store, whose reserved names depend on the spaces.
    pub store: Arc<Store>,
    /// The register of the limit of spaces per owner.
    pub owner_limit: Arc<OwnerLimit>,
    /// Requeues the spaces that get a place or a name that another space released.
    pub requeue: RequeueSender,
    /// The registers outside of the cache.
    pub registers: R,
}

/// Watches the spaces: fills `kept`, keeps the count per owner correct, and yields the names of the spaces to
/// reconcile.
///
/// The names of a list are yielded only after its last page: until then `kept` has the state before the list, as in
/// kube's reflector, and a reconcile would miss the listed changes.
pub fn spaces<R: SpaceRegisters>(
    client: &Client,
    feed: SpaceFeed<R>,
    mut kept: reflector::store::Writer<CachedSpace>,
    relist: Relist,
) -> BoxStream<'static, String> {
    let SpaceFeed { store, owner_limit, requeue, registers } = feed;
    let (mut listed, mut names) = (Listed::new(), Vec::new());
    let requeue_all = move |names: Vec<String>| names.into_iter().for_each(|name| requeue.requeue(name));
    let mut changed = move |event: Event<CachedSpace>| {
        kept.apply_watcher_event(&by_name(&event));
        match event {
            Event::Init => {
                listed.begin();
                names.clear();
                Vec::new()
            }
            Event::InitApply(space) => {
                listed.add(Uid::from_metadata(space.meta()));
                requeue_all(store.reserved.put_space(&space.name_any(), space.kept.accounts.as_deref()));
                names.push(space.name_any());
                Vec::new()
            }
            Event::InitDone => {
                let uids = listed.end();
                let listed_names: HashSet<&str> = names.iter().map(String::as_str).collect();
                registers.retain(&uids, &listed_names);
                requeue_all(owner_limit.retain(&uids));
                requeue_all(store.reserved.retain_spaces(&listed_names));
                store.set_listed(Source::Spaces);
                std::mem::take(&mut names)
            }
            Event::Delete(space) => {
                registers.remove(&space);
                requeue_all(owner_limit.release(&Uid::from_metadata(space.meta())));
                requeue_all(store.reserved.put_space(&space.name_any(), None));
                Vec::new()
            }
            Event::Apply(space) => {
                requeue_all(store.reserved.put_space(&space.name_any(), space.kept.accounts.as_deref()));
                vec![space.name_any()]
            }
        }
    };
    events(Api::<CachedSpace>::all(client.clone()), config().page_size(PAGE_OF_SPACES), relist)
        .flat_map(move |event| stream::iter(changed(event)))
        .boxed()
}

/// kube's store keeps the metadata of an object twice, in the key and in the object, so the event is reduced to the
/// name.
fn by_name(event: &Event<CachedSpace>) -> Event<CachedSpace> {
    match event {
        Event::Apply(space) => Event::Apply(space.by_name()),
        Event::InitApply(space) => Event::InitApply(space.by_name()),
        Event::Delete(space) => Event::Delete(space.by_name()),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}
