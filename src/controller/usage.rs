//! The resource usage of a namespace, read from the API server before its space is admitted to another class, and the quota that counts the
//! resources that only that class limits.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;

use super::{admit::Fits, child_api, context::Context, namespace, observe::Observed};
use crate::{
    api::{DeveloperSpace, names},
    desired::{
        Child, ChildKind, SpecRefusal, Uid,
        hash::hash,
        usage::{Uncounted, counting, has_limit, limits, not_admitted, not_counted, to_count, uncounted},
    },
    runtime::error::Error,
};

/// The time for which a move waits for the usage of resources whose limits kube-controller-manager has observed. It retries a failed count about ten
/// times within this time, so that a resource that it still has not counted is one that it does not know, such as a kind that is not installed.
const LONGEST_COUNT: TimeDelta = TimeDelta::minutes(2);

/// Admits a space to the class of `wanted`, or returns the refusal. The resources that the class in force does not limit have to be counted first.
/// While the class in force is missing, these are the resources that the existing quota does not limit.
pub async fn fits(ctx: &Context, space: &DeveloperSpace, observed: &mut Observed, wanted: &Fits) -> Result<Option<SpecRefusal>, Error> {
    let (namespace, class_name, hard) = (space.name_any(), wanted.class_name.as_str(), &wanted.resolved.quota);
    let quota = read(ctx, &namespace).await?;
    let keys = match &observed.ruling {
        Some(ruling) => to_count(hard, &ruling.resolved.quota),
        None => to_count(hard, &limits(quota.as_ref())),
    };
    let outgrown = quota.as_ref().and_then(|quota| not_admitted(class_name, &namespace, quota, hard));
    let Uncounted { unseen: mut missing, unknown } = uncounted(quota.as_ref(), &keys);
    if may_be_counted(ctx, space, observed, (class_name, unknown.as_slice())) {
        missing.extend(unknown);
    }
    let refusal = outgrown.or_else(|| not_counted(class_name, &namespace, &missing));
    // The quota of a class in force is written whole, and an existing quota keeps its keys.
    let is_ruled = observed.ruling.is_some();
    observed.to_count = keys.into_iter().filter(|key| is_ruled || !has_limit(quota.as_ref(), key)).collect();
    Ok(refusal)
}

/// Returns true while kube-controller-manager may still count the resources `unknown`, which a move to the class of that name waits for.
fn may_be_counted(ctx: &Context, space: &DeveloperSpace, observed: &Observed, (class_name, unknown): (&str, &[String])) -> bool {
    let name = space.name_any();
    if unknown.is_empty() {
        ctx.memory.is_counted(&name);
        return false;
    }
    let situation = hash(&(&space.metadata.uid, space.metadata.generation, class_name, unknown));
    observed.now - ctx.memory.uncounted(&name, situation, observed.now) < LONGEST_COUNT
}

/// Adds the resources that have to be counted to the quota of a namespace whose class in force is missing. The existing limits stay.
pub async fn count(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    let (Some(standing), Some(seen)) = (&observed.standing, observed.own_namespace()) else { return Ok(()) };
    if observed.to_count.is_empty() {
        return Ok(());
    }
    let namespace = space.name_any();
    let quota = read(ctx, &namespace).await?;
    let Some(wanted) = counting(space, &standing.class_name, quota.as_ref(), &observed.to_count).map(Child::from) else { return Ok(()) };
    let written = if let Some(quota) = &quota {
        let operations = wanted.repair(&Uid::from_metadata(&quota.metadata), true);
        child_api::patch(&ctx.client, &namespace, (ChildKind::Quota, names::CHILD), operations).await
    } else {
        namespace::confirm(ctx, space, seen).await?;
        child_api::post(&ctx.client, &namespace, &wanted).await
    };
    let action = format!("add resources to ResourceQuota {} in {namespace}", names::CHILD);
    ctx.store.put_child(&namespace, written.map_err(Error::api(action))?.seen());
    Ok(())
}

async fn read(ctx: &Context, namespace: &str) -> Result<Option<ResourceQuota>, Error> {
    let found = child_api::get(&ctx.client, namespace, (ChildKind::Quota, names::CHILD)).await;
    match found.map_err(Error::api(format!("read the ResourceQuota {} in {namespace}", names::CHILD)))? {
        Some(Child::Quota(quota)) => Ok(Some(quota)),
        _ => Ok(None),
    }
}
