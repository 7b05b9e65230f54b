//! Turns: a space is reconciled by one task at a time.

use std::{collections::HashSet, sync::Mutex};

use crate::lock::IgnorePoison;

/// The spaces that are being reconciled. The queue and the ends never reconcile the same space at the same time.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashSet<String>>);

/// A guard for one space, which is being reconciled until the guard is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    name: String,
}

impl Turns {
    /// Returns the turn of that space, unless another reconcile has it.
    pub(crate) fn take(&self, name: String) -> Option<Turn<'_>> {
        let is_free = self.0.lock().ignore_poison().insert(name.clone());
        is_free.then(|| Turn { turns: self, name })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.0.lock().ignore_poison().remove(&self.name);
    }
}
