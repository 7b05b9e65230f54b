//! Removes the access and the resources that a space may no longer have, while its spec is refused or its deletion
//! waits.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{
    children::withdraw_subjects,
    context::Context,
    provision::{follow_expiry, provision},
    usage,
};
use crate::{
    api::{DeveloperSpace, quantity::Quantity},
    desired::{Grant, plan::Observed, usage::COUNT_ONLY},
    runtime::error::Error,
};

/// Removes the access that a refused spec no longer names, and the resources that the class in force no longer allows.
/// Nothing new is granted. The resources `to_count` are added to the quota, which has to count them before the space
/// can move to another class.
pub async fn withhold(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    to_count: &BTreeSet<String>,
) -> Result<(), Error> {
    if observed.own_namespace().is_none_or(|namespace| namespace.terminating.is_some()) {
        return Ok(());
    }
    match &observed.ruling {
        Some(ruling) if observed.standing.is_some() => {
            let mut resolved = ruling.resolved.clone();
            resolved.network_enforced |= observed.wants_isolation();
            let counted = to_count.iter().map(|key| (key.clone(), Quantity::from(COUNT_ONLY)));
            resolved.quota.extend(counted);
            provision(ctx, space, observed, &resolved, Grant::Withheld).await.map(|_| ())
        }
        _ => {
            withdraw_subjects(ctx, &space.name_any(), &space.spec).await?;
            follow_expiry(&ctx.io, space, observed).await?;
            Box::pin(usage::count(&ctx.io, space, observed, to_count)).await
        }
    }
}
