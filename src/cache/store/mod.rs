//! The cache of the cluster: classes completely, all other objects reduced. The spaces are in kube's reflector.
//! Decisions read the cache; only those that need the live state, such as a deletion, also read the API server.
//!
//! The cache is filled by the watches and by the responses to the operator's own writes, so that a reconcile sees the
//! writes of the previous one.

mod child_table;
mod children;
mod class_table;
mod classes;
mod namespaces;
mod state;

pub use self::state::{SOURCES, Source, Store};
