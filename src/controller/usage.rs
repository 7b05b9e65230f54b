//! The resource usage of a namespace, read from the API server before its space is admitted to another class.

use std::collections::BTreeSet;

use super::{child_api, context::Context, error::Error};
use crate::{
    api::names,
    desired::{
        Child, ChildKind, Refusal,
        quota::Hard,
        usage::{not_admitted, not_counted},
    },
};

/// Admits the space of that namespace to a class with these limits, or returns the refusal. The resources `to_count` have to be counted first.
pub async fn fits(
    ctx: &Context,
    namespace: &str,
    (class_name, hard): (&str, &Hard),
    to_count: &BTreeSet<String>,
) -> Result<Option<Refusal>, Error> {
    let read = child_api::get(&ctx.client, namespace, (ChildKind::Quota, names::CHILD)).await;
    let quota = match read.map_err(Error::api(format!("read the ResourceQuota {} in {namespace}", names::CHILD)))? {
        Some(Child::Quota(quota)) => Some(quota),
        _ => None,
    };
    let outgrown = quota.as_ref().and_then(|quota| not_admitted(class_name, namespace, quota, hard));
    Ok(outgrown.or_else(|| not_counted(class_name, namespace, quota.as_ref(), to_count)))
}
