//! Reports the state of a space in its status and by Events. The status is written only when it differs.

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch},
    core::{ApiResource, error_boundary::InvalidObject},
};
use serde_json::{Value, json};

use super::{io::Io, space_write::write_space};
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
        plan::Observed,
        resource_version::version,
        status::{self, Note, Readiness, StatusInputs},
    },
    runtime::{error::Error, write_params::patch_params},
};

/// The content of a report.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The content of the condition `Ready`.
    pub readiness: Readiness,
    /// The namespace, if it belongs to the space. Of a sealed space, the recorded one. Events are published in it.
    pub namespace: Option<NamespaceRef>,
    /// True if the space is sealed, because it has expired.
    pub sealed: bool,
    /// Events in addition to those that follow from the status.
    pub notes: Vec<Note>,
}

impl StatusReport {
    /// Returns the report on a live space.
    pub(crate) fn new(readiness: Readiness, namespace: Option<NamespaceRef>) -> Self {
        Self { readiness, namespace, sealed: false, notes: Vec::new() }
    }
}

/// Writes the status, if it differs, with the resourceVersion of `space`, and then publishes the Events. Returns the
/// space after the write.
pub async fn report(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    report: StatusReport,
) -> Result<DeveloperSpace, Error> {
    let StatusReport { readiness, namespace, sealed, mut notes } = report;
    let in_force = observed.in_force.clone();
    // A namespace with a protected name outlives a live space, which has recorded it already.
    let ending = namespace.clone().filter(|_| sealed || !io.protected.contains(&space.name_any()));
    let inputs = StatusInputs { space, in_force, namespace: ending, outlook: &observed.outlook, sealed, readiness };
    let new = status::next_status(&inputs, observed.now);
    let old = space.status.clone().unwrap_or_default();
    let mut written = space.clone();
    if new != old {
        let name = space.name_any();
        let send = |resource_version: Option<String>| {
            let patch = Patch::Merge(status::patch(&new, &resource_version.unwrap_or_default()));
            let (api, name) = (io.spaces(), name.clone());
            async move { api.patch_status(&name, &patch_params(), &patch).await }
        };
        WithoutManagedFields(written) = write_space(io, &space.metadata, send).await.map_err(Error::status(&name))?;
        let dropped = status::dropped_fields(&new, written.status.as_ref());
        if !dropped.is_empty() {
            io.installed.set_dropped(&dropped);
        }
        io.attempts.record_write(&name, version(&written.metadata));
        if matches!(observed.outlook.stage, Stage::Warn(_)) && !sealed {
            io.metrics.warned();
        }
        notes.extend(status::notes(&old, &new));
    }
    if namespace.is_some() {
        // The status records it, regardless of the client that wrote it.
        io.creations.end(&Uid::from_metadata(&space.metadata));
    }
    io.recorder.publish(space, namespace.as_ref(), notes, observed.now);
    Ok(written)
}

/// The most bytes of the message of a decoder.
const MAX_DECODER_ERROR_BYTES: usize = 1_024;

/// Writes the error to the status of a stored object that cannot be read. Other objects are not affected.
pub async fn undecodable(io: &Io, broken: &InvalidObject) -> Result<(), Error> {
    let name = broken.metadata.name.clone().unwrap_or_default();
    let api: Api<WithoutManagedFields<DynamicObject>> =
        Api::all_with(io.client.clone(), &ApiResource::erase::<DeveloperSpace>(&()));
    let live = api.get(&name).await.map_err(Error::api(format!("read DeveloperSpace {name}")))?;
    let error = shorten(&broken.error, MAX_DECODER_ERROR_BYTES);
    let message = format!(
        "the stored object cannot be read: {error}; correct it with kubectl edit; it is not reconciled until then"
    );
    let conditions = live.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let says = |condition: &Value| {
        condition["type"] == types::READY && condition["status"] == "False" && condition["message"] == message.as_str()
    };
    if conditions.iter().any(says) {
        return Ok(());
    }
    let now = Value::from(crate::api::time::rfc3339(io.clock.now()));
    let condition = |(type_, status): (&str, &str)| {
        let is_time = |old: &&Value| {
            old["lastTransitionTime"].as_str().is_some_and(|at| at.parse::<chrono::DateTime<chrono::Utc>>().is_ok())
        };
        let same = conditions.iter().find(|old| old["type"] == type_ && old["status"] == status).filter(is_time);
        json!({
            "type": type_, "status": status, "reason": Reason::InvalidSpec.as_str(), "message": message,
            "observedGeneration": live.metadata.generation, "lastTransitionTime": same.map_or(&now, |old| &old["lastTransitionTime"]),
        })
    };
    let written_types = [(types::READY, "False"), (types::RECONCILING, "False"), (types::STALLED, "True")];
    let kept = conditions
        .iter()
        .filter(|condition| written_types.iter().all(|(type_, _)| condition["type"] != *type_))
        .cloned();
    let conditions: Vec<Value> = kept.chain(written_types.map(condition)).collect();
    let status = json!({"observedGeneration": live.metadata.generation, "conditions": conditions});
    let send = |resource_version: Option<String>| {
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": resource_version}, "status": status}));
        let (api, name) = (api.clone(), name.clone());
        async move { api.patch_status(&name, &patch_params(), &patch).await }
    };
    write_space(io, &live.metadata, send).await.map(|_| ()).map_err(Error::status(&name))
}
