//! What a namespace uses, read from the API server before its space is admitted to another class.

use super::{child_api, context::Context, error::Error};
use crate::{
    api::names,
    desired::{Child, ChildKind, Refusal, quota::Hard, usage::not_admitted},
};

/// Admits the space of that namespace to a class with these limits, or returns the refusal.
pub async fn fits(ctx: &Context, namespace: &str, class_name: &str, hard: &Hard) -> Result<Option<Refusal>, Error> {
    let read = child_api::get(&ctx.client, namespace, (ChildKind::Quota, names::CHILD)).await;
    match read.map_err(Error::api(format!("read the ResourceQuota {} in {namespace}", names::CHILD)))? {
        Some(Child::Quota(quota)) => Ok(not_admitted(class_name, namespace, &quota, hard)),
        _ => Ok(None),
    }
}
