//! What a sweep would do.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt;

use super::{
    annotated::{self, Found},
    output::{Outcome, Row},
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
    },
    controller::{
        admissions::is_live,
        context::Context,
        expire,
        observe::{Observed, observe},
    },
    desired::{annotated::Compat, collect::Step, lifetime::Stage, status::Verdict},
};

/// One thing to do.
pub enum Item {
    /// Give the warning that is due.
    Warn {
        /// Of which space.
        space: Box<DeveloperSpace>,
        /// What was found of it.
        observed: Box<Observed>,
    },
    /// Take the next step in a space's end.
    Space {
        /// Which space.
        space: Box<DeveloperSpace>,
        /// What was found of it.
        observed: Box<Observed>,
        /// The step.
        step: Step,
    },
    /// Delete a plain namespace.
    Annotated(Found),
}

/// Everything to do.
pub struct Planned {
    /// In the order of names.
    pub items: Vec<Item>,
    /// Rows about annotations that cannot be read.
    pub unreadable: Vec<Row>,
    /// Live spaces, and annotated namespaces where they are included.
    pub live: usize,
    /// Sealed spaces whose namespace still stands, since the last sweep was interrupted.
    pub left: usize,
}

impl Planned {
    /// What a percentage is of. What an earlier sweep did not come to counts as live: it would be refused for ever else.
    pub fn whole(&self) -> usize {
        self.live + self.left
    }

    /// How many namespaces would be deleted.
    pub fn deletions(&self) -> usize {
        self.items.iter().filter(|item| item.deletes_namespace()).count()
    }
}

impl Item {
    /// Whether a namespace is deleted.
    pub fn deletes_namespace(&self) -> bool {
        match self {
            Self::Warn { .. } => false,
            Self::Space { observed, step, .. } => match step {
                Step::Seal => observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none()),
                Step::DeleteNamespace(_) => true,
                Step::Live | Step::AwaitNamespace(_) | Step::Keep(_) | Step::Forget => false,
            },
            Self::Annotated(_) => true,
        }
    }
}

/// Decides for each space, and for plain `namespaces` if any are given.
pub fn plan(ctx: &Context, spaces: &[DeveloperSpace], namespaces: &[Namespace], compat: &[Compat]) -> Planned {
    let mut items: Vec<Item> = spaces.iter().filter_map(|space| item(ctx, space)).collect();
    let left = items.iter().filter(|item| matches!(item, Item::Space { step: Step::DeleteNamespace(_), .. })).count();
    let live = spaces.iter().filter(|space| is_live(space)).count();
    let mut taken: Vec<String> = spaces.iter().map(ResourceExt::name_any).collect();
    taken.sort();
    let found = annotated::find(ctx, namespaces, &taken, compat);
    let unreadable = found.unreadable.into_iter().map(|(name, why)| Row::about_namespace(name, Outcome::Failed(why))).collect();
    items.extend(found.due.into_iter().map(Item::Annotated));
    items.sort_by_key(Item::name);
    Planned { items, unreadable, live: live + found.live, left }
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

fn item(ctx: &Context, space: &DeveloperSpace) -> Option<Item> {
    if space.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let observed = Box::new(observe(space, ctx));
    let step = expire::next(space, &observed);
    let space = Box::new(space.clone());
    match step {
        Step::Live => matches!(observed.outlook.stage, Stage::Warn(_)).then_some(Item::Warn { space, observed }),
        Step::AwaitNamespace(_) | Step::Keep(_) => None,
        Step::Seal | Step::DeleteNamespace(_) | Step::Forget => Some(Item::Space { space, observed, step }),
    }
}

/// A warning changes nothing about `Ready`.
pub fn verdict_as_it_stands(status: &[Condition]) -> Verdict {
    let ready = conditions::find(status, types::READY);
    let reason = ready.and_then(|ready| Reason::parse(&ready.reason)).unwrap_or(Reason::Pending);
    Verdict::new(reason, ready.map(|ready| ready.message.clone()).unwrap_or_default())
}
