//! Owns the access to one space: its conditions, and waiting for them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use crate::wait::eventually;

/// One condition of a space.
#[derive(Debug)]
pub(super) struct Condition {
    /// `True`, `False` or `Unknown`.
    pub(super) status: String,
    /// One word.
    pub(super) reason: String,
    /// A sentence.
    pub(super) message: String,
}

/// A client for all spaces.
pub(super) fn api(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("developerspace.dev", "v1alpha1", "DeveloperSpace");
    Api::all_with(client, &ApiResource::from_gvk(&kind))
}

/// Waits until a condition of a space is true. The error contains its last state.
pub(super) async fn await_true(
    spaces: &Api<DynamicObject>,
    name: &str,
    kind: &str,
    within: Duration,
) -> Result<Condition> {
    eventually(&format!("{name} to be {kind}"), within, || async {
        let space = spaces.get(name).await?;
        match condition(&space, kind) {
            Some(found) if found.status == "True" => Ok(Some(found)),
            Some(found) => bail!("{kind} is {}, {}: {}", found.status, found.reason, found.message),
            None => bail!("there is no condition {kind}"),
        }
    })
    .await
    .with_context(|| {
        format!("{name} did not become {kind}; the operator's log, operator.log in the demo's folder, says more")
    })
}

fn condition(space: &DynamicObject, kind: &str) -> Option<Condition> {
    let conditions = space.data.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}
