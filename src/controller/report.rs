//! Reports the state of a space in its status and by Events. The status is written only when it differs.

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch},
    core::{ApiResource, error_boundary::InvalidObject},
};
use serde_json::{Value, json};

use super::{children::patch_params, context::Context, observe::Observed};
use crate::{
    api::{
        DeveloperSpace, NamespaceRef,
        conditions::{Reason, types},
        text::shorten,
        without_managed_fields::WithoutManagedFields,
    },
    desired::{
        Uid,
        lifetime::stage::Stage,
        resource_version::version,
        status::{self, Note, Readiness, StatusInputs},
    },
    runtime::error::Error,
};

/// The content of a report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The content of the condition `Ready`.
    pub verdict: Readiness,
    /// The namespace, if the space has one.
    pub namespace: Option<NamespaceRef>,
    /// True if the space is sealed, because it has expired.
    pub sealed: bool,
    /// Events in addition to those that follow from the status.
    pub notes: Vec<Note>,
}

impl Report {
    /// Returns the report on a live space.
    pub fn new(verdict: Readiness, namespace: Option<NamespaceRef>) -> Self {
        Self { verdict, namespace, sealed: false, notes: Vec::new() }
    }
}

/// Writes the status, if it differs, with the resourceVersion of `space`, and then publishes the Events. Returns the space after the write.
pub async fn report(ctx: &Context, space: &DeveloperSpace, observed: &Observed, report: Report) -> Result<DeveloperSpace, Error> {
    let Report { verdict, namespace, sealed, mut notes } = report;
    let in_force = observed.in_force.clone();
    let finding = StatusInputs { space, in_force, namespace: namespace.clone(), outlook: &observed.outlook, sealed, readiness: verdict };
    let new = status::next_status(&finding, observed.now);
    let old = space.status.clone().unwrap_or_default();
    let mut written = space.clone();
    if new != old {
        let name = space.name_any();
        let patch = Patch::Merge(status::patch(&new, &space.resource_version().unwrap_or_default()));
        let answer = ctx.spaces().patch_status(&name, &patch_params(), &patch).await;
        WithoutManagedFields(written) = answer.map_err(Error::status(&name))?;
        ctx.memory.wrote(&name, version(&written.metadata));
        if matches!(observed.outlook.stage, Stage::Warn(_)) && !sealed {
            ctx.metrics.warned();
        }
        notes.extend(status::notes(&old, &new));
    }
    if namespace.is_some() {
        // The status records it, regardless of the client that wrote it.
        ctx.creations.end(&Uid::from_metadata(&space.metadata));
    }
    ctx.recorder.publish(space, namespace.as_ref(), notes, observed.now);
    Ok(written)
}

/// The most bytes of the message of a decoder.
const LONGEST_ERROR: usize = 1_024;

/// Writes the error to the status of a stored object that cannot be read. Other objects are not affected.
pub async fn undecodable(ctx: &Context, broken: &InvalidObject) -> Result<(), Error> {
    let name = broken.metadata.name.clone().unwrap_or_default();
    let api: Api<WithoutManagedFields<DynamicObject>> = Api::all_with(ctx.client.clone(), &ApiResource::erase::<DeveloperSpace>(&()));
    let live = api.get(&name).await.map_err(Error::api(format!("read DeveloperSpace {name}")))?;
    let error = shorten(&broken.error, LONGEST_ERROR);
    let message = format!("the stored object cannot be read: {error}; correct it with kubectl edit; it is not reconciled until then");
    let conditions = live.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let says =
        |condition: &Value| condition["type"] == types::READY && condition["status"] == "False" && condition["message"] == message.as_str();
    if conditions.iter().any(says) {
        return Ok(());
    }
    let now = Value::from(crate::api::time::rfc3339(ctx.clock.now()));
    let condition = |(type_, status): (&str, &str)| {
        let is_time =
            |old: &&Value| old["lastTransitionTime"].as_str().is_some_and(|at| at.parse::<chrono::DateTime<chrono::Utc>>().is_ok());
        let same = conditions.iter().find(|old| old["type"] == type_ && old["status"] == status).filter(is_time);
        json!({
            "type": type_, "status": status, "reason": Reason::InvalidSpec.as_str(), "message": message,
            "observedGeneration": live.metadata.generation, "lastTransitionTime": same.map_or(&now, |old| &old["lastTransitionTime"]),
        })
    };
    let told = [(types::READY, "False"), (types::RECONCILING, "False"), (types::STALLED, "True")];
    let kept = conditions.iter().filter(|condition| told.iter().all(|(type_, _)| condition["type"] != *type_)).cloned();
    let conditions: Vec<Value> = kept.chain(told.map(condition)).collect();
    let patch = json!({
        "metadata": {"resourceVersion": live.metadata.resource_version},
        "status": {"observedGeneration": live.metadata.generation, "conditions": conditions},
    });
    let answer = api.patch_status(&name, &patch_params(), &Patch::Merge(patch)).await;
    answer.map(|_| ()).map_err(Error::status(name))
}
