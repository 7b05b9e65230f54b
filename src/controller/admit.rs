//! Admits a space whose spec is accepted: the checks of a move, the place under the owner limit, and the provisioning.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::TimeDelta;
use kube::ResourceExt;

use super::{
    context::Context,
    failure::Failure,
    foreign_bindings::transferred,
    isolation, namespace,
    observe::observe_admitted,
    outcome::Outcome,
    owner_places::requeue_all,
    provision::{Provisioned, provision},
    quota_wait,
    refuse::{Refused, refuse},
    running_pods,
    schedule::Next,
    usage::{self, UsageComparison},
    waiting_limit,
    withhold::withhold,
};
use crate::{
    api::{DeveloperSpace, conditions::Reason},
    cache::owner_limit::Admission,
    desired::{
        Grant, Resolved, SpecRefusal, desire,
        expiry::Step,
        isolation::OwnPolicy,
        plan::{AcceptedSpec, Observed},
    },
    runtime::error::Error,
};

/// The interval at which a space that uses more than the class it wants allows is reconciled again: no event reports
/// that it uses less.
const USAGE_RECHECK_INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// Admits and provisions the space, or refuses it.
pub async fn admit<'a>(
    ctx: &Context,
    space: &'a DeveloperSpace,
    observed: Observed,
    accepted: AcceptedSpec,
) -> Result<Outcome<'a>, Failure> {
    match settle(ctx, space, &observed, &accepted).await? {
        Some(refused) => Box::pin(refuse(ctx, space, observed, refused)).await,
        None => Box::pin(grant(ctx, space, observed, accepted)).await,
    }
}

/// Takes a place under the owner limit, or returns the refusal. For a move, the namespace must not exceed the other
/// class, its pods must comply with the Pod Security level, and an enforced isolation must not be breached.
async fn settle(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    accepted: &AcceptedSpec,
) -> Result<Option<Refused>, Error> {
    let is_moved = observed.standing.as_ref().is_some_and(|standing| standing.class_name != accepted.class_name);
    let living = observed.own_namespace().filter(|namespace| namespace.terminating.is_none());
    let mut to_count = BTreeSet::new();
    if let Some(seen) = living.filter(|_| is_moved) {
        // No event reports that the contents of the namespace that prevent the move are deleted.
        let recheck_at = Some(observed.now + USAGE_RECHECK_INTERVAL);
        let UsageComparison { refusal, uncounted } = usage::compare(&ctx.io, space, observed, accepted).await?;
        to_count = uncounted;
        if let Some(refusal) = refusal {
            return Ok(Some(Refused { refusal, to_count, recheck_at }));
        }
        if let Some(refusal) = running_pods::comply(&ctx.io, space, seen, accepted).await? {
            return Ok(Some(Refused { refusal, to_count, recheck_at }));
        }
        if accepted.resolved().network.enforced {
            if !namespace::is_marked_enforced(&ctx.io, &space.name_any()) {
                withhold(ctx, space, observed, &to_count).await?;
            }
            let own = own_policy(space, observed, accepted);
            if let Some(refusal) =
                Box::pin(isolation::admits(ctx, &space.name_any(), &accepted.class_name, &own)).await?
            {
                return Ok(Some(Refused { refusal, to_count, recheck_at: None }));
            }
        }
    }
    let refusal = take_place(ctx, space, observed, accepted).err();
    Ok(refusal.map(|refusal| Refused { refusal, to_count, recheck_at: None }))
}

/// The operator's own `NetworkPolicy` before and after the move. While the class in force is missing, only the latter
/// is known.
fn own_policy(space: &DeveloperSpace, observed: &Observed, accepted: &AcceptedSpec) -> OwnPolicy {
    let policy = |resolved: &Resolved| desire(space, resolved, None).children.network;
    let after = policy(accepted.resolved());
    let before = observed.ruling.as_ref().map_or_else(|| after.clone(), |ruling| policy(&ruling.resolved));
    OwnPolicy { before, after }
}

/// Takes a place under the owner limit for the space, unless the owner already has as many spaces as the class allows.
fn take_place(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    accepted: &AcceptedSpec,
) -> Result<(), SpecRefusal> {
    let AcceptedSpec { class_name, limit, .. } = accepted;
    let owner = &space.spec.owner;
    let Admission { is_admitted, freed } = ctx.owner_limit.admit(space, owner, class_name, *limit);
    requeue_all(ctx, freed);
    if is_admitted {
        return Ok(());
    }
    let limit = limit.unwrap_or_default();
    let before = observed.standing.as_ref().filter(|standing| standing.owner != *owner);
    let remedy = before.map_or_else(
        || {
            format!(
                "delete a space of this class, or use another class{}",
                waiting_limit::warning(space, observed, ctx)
            )
        },
        |before| {
            format!(
                "{owner} has to delete a space, or ask an administrator; until then the space counts for {}",
                before.owner
            )
        },
    );
    let message = format!("{owner} has reached maxSpacesPerOwner {limit} of SpaceClass {class_name}: {remedy}");
    Err(SpecRefusal::new(Reason::OwnerLimitExceeded, message))
}

/// Provisions an admitted space according to its spec.
async fn grant(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: Observed,
    accepted: AcceptedSpec,
) -> Result<Outcome<'static>, Failure> {
    let granted = Box::pin(grant_under(ctx, space, observed, &accepted)).await;
    granted.map_err(|error| Failure { admitted: Some(accepted.class_name), ..error.into() })
}

async fn grant_under(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: Observed,
    accepted: &AcceptedSpec,
) -> Result<Outcome<'static>, Error> {
    let class_name = &accepted.class_name;
    let is_there =
        observed.standing.as_ref().is_some_and(|had| had.class_name == *class_name && had.owner == space.spec.owner);
    let before = observed.standing.as_ref().filter(|had| had.owner != space.spec.owner).map(|had| had.owner.clone());
    let observed = if is_there { observed } else { observe_admitted(space, &ctx.io, class_name) };
    let Provisioned { space, mut report, hold, waits } =
        provision(ctx, space, &observed, accepted.resolved(), Grant::Full).await?;
    if let Some(hold) = hold {
        return Ok(Outcome::unreported(Cow::Owned(space), observed, Next::Within(hold)));
    }
    if let Some(before) = before.filter(|_| observed.own_namespace().is_some()) {
        report.notes.push(Box::pin(transferred(&ctx.io, &space, &before)).await?);
    }
    let next = if waits { Next::Within(quota_wait::REQUEUE_INTERVAL) } else { Next::After(Step::Live) };
    let outcome = Outcome::unreported(Cow::Owned(space), observed, next);
    Ok(Outcome { report: Some(report), admitted: Some(class_name.clone()), ..outcome })
}
