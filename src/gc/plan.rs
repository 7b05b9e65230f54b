//! The plan of a sweep.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource, ResourceExt,
    core::{DeserializeGuard, error_boundary::InvalidObject},
};

use super::{
    annotated::{self, ExpiredNamespace},
    listing::Listing,
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
    },
    cli::GcArgs,
    controller::{io::Io, observe::observe},
    desired::{
        expiry::Step,
        namespace::SeenNamespace,
        orphan::{advice, is_orphan},
        plan::Observed,
        status::{Readiness, end_counts_from_write},
        uid::Uid,
    },
};

/// The tolerance between the clock that dates a namespace and the one that dates the sweep, for the detection of
/// orphans.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(10);

/// One item of the plan.
pub enum Item {
    /// Write the warning that is due, or the notice that begins.
    Announce {
        /// The space.
        space: Box<DeveloperSpace>,
        /// Its observed state.
        observed: Box<Observed>,
    },
    /// Take the next step in the end of a space.
    Space {
        /// The space.
        space: Box<DeveloperSpace>,
        /// Its observed state.
        observed: Box<Observed>,
        /// The step.
        step: Step,
    },
    /// Delete a plain namespace.
    Annotated(ExpiredNamespace),
}

/// An object that the sweep leaves unchanged and reports.
pub enum Remark {
    /// A space that cannot be read.
    UnreadableSpace {
        /// Its name.
        name: String,
        /// The error of the decoder.
        error: String,
    },
    /// A plain namespace whose annotations cannot be read.
    UnreadableNamespace {
        /// Its name.
        name: String,
        /// The reason.
        error: String,
    },
    /// A namespace that was created for a space that no longer exists.
    Orphan {
        /// Its name.
        name: String,
        /// The options of an administrator.
        advice: String,
    },
    /// A space that is due and not sealed: the current spec of its class, which was not validated yet, ends it later.
    Unvalidated {
        /// Its name.
        name: String,
        /// The class.
        class: String,
        /// The end under the spec that was accepted last.
        end: Option<DateTime<Utc>>,
    },
    /// The namespace of an expired space, whose deletion was requested earlier and is blocked.
    Held {
        /// Its name.
        name: String,
        /// The reasons, as the namespace reports them.
        blocked: String,
    },
}

impl Remark {
    /// The name of the object.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::UnreadableSpace { name, .. }
            | Self::UnreadableNamespace { name, .. }
            | Self::Orphan { name, .. }
            | Self::Unvalidated { name, .. }
            | Self::Held { name, .. } => name,
        }
    }
}

/// The whole plan.
#[derive(Default)]
pub struct Planned {
    /// The items, in the order of their names.
    pub items: Vec<Item>,
    /// The objects that are only reported, in the order of their names.
    pub remarks: Vec<Remark>,
    /// The number of spaces with a living namespace, to which a percentage refers. Annotated namespaces do not count: a
    /// user could raise the limit by creating some.
    pub living: usize,
}

impl Planned {
    /// The number of namespaces that would be deleted.
    pub(crate) fn deletions(&self) -> usize {
        self.items.iter().filter(|item| item.deletes_namespace()).count()
    }
}

impl Item {
    /// Returns true if the item deletes a namespace.
    pub(crate) fn deletes_namespace(&self) -> bool {
        match self {
            Self::Announce { .. } => false,
            Self::Space { observed, step, .. } => match step {
                Step::Seal => has_living_namespace(observed),
                Step::DeleteNamespace(_) => true,
                Step::Live | Step::AwaitEnd(_) | Step::AwaitNamespace(_) | Step::Retain(_) | Step::DeleteSpace => false,
            },
            Self::Annotated(_) => true,
        }
    }
}

/// Decides for each space, and for plain namespaces if they are included.
pub fn plan(io: &Io, listing: Listing, args: &GcArgs) -> Planned {
    let Listing { since, spaces, plain, claimed } = listing;
    let mut planned = Planned::default();
    let mut taken: Vec<String> = spaces.iter().map(ResourceExt::name_any).collect();
    taken.sort();
    let uids: BTreeSet<Uid> = spaces.iter().map(|space| Uid::from_metadata(space.meta())).collect();
    for packed in spaces {
        match packed.unpack() {
            DeserializeGuard(Ok(space)) => planned.add_space(io, space, &uids),
            DeserializeGuard(Err(broken)) => planned.remarks.push(unreadable(broken)),
        }
    }
    if args.include_annotated {
        let found = annotated::find(io, plain, &taken, &args.compat);
        planned
            .remarks
            .extend(found.unreadable.into_iter().map(|(name, error)| Remark::UnreadableNamespace { name, error }));
        planned.items.extend(found.due.into_iter().map(Item::Annotated));
    }
    // A namespace that was created after the spaces were listed may have a space that is not in the list.
    for name in claimed.into_iter().filter(|name| taken.binary_search(name).is_err()) {
        planned.add_orphan(io, name, |seen| {
            seen.created < since - CLOCK_SKEW && is_orphan(seen, None, |uid| uids.contains(uid))
        });
    }
    planned.items.sort_by_key(Item::name);
    planned.remarks.sort_by(|one, other| one.name().cmp(other.name()));
    planned
}

impl Planned {
    fn add_space(&mut self, io: &Io, space: DeveloperSpace, uids: &BTreeSet<Uid>) {
        let observed = Box::new(observe(&space, io));
        self.living += usize::from(has_living_namespace(&observed));
        self.add_orphan(io, space.name_any(), |seen| is_orphan(seen, Some(&space), |uid| uids.contains(uid)));
        if let Step::AwaitNamespace(blocked) = observed.next_step(&space)
            && !blocked.is_empty()
        {
            self.remarks.push(Remark::Held { name: space.name_any(), blocked });
        }
        if observed.is_seal_held {
            let class = observed.class_name.clone().unwrap_or_default();
            self.remarks.push(Remark::Unvalidated { name: space.name_any(), class, end: observed.outlook.expires_at });
        }
        self.items.extend(item(space, observed));
    }

    fn add_orphan(&mut self, io: &Io, name: String, is_orphan: impl FnOnce(&SeenNamespace) -> bool) {
        if let Some(seen) = io.store.namespace(&name).filter(|_| !io.protected.contains(&name)).filter(is_orphan) {
            self.remarks.push(Remark::Orphan { advice: advice(&name, &seen), name });
        }
    }
}

fn unreadable(broken: InvalidObject) -> Remark {
    Remark::UnreadableSpace { name: broken.metadata.name.unwrap_or_default(), error: broken.error }
}

fn has_living_namespace(observed: &Observed) -> bool {
    observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none())
}

impl Item {
    /// Name of the space or namespace.
    pub fn name(&self) -> String {
        match self {
            Self::Announce { space, .. } | Self::Space { space, .. } => space.name_any(),
            Self::Annotated(found) => found.name.clone(),
        }
    }
}

fn item(space: DeveloperSpace, observed: Box<Observed>) -> Option<Item> {
    let step = observed.next_step(&space);
    // A deletion that waits does not stop the lifetime of the space. Once the namespace no longer exists, only the
    // finalizer remains, which the controller removes.
    let is_going = space.metadata.deletion_timestamp.is_some();
    let space = Box::new(space);
    match step {
        Step::Seal if is_early(&observed) || (is_going && !has_living_namespace(&observed)) => None,
        Step::DeleteSpace if is_going => None,
        Step::Live => end_counts_from_write(&space, &observed.outlook).then_some(Item::Announce { space, observed }),
        Step::AwaitEnd(_) | Step::AwaitNamespace(_) | Step::Retain(_) => None,
        Step::Seal | Step::DeleteNamespace(_) | Step::DeleteSpace => Some(Item::Space { space, observed, step }),
    }
}

/// The controller seals shortly before the end, so that it deletes on time. A sweep would seal and not come back to
/// delete.
fn is_early(observed: &Observed) -> bool {
    observed.outlook.expires_at.is_some_and(|end| observed.now < end)
}

/// Returns the current content of `Ready`, which a warning does not change.
pub(crate) fn current_readiness(status: &[Condition]) -> Readiness {
    let ready = conditions::find(status, types::READY);
    let reason = ready.and_then(|ready| Reason::parse(&ready.reason)).unwrap_or(Reason::Pending);
    Readiness::new(reason, ready.map(|ready| ready.message.clone()).unwrap_or_default())
}
