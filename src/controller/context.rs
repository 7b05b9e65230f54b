//! What a reconcile works with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Api, Client};

use super::{admissions::Admissions, events::Recorder, store::Store, watch::Nudges};
use crate::{
    api::{DeveloperSpace, names::ProtectedNamespaces},
    clock::Clock,
    metrics::Metrics,
};

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The cluster as it was seen.
    pub store: Arc<Store>,
    /// Who is in under the limit per owner.
    pub admissions: Arc<Admissions>,
    /// Names that nothing may touch.
    pub protected: ProtectedNamespaces,
    /// Events.
    pub recorder: Recorder,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// What each space went through.
    pub memory: Arc<Memory>,
    /// Asks for other spaces to be looked at.
    pub nudges: Nudges,
}

impl Context {
    /// The spaces.
    pub fn spaces(&self) -> Api<DeveloperSpace> {
        Api::all(self.client.clone())
    }
}

/// What is remembered of a space between reconciles; lost with the process, and nothing depends on it but patience.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    written: u64,
}

impl Memory {
    /// Notes the resourceVersion that a write of ours made: the space is not looked at again before the store has it.
    pub fn wrote(&self, name: &str, version: u64) {
        self.with(name, |remembered| remembered.written = version);
    }

    /// Whether the store is behind our own last write of that space.
    pub fn is_stale(&self, name: &str, version: u64) -> bool {
        self.with(name, |remembered| version < remembered.written)
    }

    /// Counts a failure; how many there were in a row before.
    pub fn failed(&self, name: &str) -> u32 {
        self.with(name, |remembered| {
            remembered.failures = remembered.failures.saturating_add(1);
            remembered.failures - 1
        })
    }

    /// How many failures there were in a row.
    pub fn failures(&self, name: &str) -> u32 {
        self.with(name, |remembered| remembered.failures)
    }

    /// All went well and the store has caught up: nothing is left to remember.
    pub fn clear(&self, name: &str, version: u64) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = map.get_mut(name) {
            remembered.failures = 0;
            if remembered.written <= version {
                map.remove(name);
            }
        }
    }

    /// The space is gone.
    pub fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get_mut(name) {
            Some(remembered) => act(remembered),
            None => act(map.entry(name.to_owned()).or_default()),
        }
    }
}
