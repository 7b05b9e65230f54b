//! Admits a space with its current spec to the class that it wants, for the owner that it names.
//!
//! Reads the store and the register of the owner limit. Makes no request.

use kube::ResourceExt;

use super::{
    context::Context,
    ledger::judge,
    observe::{ClassVerdict, Observed, class_verdict},
    waiting_limit,
};
use crate::{
    api::{
        DeveloperSpace, SpaceClass, SpaceClassSpec,
        conditions::{Reason, accepted::ROLE_NOT_FOUND},
        text::some_of,
    },
    cache::owner_limit::Admission,
    desired::{
        Resolved, SpecRefusal, Uid,
        resolve::{Ruling, check_name},
        status::end_counts_from_write,
    },
};

/// A spec that is accepted in full.
#[derive(Clone, Debug)]
pub struct Fits {
    /// The class that the space wants.
    pub class_name: String,
    /// The resources that the space may have in that class.
    pub resolved: Resolved,
    /// The limit of spaces for each owner.
    pub limit: Option<i32>,
}

/// The result of [`admit`].
#[derive(Clone, Debug)]
pub enum Decision {
    /// The class was not validated yet. An event follows when it is.
    AwaitClass,
    /// The whole spec is accepted under the class that it names. The owner limit is still to be checked.
    Fits(Box<Fits>),
    /// The space keeps its present class and owner.
    Refused(SpecRefusal),
}

/// Decides by the class. A refused space keeps the place that it has under the owner limit. A refused space that never had a place does not wait
/// for one.
pub fn admit(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context) -> Decision {
    let decision = decide(space, observed, ctx);
    let waits = |refusal: &SpecRefusal| refusal.reason == Reason::OwnerLimitExceeded;
    if matches!(&decision, Decision::Refused(refusal) if !waits(refusal) && observed.standing.is_none() && observed.own_namespace().is_none())
    {
        withdraw(space, ctx);
    }
    decision
}

fn decide(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context) -> Decision {
    if observed.own_namespace().is_none()
        && let Err(refusal) = check_name(&space.name_any(), &ctx.protected)
    {
        return Decision::Refused(refusal);
    }
    let wanted = observed.wanted.clone().and_then(|name| Some((ctx.store.class(&name)?, name)));
    let Some((class, class_name)) = &wanted else {
        return Decision::Refused(class_not_found(observed, ctx));
    };
    let spec = match usable(class, class_name, observed) {
        Ok(Some(spec)) => spec,
        // The end of the space does not wait for the class: a warning that is due must be written.
        Ok(None) if observed.standing.is_some() && end_counts_from_write(space, &observed.outlook) => {
            return Decision::Refused(not_judged(class_name, None));
        }
        Ok(None) => return Decision::AwaitClass,
        Err(refusal) => return Decision::Refused(refusal),
    };
    let is_same = observed.class_name.as_ref() == Some(class_name);
    // A ruling with refusals stays in `observed`: the removals follow from it.
    let ruling = match observed.ruling.take_if(|ruling| is_same && ruling.refusals.is_empty()) {
        Some(ruling) => ruling,
        None if is_same && observed.ruling.is_some() => return refused(observed),
        None => judge(space, ctx, (class_name, spec), observed.now),
    };
    match ruling.accepted() {
        Err(refusal) => Decision::Refused(refusal),
        Ok(resolved) => {
            let (class_name, limit) = (class_name.clone(), spec.max_spaces_per_owner);
            Decision::Fits(Box::new(Fits { class_name, resolved, limit }))
        }
    }
}

fn refused(observed: &Observed) -> Decision {
    let first = observed.ruling.iter().flat_map(|ruling| &ruling.refusals).next().cloned();
    first.map_or(Decision::AwaitClass, Decision::Refused)
}

/// The spec by which `class` admits a space. A new space may use the spec last accepted. An existing space is moved only to a class whose current
/// spec is accepted, or is refused only for a missing ClusterRole.
fn usable<'a>(class: &'a SpaceClass, class_name: &str, observed: &Observed) -> Result<Option<&'a SpaceClassSpec>, SpecRefusal> {
    let had = observed.standing.as_ref().map(|standing| standing.class_name.as_str()).filter(|had| *had != class_name);
    match (class_verdict(class), class.in_force()) {
        (ClassVerdict::Pending, _) if had.is_some() => Err(not_judged(class_name, had)),
        (ClassVerdict::Refused(_, message), None) => Err(not_accepted(class_name, &message, had)),
        (ClassVerdict::Refused(reason, message), Some(_)) if had.is_some() && reason != ROLE_NOT_FOUND => {
            Err(not_accepted(class_name, &message, had))
        }
        (_, spec) => Ok(spec),
    }
}

fn not_accepted(class_name: &str, message: &str, had: Option<&str>) -> SpecRefusal {
    let message = format!("SpaceClass {class_name} is not accepted, and an administrator has to correct it: {message}{}", stays(had));
    SpecRefusal::new(Reason::ClassNotAccepted, message)
}

/// The result for a class follows within moments. Until then the space keeps its own class, and its condition reports that.
fn not_judged(class_name: &str, had: Option<&str>) -> SpecRefusal {
    let message = format!("the operator has not validated the current spec of SpaceClass {class_name} yet{}", stays(had));
    SpecRefusal::new(Reason::ClassNotAccepted, message)
}

fn stays(had: Option<&str>) -> String {
    had.map_or_else(String::new, |had| format!("; until then this space stays in SpaceClass {had}"))
}

/// Takes a place under the owner limit for the space, unless the owner already has as many spaces as the class allows.
pub fn take_place(space: &DeveloperSpace, observed: &mut Observed, ctx: &Context, fits: &Fits) -> Result<(), SpecRefusal> {
    let Fits { class_name, resolved, limit } = fits;
    let owner = &space.spec.owner;
    let Admission { is_admitted, freed } = ctx.admissions.admit(space, owner, class_name, *limit);
    requeue(ctx, freed);
    if is_admitted {
        return Ok(());
    }
    if observed.class_name.as_ref() == Some(class_name) {
        observed.ruling = Some(Ruling { resolved: resolved.clone(), refusals: Vec::new() });
    }
    let limit = limit.unwrap_or_default();
    let before = observed.standing.as_ref().filter(|standing| standing.owner != *owner);
    let remedy = before.map_or_else(
        || format!("delete a space of this class, or use another class{}", waiting_limit::warning(space, observed, ctx)),
        |before| format!("{owner} has to delete a space, or ask an administrator; until then the space counts for {}", before.owner),
    );
    let message = format!("{owner} has reached maxSpacesPerOwner {limit} of SpaceClass {class_name}: {remedy}");
    Err(SpecRefusal::new(Reason::OwnerLimitExceeded, message))
}

/// The number of classes that a condition names.
const NAMED: usize = 20;

fn class_not_found(observed: &Observed, ctx: &Context) -> SpecRefusal {
    let mut known = ctx.store.class_names();
    known.sort();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("available: {}", some_of(&known, NAMED, 0)) };
    let message = match &observed.wanted {
        Some(name) if ctx.store.is_unreadable_class(name) => {
            format!(
                "SpaceClass {name} cannot be read by this operator: an administrator has to correct it, or set spec.className to another class; existing objects stay unchanged"
            )
        }
        Some(name) => {
            format!("SpaceClass {name} does not exist: set spec.className to an existing class ({known}); existing objects stay unchanged")
        }
        None => format!("there is no default SpaceClass: set spec.className ({known}), or ask an administrator to set a default class"),
    };
    SpecRefusal::new(Reason::ClassNotFound, message)
}

/// Releases the previous place of a space whose status records its class and its owner, and requeues the space that gets that place.
pub fn give_up_the_place_before(space: &DeveloperSpace, ctx: &Context) {
    requeue(ctx, ctx.admissions.settle(&Uid::from_metadata(&space.metadata)).into_iter().collect());
}

/// Removes a space that is refused for another reason than the owner limit from the line in which it waits: a place that it cannot take goes to the
/// next space.
pub fn leave_line(space: &DeveloperSpace, refusal: &SpecRefusal, ctx: &Context) {
    if refusal.reason != Reason::OwnerLimitExceeded {
        requeue(ctx, ctx.admissions.leave_line(&Uid::from_metadata(&space.metadata)).into_iter().collect());
    }
}

/// Removes a space from the count of its owner and requeues the spaces that get its places.
pub fn withdraw(space: &DeveloperSpace, ctx: &Context) {
    requeue(ctx, ctx.admissions.withdraw(&Uid::from_metadata(&space.metadata)));
}

fn requeue(ctx: &Context, names: Vec<String>) {
    for name in names {
        ctx.requeue.requeue(name);
    }
}
