//! Owns the stored objects: their versions, and the watches that follow them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::fault_sweep::cluster_view;

/// The kinds and resources of the objects of a space's state outside its namespace.
const CLUSTER_SCOPED: [(&str, &str); 3] =
    [("DeveloperSpace", "developerspaces"), ("SpaceClass", "spaceclasses"), ("Namespace", "namespaces")];
/// The kinds and resources of those inside.
const NAMESPACED: [(&str, &str); 4] = [
    ("ResourceQuota", "resourcequotas"),
    ("LimitRange", "limitranges"),
    ("NetworkPolicy", "networkpolicies"),
    ("RoleBinding", "rolebindings"),
];
/// The number of events of one resource that are kept for new watches.
const KEPT: usize = 4_096;

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The plural name of the resource.
    pub resource: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name; empty for the whole collection.
    pub name: String,
}

/// A label that a list or a watch selects, and its value.
pub(super) type Selector = Option<(String, String)>;

/// The objects, as etcd and the watch cache hold them.
#[derive(Default)]
pub(super) struct Objects {
    version: u64,
    stored: BTreeMap<Key, Value>,
    logs: BTreeMap<String, Log>,
}

#[derive(Default)]
struct Log {
    events: VecDeque<Event>,
    watches: Vec<(Selector, mpsc::UnboundedSender<Bytes>)>,
}

struct Event {
    version: u64,
    before: Option<Value>,
    after: Option<Value>,
}

impl Objects {
    /// The last resourceVersion.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The object.
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.stored.get(key)
    }

    /// Stores the next version of the object, and returns it.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let before = self.stored.insert(key.clone(), object.clone());
        self.log(key, before, Some(object.clone()));
        object
    }

    /// Removes the object.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(mut before) = self.stored.remove(key) {
            self.version += 1;
            before["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.log(key, Some(before), None);
        }
    }

    /// The objects of a resource, in one namespace or in all.
    pub(super) fn list<'a>(
        &'a self,
        resource: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let first = Key { resource: resource.to_owned(), namespace: namespace.to_owned(), name: String::new() };
        let belongs = move |key: &Key| key.resource == resource && (namespace.is_empty() || key.namespace == namespace);
        self.stored.range(first..).take_while(move |(key, _)| belongs(key))
    }

    /// The objects of the space or the class of that name.
    pub(super) fn of_space(&self, name: &str) -> cluster_view::Objects {
        let outside = CLUSTER_SCOPED.into_iter().filter_map(|(kind, resource)| {
            let key = Key { resource: resource.to_owned(), namespace: String::new(), name: name.to_owned() };
            Some((kind.to_owned(), self.get(&key)?.clone()))
        });
        let inside = NAMESPACED.into_iter().flat_map(move |(kind, resource)| {
            self.list(resource, name).map(move |(key, object)| {
                let key = if key.name == name { kind.to_owned() } else { format!("{kind} {}", key.name) };
                (key, object.clone())
            })
        });
        outside.chain(inside).collect()
    }

    /// The keys of everything inside a namespace.
    pub(super) fn inside(&self, namespace: &str) -> Vec<Key> {
        self.stored.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// Follows a resource from a version on; each item is one line of a watch.
    pub(super) fn watch(&mut self, resource: &str, since: u64, selector: Selector) -> mpsc::UnboundedReceiver<Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let log = self.logs.entry(resource.to_owned()).or_default();
        for event in log.events.iter().filter(|event| event.version > since) {
            if let Some(line) = event.line(&selector) {
                let _ = sender.send(line);
            }
        }
        log.watches.push((selector, sender));
        receiver
    }

    fn log(&mut self, key: &Key, before: Option<Value>, after: Option<Value>) {
        let event = Event { version: self.version, before, after };
        let log = self.logs.entry(key.resource.clone()).or_default();
        log.watches.retain(|(selector, sender)| {
            event.line(selector).map_or_else(|| !sender.is_closed(), |line| sender.send(line).is_ok())
        });
        log.events.push_back(event);
        if log.events.len() > KEPT {
            log.events.pop_front();
        }
    }
}

impl Event {
    /// The line of a watch with that selector; `None` if it selects neither state.
    fn line(&self, selector: &Selector) -> Option<Bytes> {
        let seen = |object: &Option<Value>| object.as_ref().filter(|object| selects(selector, object)).cloned();
        let (kind, object) = match (seen(&self.before), seen(&self.after)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(mut before), None) => {
                before["metadata"]["resourceVersion"] = self.version.to_string().into();
                ("DELETED", before)
            }
        };
        Some(Bytes::from(format!("{}\n", json!({"type": kind, "object": object}))))
    }
}

/// Returns true if `object` has the label that `selector` selects.
pub(super) fn selects(selector: &Selector, object: &Value) -> bool {
    selector.as_ref().is_none_or(|(label, value)| object["metadata"]["labels"][label] == value.as_str())
}
