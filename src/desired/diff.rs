//! What must be written so that what exists says what is wanted.

use super::{Child, ChildKind, Children, SeenChild, Uid};
use crate::api::names;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The object is not there.
    Create(Child),
    /// The object of that UID says something else.
    Repair {
        /// UID of the existing object.
        uid: Uid,
        /// What it is to say.
        child: Child,
    },
    /// The object of that UID differs in what cannot be changed: delete it and make it anew.
    Replace {
        /// UID of the existing object.
        uid: Uid,
        /// What takes its place.
        child: Child,
    },
    /// Nobody wants the object any more.
    Remove {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Its UID.
        uid: Uid,
    },
}

/// All writes to the children of one space, in the order of the contract.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Quota, limits, isolation, and everything that goes: side by side, first.
    pub guards: Vec<Change>,
    /// Bindings: nobody gets in before the limits are on.
    pub bindings: Vec<Change>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.bindings.is_empty()
    }
}

/// Compares by fingerprint.
pub fn diff(wanted: &Children, seen: &[SeenChild]) -> Changes {
    let Children { quota, limits, network, bindings } = wanted;
    let guards = [quota.clone().map(Child::Quota), limits.clone().map(Child::Limits), network.clone().map(Child::Network)];
    let guards: Vec<Child> = guards.into_iter().flatten().collect();
    let bindings: Vec<Child> = bindings.iter().cloned().map(Child::Binding).collect();
    let is_wanted =
        |child: &SeenChild| guards.iter().chain(&bindings).any(|wanted| wanted.kind() == child.kind && wanted.name() == &*child.name);
    let removals = seen.iter().filter(|child| is_ours(child) && !is_wanted(child)).map(|child| Change::Remove {
        kind: child.kind,
        name: child.name.to_string(),
        uid: child.uid.clone(),
    });
    Changes {
        guards: guards.iter().filter_map(|child| change(child, seen)).chain(removals).collect(),
        bindings: bindings.iter().filter_map(|child| change(child, seen)).collect(),
    }
}

/// A copy of one of our objects under another name is somebody else's.
fn is_ours(child: &SeenChild) -> bool {
    match child.kind {
        ChildKind::Quota | ChildKind::Limits => &*child.name == names::CHILD,
        ChildKind::Network => &*child.name == names::NETWORK_POLICY,
        ChildKind::Binding => child.name.starts_with(names::BINDING_PREFIX),
    }
}

fn change(child: &Child, seen: &[SeenChild]) -> Option<Change> {
    let Some(existing) = seen.iter().find(|seen| seen.kind == child.kind() && &*seen.name == child.name()) else {
        return Some(Change::Create(child.clone()));
    };
    compare(child, existing)
}

/// What must be written to an existing object.
pub fn compare(child: &Child, existing: &SeenChild) -> Option<Change> {
    let wanted = child.fingerprint();
    let (uid, child) = (existing.uid.clone(), child.clone());
    if wanted.identity != existing.fingerprint.identity {
        Some(Change::Replace { uid, child })
    } else if wanted.content != existing.fingerprint.content {
        Some(Change::Repair { uid, child })
    } else {
        None
    }
}
