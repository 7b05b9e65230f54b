//! The watches. Each is a separate stream with its own back-off. It feeds the store and yields the names of the spaces
//! that have to be reconciled.
//!
//! Owns the order in which an event reaches the store and the registers. Decides nothing, and writes nothing to the
//! cluster.

mod children;
mod feed;
mod spaces;

use std::{collections::HashSet, sync::Arc};

use futures::stream::BoxStream;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, Resource, ResourceExt, core::DeserializeGuard};

use self::feed::{Feed, Listed, PAGE, watch};
pub(crate) use self::spaces::{SpaceFeed, SpaceRegisters};
pub use self::{
    children::children,
    spaces::{CachedSpace, spaces},
};
use super::{
    owner_limit::{OwnerLimit, Released},
    reduced::Reduced,
    relist::Relist,
    store::{Source, Store},
    watch_stream::config,
};
use crate::{api::SpaceClass, desired::Uid};

/// Watches all namespaces, since a namespace that the operator does not manage can conflict with a space or be handed
/// over to one.
///
/// Also yields the names of the spaces that get the place of a released namespace that is deleted or adopted.
pub fn namespaces(
    client: &Client,
    store: Arc<Store>,
    owner_limit: Arc<OwnerLimit>,
    relist: Relist,
) -> BoxStream<'static, String> {
    watch(Namespaces { store, owner_limit }, Api::all(client.clone()), config().page_size(PAGE), relist)
}

struct Namespaces {
    store: Arc<Store>,
    owner_limit: Arc<OwnerLimit>,
}

impl Feed for Namespaces {
    type Object = Reduced<Namespace>;
    type Key = String;

    fn put(&self, namespace: Self::Object, listed: &mut Listed<String>) -> Vec<String> {
        let name = namespace.name_any();
        listed.add(name.clone());
        let changed = self.store.put_seen_namespace(name.clone(), namespace.kept);
        // Uses the state in the store: the response to the operator's own release may be newer than this event.
        let seen = self.store.namespace(&name);
        let freed =
            seen.map(|seen| self.owner_limit.set_released(&name, Released::from_namespace(&seen))).unwrap_or_default();
        changed.then_some(name).into_iter().chain(freed).collect()
    }

    fn remove(&self, namespace: Self::Object) -> Vec<String> {
        let name = namespace.name_any();
        self.store.mark_namespace_deleted(&name, &Uid::from_metadata(namespace.meta()));
        let freed = self.owner_limit.set_released(&name, None);
        std::iter::once(name).chain(freed).collect()
    }

    fn complete(&self, listed: HashSet<String>) -> Vec<String> {
        let gone = self.store.retain_namespaces(&listed);
        self.store.set_listed(Source::Namespaces);
        let freed: Vec<String> = gone.iter().flat_map(|name| self.owner_limit.set_released(name, None)).collect();
        gone.into_iter().chain(freed).collect()
    }
}

/// Watches the classes. Yields the names of the classes that changed in a way that affects spaces.
pub fn classes(client: &Client, store: Arc<Store>, relist: Relist) -> BoxStream<'static, String> {
    watch(Classes { store }, Api::all(client.clone()), config(), relist)
}

struct Classes {
    store: Arc<Store>,
}

impl Feed for Classes {
    type Object = DeserializeGuard<SpaceClass>;
    type Key = String;

    fn put(&self, guarded: Self::Object, listed: &mut Listed<String>) -> Vec<String> {
        let name = guarded.name_any();
        listed.add(name.clone());
        match guarded.0 {
            Ok(class) => put_class(&self.store, class),
            Err(broken) => {
                tracing::warn!(
                    class = name,
                    error = broken.error,
                    "a stored SpaceClass cannot be read; its spaces keep their recorded terms"
                );
                self.store.put_unreadable_class(broken.metadata);
                vec![name]
            }
        }
    }

    fn remove(&self, guarded: Self::Object) -> Vec<String> {
        self.store.remove_class(&guarded.name_any());
        vec![guarded.name_any()]
    }

    fn complete(&self, listed: HashSet<String>) -> Vec<String> {
        let gone: Vec<String> = self.store.class_names().into_iter().filter(|name| !listed.contains(name)).collect();
        for name in &gone {
            self.store.remove_class(name);
        }
        self.store.set_listed(Source::Classes);
        gone
    }
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
