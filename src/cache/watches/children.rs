//! The watches of the objects in the namespaces of spaces.

use std::{collections::HashSet, fmt::Debug, marker::PhantomData, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{
    core::v1::{LimitRange, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Api, Client, Resource, ResourceExt};

use super::feed::{Feed, Listed, PAGE, watch};
use crate::{
    api::names,
    cache::{
        reduced::{Reduced, SeenPolicy, Watched},
        relist::Relist,
        store::{Source, Store},
        watch_stream::config,
    },
    desired::{ChildKind, SeenChild, Uid},
};

/// Watches the operator's children of all kinds.
pub fn children(client: &Client, store: &Arc<Store>, relist: &Relist) -> BoxStream<'static, String> {
    let policies =
        watch(Policies { store: store.clone() }, Api::all(client.clone()), config().page_size(PAGE), relist.clone());
    let streams = [
        Children::<ResourceQuota>::of(ChildKind::Quota, store).watch(client, relist),
        Children::<LimitRange>::of(ChildKind::Limits, store).watch(client, relist),
        policies,
        Children::<RoleBinding>::of(ChildKind::Binding, store).watch(client, relist),
    ];
    stream::select_all(streams).boxed()
}

struct Children<K> {
    kind: ChildKind,
    store: Arc<Store>,
    objects: PhantomData<K>,
}

impl<K> Children<K>
where
    K: Watched<Kept = SeenChild> + Clone + Debug + Send,
{
    fn of(kind: ChildKind, store: &Arc<Store>) -> Self {
        Self { kind, store: store.clone(), objects: PhantomData }
    }

    fn watch(self, client: &Client, relist: &Relist) -> BoxStream<'static, String> {
        let config = config().labels(&names::managed_selector()).page_size(PAGE);
        watch(self, Api::all(client.clone()), config, relist.clone())
    }
}

impl<K> Feed for Children<K>
where
    K: Watched<Kept = SeenChild>,
{
    type Object = Reduced<K>;
    type Key = u64;

    fn put(&self, object: Self::Object, listed: &mut Listed<u64>) -> Vec<String> {
        let namespace = object.namespace().unwrap_or_default();
        let seen = object.kept;
        listed.add(self.store.key(&namespace, &seen.name));
        if self.store.put_watched_child(&namespace, seen) { vec![namespace] } else { Vec::new() }
    }

    fn remove(&self, object: Self::Object) -> Vec<String> {
        let namespace = object.namespace().unwrap_or_default();
        self.store.remove_child(&namespace, self.kind, &object.name_any(), &Uid::from_metadata(object.meta()));
        vec![namespace]
    }

    fn complete(&self, listed: HashSet<u64>) -> Vec<String> {
        let gone = self.store.retain_children(self.kind, &listed);
        self.store.set_listed(Source::Children(self.kind));
        gone
    }
}

/// All `NetworkPolicies`, since a foreign policy can allow traffic that the operator's policy denies.
struct Policies {
    store: Arc<Store>,
}

impl Feed for Policies {
    type Object = Reduced<NetworkPolicy>;
    type Key = u64;

    fn put(&self, policy: Self::Object, listed: &mut Listed<u64>) -> Vec<String> {
        let (namespace, name, uid) =
            (policy.namespace().unwrap_or_default(), policy.name_any(), Uid::from_metadata(policy.meta()));
        let is_new = match policy.kept {
            SeenPolicy::Ours(seen) => {
                listed.add(self.store.key(&namespace, &name));
                self.store.put_watched_child(&namespace, seen)
            }
            SeenPolicy::Other { is_foreign } => {
                // The policy may have lost the label by which the operator manages it.
                let was_ours = self.store.remove_child(&namespace, ChildKind::Network, &name, &uid);
                let is_new = self.store.put_policy(&namespace, &name, is_foreign);
                if is_foreign {
                    listed.add(self.store.key(&namespace, &name));
                }
                was_ours || is_new
            }
        };
        if is_new { vec![namespace] } else { Vec::new() }
    }

    fn remove(&self, policy: Self::Object) -> Vec<String> {
        let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
        let was_ours =
            self.store.remove_child(&namespace, ChildKind::Network, &name, &Uid::from_metadata(policy.meta()));
        let was_foreign = self.store.put_policy(&namespace, &name, false);
        if was_ours || was_foreign { vec![namespace] } else { Vec::new() }
    }

    fn complete(&self, listed: HashSet<u64>) -> Vec<String> {
        let children = self.store.retain_children(ChildKind::Network, &listed);
        let gone = children.into_iter().chain(self.store.retain_policies(&listed)).collect();
        self.store.set_listed(Source::Children(ChildKind::Network));
        gone
    }
}
