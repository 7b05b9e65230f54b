//! The plan of a sweep.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, core::DeserializeGuard};

use super::{
    annotated::{self, Found},
    listing::Listing,
    output::Row,
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
    },
    cli::GcArgs,
    controller::{
        context::Context,
        expire,
        observe::{Observed, observe},
    },
    desired::{
        expiry::Step,
        lifetime::stage::Stage,
        namespace::SeenNamespace,
        orphan::{advice, is_orphan},
        status::Readiness,
        uid::Uid,
    },
};

/// The tolerance between the clock that dates a namespace and the one that dates the sweep, for the detection of orphans.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(10);

/// One item of the plan.
pub enum Item {
    /// Write the warning that is due.
    Warn {
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
    Annotated(Found),
}

/// The whole plan.
#[derive(Default)]
pub struct Planned {
    /// The items, in the order of their names.
    pub items: Vec<Item>,
    /// Rows about objects that cannot be read, and about objects that are left unchanged.
    pub notes: Vec<Row>,
    /// The number of spaces with a living namespace, to which a percentage refers. Annotated namespaces do not count: a user could raise the limit by
    /// creating some.
    pub living: usize,
}

impl Planned {
    /// The number of namespaces that would be deleted.
    pub fn deletions(&self) -> usize {
        self.items.iter().filter(|item| item.deletes_namespace()).count()
    }
}

impl Item {
    /// Returns true if the item deletes a namespace.
    pub fn deletes_namespace(&self) -> bool {
        match self {
            Self::Warn { .. } => false,
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
pub fn plan(ctx: &Context, listing: Listing, args: &GcArgs) -> Planned {
    let Listing { since, spaces, plain, claimed } = listing;
    let mut planned = Planned::default();
    let mut taken: Vec<String> = spaces.iter().map(ResourceExt::name_any).collect();
    taken.sort();
    let uids: BTreeSet<Uid> = spaces.iter().map(|space| Uid::from_metadata(space.meta())).collect();
    for packed in spaces {
        match packed.unpack() {
            DeserializeGuard(Ok(space)) => planned.add_space(ctx, space, &uids),
            DeserializeGuard(Err(broken)) => planned.notes.push(Row::unreadable_space(&broken)),
        }
    }
    if args.include_annotated {
        let found = annotated::find(ctx, plain, &taken, &args.compat);
        planned.notes.extend(found.unreadable.into_iter().map(|(name, why)| Row::unreadable_namespace(name, why)));
        planned.items.extend(found.due.into_iter().map(Item::Annotated));
    }
    // A namespace that was created after the spaces were listed may have a space that is not in the list.
    for name in claimed.into_iter().filter(|name| taken.binary_search(name).is_err()) {
        planned.add_orphan(ctx, name, |seen| seen.created < since - CLOCKS_DIFFER && is_orphan(seen, None, |uid| uids.contains(uid)));
    }
    planned.items.sort_by_key(Item::name);
    planned.notes.sort_by(|one, other| one.name().cmp(other.name()));
    planned
}

impl Planned {
    fn add_space(&mut self, ctx: &Context, space: DeveloperSpace, uids: &BTreeSet<Uid>) {
        let observed = Box::new(observe(&space, ctx));
        self.living += usize::from(has_living_namespace(&observed));
        self.add_orphan(ctx, space.name_any(), |seen| is_orphan(seen, Some(&space), |uid| uids.contains(uid)));
        if let Step::AwaitNamespace(blocked) = expire::next(&space, &observed)
            && !blocked.is_empty()
        {
            self.notes.push(Row::held(&blocked, space.name_any()));
        }
        self.items.extend(item(space, observed));
    }

    fn add_orphan(&mut self, ctx: &Context, name: String, is_orphan: impl FnOnce(&SeenNamespace) -> bool) {
        if let Some(seen) = ctx.store.namespace(&name).filter(|_| !ctx.protected.contains(&name)).filter(is_orphan) {
            self.notes.push(Row::orphan(advice(&name, &seen), name));
        }
    }
}

fn has_living_namespace(observed: &Observed) -> bool {
    observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none())
}

impl Item {
    /// Name of the space or namespace.
    pub fn name(&self) -> String {
        match self {
            Self::Warn { space, .. } | Self::Space { space, .. } => space.name_any(),
            Self::Annotated(found) => found.name.clone(),
        }
    }
}

fn item(space: DeveloperSpace, observed: Box<Observed>) -> Option<Item> {
    let step = expire::next(&space, &observed);
    // A deletion that waits does not stop the lifetime of the space. Once the namespace no longer exists, only the finalizer remains, which the
    // controller removes.
    let is_going = space.metadata.deletion_timestamp.is_some();
    let space = Box::new(space);
    match step {
        Step::Seal if is_early(&observed) || (is_going && !has_living_namespace(&observed)) => None,
        Step::DeleteSpace if is_going => None,
        Step::Live => matches!(observed.outlook.stage, Stage::Warn(_)).then_some(Item::Warn { space, observed }),
        Step::AwaitEnd(_) | Step::AwaitNamespace(_) | Step::Retain(_) => None,
        Step::Seal | Step::DeleteNamespace(_) | Step::DeleteSpace => Some(Item::Space { space, observed, step }),
    }
}

/// The controller seals shortly before the end, so that it deletes on time. A sweep would seal and not come back to delete.
fn is_early(observed: &Observed) -> bool {
    observed.outlook.expires_at.is_some_and(|end| observed.now < end)
}

/// Returns the current content of `Ready`, which a warning does not change.
pub fn verdict_as_it_stands(status: &[Condition]) -> Readiness {
    let ready = conditions::find(status, types::READY);
    let reason = ready.and_then(|ready| Reason::parse(&ready.reason)).unwrap_or(Reason::Pending);
    Readiness::new(reason, ready.map(|ready| ready.message.clone()).unwrap_or_default())
}
