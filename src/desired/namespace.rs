//! The namespace's labels and annotations, and to whom an existing namespace belongs.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    metadata::{Metadata, SeenMetadata},
    resolve::Resolved,
    uid::Uid,
};
use crate::api::{Contact, DeveloperSpace, PodSecurity, PodSecurityLevel, names, time::rfc3339};

/// How much older than its space a namespace may look and still have been made for it: clocks of API servers differ.
const CREATION_SKEW: TimeDelta = TimeDelta::seconds(60);

/// What is kept of a namespace that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNamespace {
    /// Its UID.
    pub uid: Uid,
    /// Its resourceVersion, as the number that it is in etcd.
    pub version: u64,
    /// Its creation.
    pub created: DateTime<Utc>,
    /// UID of the space that it was made for, by its annotation.
    pub claim: Option<Uid>,
    /// The space to which an administrator hands it, by its annotation.
    pub adopt: Option<String>,
    /// While it is going away: what the namespace controller says still blocks it; empty if nothing does.
    pub terminating: Option<String>,
    /// Its labels and annotations.
    pub metadata: SeenMetadata,
}

/// To whom the namespace of a space's name belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The space: its UID is recorded, or it was made for the space and a crash kept that from being recorded.
    Ours,
    /// An administrator hands it over.
    Offered,
    /// Somebody else.
    Foreign,
}

/// Judges a namespace. UIDs are the authority; labels are not.
pub fn ownership(space: &DeveloperSpace, seen: &SeenNamespace) -> Ownership {
    let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    if recorded.is_some_and(|recorded| seen.uid == *recorded.uid) {
        return Ownership::Ours;
    }
    let made_for = seen.claim.as_ref().zip(space.metadata.uid.as_deref()).is_some_and(|(claim, uid)| *claim == *uid);
    if made_for && seen.created + CREATION_SKEW >= super::term::created(space) {
        return Ownership::Ours;
    }
    if seen.adopt.is_some() && seen.adopt == space.metadata.name { Ownership::Offered } else { Ownership::Foreign }
}

/// Labels and annotations of the namespace of `space`.
pub(super) fn metadata(space: &DeveloperSpace, resolved: &Resolved, expires_at: Option<DateTime<Utc>>) -> Metadata {
    let mut labels = resolved.metadata.labels.clone();
    labels.extend(resolved.keys.labels.clone());
    labels.extend(pod_security(resolved.pod_security));
    labels.extend(super::child_labels(space, &resolved.class_name));
    if resolved.network_enforced {
        labels.insert(names::LABEL_NETWORK_ENFORCED.to_owned(), "true".to_owned());
    }
    let contact = space.spec.contact.clone().unwrap_or_default();
    for (key, value) in [(names::LABEL_TEAM, &contact.team), (names::LABEL_COST_CENTER, &contact.cost_center)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty() && names::is_label_value(value)) {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    let mut annotations = resolved.metadata.annotations.clone();
    annotations.extend(resolved.keys.annotations.clone());
    annotations.extend(own_annotations(space, &contact, expires_at));
    Metadata { labels, annotations }
}

fn own_annotations(space: &DeveloperSpace, contact: &Contact, expires_at: Option<DateTime<Utc>>) -> BTreeMap<String, String> {
    let Contact { team, email, chat, url, cost_center } = contact;
    let optional = [
        (names::ANNOTATION_CONTACT_TEAM, team.clone()),
        (names::ANNOTATION_CONTACT_EMAIL, email.clone()),
        (names::ANNOTATION_CONTACT_CHAT, chat.clone()),
        (names::ANNOTATION_CONTACT_URL, url.clone()),
        (names::ANNOTATION_CONTACT_COST_CENTER, cost_center.clone()),
        (names::ANNOTATION_EXPIRES_AT, expires_at.map(rfc3339)),
        (names::ANNOTATION_OPENSHIFT_DISPLAY_NAME, space.spec.display_name.clone()),
        (names::ANNOTATION_OPENSHIFT_DESCRIPTION, space.spec.description.clone()),
        (names::ANNOTATION_SPACE_UID, space.metadata.uid.clone()),
        (names::ANNOTATION_OWNER, Some(space.spec.owner.to_string())),
        (names::ANNOTATION_OPENSHIFT_REQUESTER, Some(space.spec.owner.name.clone())),
    ];
    optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn pod_security(levels: Option<PodSecurity>) -> BTreeMap<String, String> {
    let PodSecurity { enforce, audit, warn } = levels.unwrap_or_default();
    let name = |level| match level {
        PodSecurityLevel::Privileged => "privileged",
        PodSecurityLevel::Baseline => "baseline",
        PodSecurityLevel::Restricted => "restricted",
    };
    let modes = [("enforce", enforce), ("audit", audit), ("warn", warn)];
    modes.into_iter().filter_map(|(mode, level)| Some((format!("{}{mode}", names::POD_SECURITY_PREFIX), name(level?).to_owned()))).collect()
}
