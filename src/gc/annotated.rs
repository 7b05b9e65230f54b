//! Plain namespaces whose annotations say that they are expired.
//!
//! A namespace that bears a mark of a space, or has the name of one, is none of these: only its space decides.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use crate::{
    api::time,
    controller::{context::Context, error::Error},
    desired::annotated::{Compat, Wish, is_marked, is_wish, wish},
};

/// What is kept of a namespace without a mark of ours that carries a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    name: String,
    uid: String,
    resource_version: String,
    created: DateTime<Utc>,
    wishes: BTreeMap<String, String>,
}

/// An expired namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The resourceVersion that this was decided on.
    pub resource_version: String,
    /// When it expired.
    pub expired_at: DateTime<Utc>,
    /// By which annotation.
    pub by: &'static str,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Expired namespaces.
    pub due: Vec<Found>,
    /// Namespaces whose annotations cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Plain {
    /// Keeps what is needed of a namespace; none if it bears a mark of ours, carries no wish or is terminating.
    pub fn of(namespace: &Namespace) -> Option<Self> {
        let (labels, annotations) = (namespace.labels(), namespace.annotations());
        if is_marked(labels, annotations) || namespace.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let wishes: BTreeMap<String, String> =
            annotations.iter().filter(|(key, _)| is_wish(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
        let created = namespace.metadata.creation_timestamp.as_ref().and_then(time::from_k8s)?;
        let (uid, resource_version) = (namespace.uid()?, namespace.resource_version()?);
        (!wishes.is_empty()).then(|| Self { name: namespace.name_any(), uid, resource_version, created, wishes })
    }
}

/// Judges `namespaces`; those in `taken`, sorted, have a space of their name.
pub fn find(ctx: &Context, namespaces: Vec<Plain>, taken: &[String], compat: &[Compat]) -> Findings {
    let mut findings = Findings::default();
    let now = ctx.clock.now();
    for Plain { name, uid, resource_version, created, wishes } in namespaces {
        if ctx.protected.contains(&name) || taken.binary_search(&name).is_ok() {
            continue;
        }
        match wish(&wishes, created, compat) {
            Wish::None | Wish::Never => {}
            Wish::Unreadable(why) => findings.unreadable.push((name, why)),
            Wish::At(expired_at, by) if now >= expired_at => findings.due.push(Found { name, uid, resource_version, expired_at, by }),
            Wish::At(..) => {}
        }
    }
    findings
}

/// DELETE of the namespace as it was when it was judged: another UID or a change since (a later end, say) refuses it.
pub async fn delete(ctx: &Context, found: &Found) -> Result<(), Error> {
    let preconditions = Preconditions { uid: Some(found.uid.clone()), resource_version: Some(found.resource_version.clone()) };
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    match api.delete(&found.name, &DeleteParams::default().preconditions(preconditions)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(Error::api(format!("delete namespace {}", found.name))),
    }
}
