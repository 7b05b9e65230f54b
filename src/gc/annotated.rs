//! Plain namespaces whose annotations say that their time is up.
//!
//! A namespace that was made for a space, or has the name of one, is none of these: only its space decides.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use crate::{
    api::{names, time},
    controller::{context::Context, error::Error},
    desired::annotated::{Compat, Wish, wish},
};

/// A namespace whose time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The resourceVersion that this was decided on.
    pub resource_version: String,
    /// When its time was up.
    pub expired_at: DateTime<Utc>,
    /// By which annotation.
    pub by: &'static str,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Namespaces whose time is up.
    pub due: Vec<Found>,
    /// Namespaces whose annotations cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// How many namespaces have an end at all.
    pub live: usize,
}

/// Judges `namespaces`; those in `taken`, sorted, have a space of their name.
pub fn find(ctx: &Context, namespaces: &[Namespace], taken: &[String], compat: &[Compat]) -> Findings {
    let mut findings = Findings::default();
    let now = ctx.clock.now();
    let none = BTreeMap::new();
    for namespace in namespaces.iter().filter(|namespace| is_plain(ctx, namespace, taken)) {
        let name = namespace.name_any();
        let annotations = namespace.metadata.annotations.as_ref().unwrap_or(&none);
        let Some(created) = namespace.metadata.creation_timestamp.as_ref().and_then(time::from_k8s) else {
            continue;
        };
        match wish(annotations, created, compat) {
            Wish::None | Wish::Never => {}
            Wish::Unreadable(why) => findings.unreadable.push((name, why)),
            Wish::At(expired_at, by) => {
                findings.live += 1;
                if now >= expired_at {
                    findings.due.push(Found {
                        name,
                        uid: namespace.uid().unwrap_or_default(),
                        resource_version: namespace.resource_version().unwrap_or_default(),
                        expired_at,
                        by,
                    });
                }
            }
        }
    }
    findings
}

fn is_plain(ctx: &Context, namespace: &Namespace, taken: &[String]) -> bool {
    let name = namespace.name_any();
    let claimed = namespace.annotations().contains_key(names::ANNOTATION_SPACE_UID) || namespace.labels().contains_key(names::LABEL_SPACE);
    !ctx.protected.contains(&name) && taken.binary_search(&name).is_err() && !claimed && namespace.metadata.deletion_timestamp.is_none()
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
