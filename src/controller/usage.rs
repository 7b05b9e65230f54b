//! The resource usage of a namespace, read from the API server before its space is admitted to another class, and the
//! quota that counts the resources that only that class limits.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;

use super::{
    child_api::{self, ChildRef},
    io::Io,
    namespace,
};
use crate::{
    api::{DeveloperSpace, names},
    desired::{
        Child, ChildKind, SpecRefusal, Uid,
        hash::hash,
        plan::{AcceptedSpec, Observed},
        usage::{Uncounted, counting, has_limit, limits, not_admitted, not_counted, to_count, uncounted},
    },
    runtime::error::Error,
};

/// The time for which a move waits for the usage of resources whose limits kube-controller-manager has observed. It
/// retries a failed count about ten times within this time, so that a resource that it still has not counted is one
/// that it does not know, such as a kind that is not installed.
const MAX_COUNT_WAIT: TimeDelta = TimeDelta::minutes(2);

const QUOTA: ChildRef<'static> = ChildRef { kind: ChildKind::Quota, name: names::CHILD };

/// The usage of a namespace, compared with the quota of another class.
pub struct UsageComparison {
    /// The refusal of the move, if the namespace exceeds the quota, or if resources are not counted yet.
    pub refusal: Option<SpecRefusal>,
    /// The resources that the quota has to count first.
    pub uncounted: BTreeSet<String>,
}

/// Compares the usage with the quota of the class of `accepted`. The resources that the class in force does not limit
/// have to be counted first. While the class in force is missing, these are the resources that the existing quota does
/// not limit.
pub async fn compare(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    accepted: &AcceptedSpec,
) -> Result<UsageComparison, Error> {
    let (namespace, class_name, hard) = (space.name_any(), accepted.class_name.as_str(), &accepted.resolved().quota);
    let quota = read(io, &namespace).await?;
    let keys = match &observed.ruling {
        Some(ruling) => to_count(hard, &ruling.resolved.quota),
        None => to_count(hard, &limits(quota.as_ref())),
    };
    let outgrown = quota.as_ref().and_then(|quota| not_admitted(class_name, &namespace, quota, hard));
    let Uncounted { unseen: mut missing, unknown } = uncounted(quota.as_ref(), &keys);
    if may_be_counted(io, space, observed, class_name, &unknown) {
        missing.extend(unknown);
    }
    let refusal = outgrown.or_else(|| not_counted(class_name, &namespace, &missing));
    // The quota of a class in force is written whole, and an existing quota keeps its keys.
    let is_ruled = observed.ruling.is_some();
    let uncounted = keys.into_iter().filter(|key| is_ruled || !has_limit(quota.as_ref(), key)).collect();
    Ok(UsageComparison { refusal, uncounted })
}

/// Returns true while kube-controller-manager may still count the resources `unknown`, which a move to the class of
/// that name waits for.
fn may_be_counted(io: &Io, space: &DeveloperSpace, observed: &Observed, class_name: &str, unknown: &[String]) -> bool {
    let name = space.name_any();
    if unknown.is_empty() {
        io.attempts.end_uncounted(&name);
        return false;
    }
    let situation = hash(&(&space.metadata.uid, space.metadata.generation, class_name, unknown));
    observed.now - io.attempts.uncounted_since(&name, situation, observed.now) < MAX_COUNT_WAIT
}

/// Adds the resources that have to be counted to the quota of a namespace whose class in force is missing. The existing
/// limits stay.
pub async fn count(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    to_count: &BTreeSet<String>,
) -> Result<(), Error> {
    let (Some(standing), Some(seen)) = (&observed.standing, observed.own_namespace()) else { return Ok(()) };
    if to_count.is_empty() {
        return Ok(());
    }
    let namespace = space.name_any();
    let quota = read(io, &namespace).await?;
    let Some(wanted) = counting(space, &standing.class_name, quota.as_ref(), to_count).map(Child::from) else {
        return Ok(());
    };
    let written = if let Some(quota) = &quota {
        let operations = wanted.repair(&Uid::from_metadata(&quota.metadata), true);
        child_api::patch(&io.client, &namespace, QUOTA, operations).await
    } else {
        namespace::confirm(io, space, seen).await?;
        child_api::post(&io.client, &namespace, &wanted).await
    };
    let action = format!("add resources to {}", QUOTA.in_namespace(&namespace));
    io.store.put_child(&namespace, written.map_err(Error::api(action))?.seen());
    Ok(())
}

async fn read(io: &Io, namespace: &str) -> Result<Option<ResourceQuota>, Error> {
    let found = child_api::get(&io.client, namespace, QUOTA).await;
    match found.map_err(Error::api(format!("read the ResourceQuota {} in {namespace}", names::CHILD)))? {
        Some(Child::Quota(quota)) => Ok(Some(quota)),
        _ => Ok(None),
    }
}
