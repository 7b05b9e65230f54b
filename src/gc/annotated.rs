//! Plain namespaces that have expired by their annotations.
//!
//! A namespace that has a mark of a space, or the name of a space, is not plain: only its space decides.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use crate::{
    api::{text::shorten, time, without_managed_fields::WithoutManagedFields},
    controller::io::Io,
    desired::annotation_expiry::{Compat, RequestedExpiry, is_expiry_annotation, is_marked, requested_expiry},
    runtime::error::Error,
};

/// The most bytes of the value of an expiry annotation. A longer value is neither a time nor a duration.
const MAX_VALUE_BYTES: usize = 256;

/// The part that is kept of a namespace that has an expiry annotation and no mark of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    name: String,
    uid: String,
    resource_version: String,
    created: DateTime<Utc>,
    requests: BTreeMap<String, String>,
}

/// An expired namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredNamespace {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The resourceVersion of the decision.
    pub resource_version: String,
    /// The time at which it expired.
    pub expired_at: DateTime<Utc>,
    /// The annotation that sets the expiry.
    pub by: &'static str,
}

/// All findings.
#[derive(Debug, Default)]
pub struct Findings {
    /// Expired namespaces.
    pub due: Vec<ExpiredNamespace>,
    /// Namespaces whose annotations cannot be read, and the reason.
    pub unreadable: Vec<(String, String)>,
}

impl Plain {
    /// Keeps the needed part of a namespace. Returns `None` if it has a mark of the operator, has no expiry annotation
    /// or is terminating.
    pub(crate) fn of(namespace: &Namespace) -> Option<Self> {
        let (labels, annotations) = (namespace.labels(), namespace.annotations());
        if is_marked(labels, annotations) || namespace.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let requests: BTreeMap<String, String> = annotations
            .iter()
            .filter(|(key, _)| is_expiry_annotation(key))
            .map(|(key, value)| (key.clone(), shorten(value, MAX_VALUE_BYTES)))
            .collect();
        let created = namespace.metadata.creation_timestamp.as_ref().and_then(time::from_k8s)?;
        let (uid, resource_version) = (namespace.uid()?, namespace.resource_version()?);
        (!requests.is_empty()).then(|| Self { name: namespace.name_any(), uid, resource_version, created, requests })
    }
}

/// Finds the expired namespaces among `namespaces`. A namespace whose name is in `taken`, which is sorted, has a space
/// of its name and is skipped.
pub fn find(io: &Io, namespaces: Vec<Plain>, taken: &[String], compat: &[Compat]) -> Findings {
    let mut findings = Findings::default();
    let now = io.clock.now();
    for Plain { name, uid, resource_version, created, requests } in namespaces {
        if io.protected.contains(&name) || taken.binary_search(&name).is_ok() {
            continue;
        }
        match requested_expiry(&requests, created, compat) {
            RequestedExpiry::Unreadable(why) => findings.unreadable.push((name, why)),
            RequestedExpiry::At(expired_at, by) if now >= expired_at => {
                findings.due.push(ExpiredNamespace { name, uid, resource_version, expired_at, by });
            }
            RequestedExpiry::None | RequestedExpiry::Never | RequestedExpiry::At(..) => {}
        }
    }
    findings
}

/// Sends a DELETE with the UID and the resourceVersion of the decision: it fails for another namespace, after a change
/// such as a later expiry, and after the deletion by another client.
pub async fn delete(io: &Io, found: &ExpiredNamespace) -> Result<(), Error> {
    let preconditions =
        Preconditions { uid: Some(found.uid.clone()), resource_version: Some(found.resource_version.clone()) };
    let api: Api<WithoutManagedFields<Namespace>> = Api::all(io.client.clone());
    let answer = api.delete(&found.name, &DeleteParams::default().preconditions(preconditions)).await;
    answer.map_err(Error::api(format!("delete namespace {}", found.name)))?;
    let reason = format!("it has expired by its annotation {}", found.by);
    tracing::info!(namespace = found.name, uid = found.uid, reason, "deleted a namespace");
    Ok(())
}
