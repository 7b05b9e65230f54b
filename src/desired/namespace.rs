//! The labels and annotations of a space's namespace: those that the class and the operator set, and those that the
//! space asks for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    metadata::{Keys, Metadata, WantedMetadata, child_labels},
    pod_security,
    resolve::Resolved,
};
pub use super::{
    ownership::{Ownership, ownership},
    seen_namespace::SeenNamespace,
};
use crate::api::{Contact, DeveloperSpace, PodSecurity, Subject, names, syntax, time::rfc3339};

/// The labels and annotations of a space's namespace, by their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceMetadata {
    /// Set by the class and the operator, whatever the space asks for.
    ruled: Metadata,
    /// Asked for by the space and allowed by its class.
    requested: Metadata,
    /// The owner that the spec names.
    new_owner: Subject,
    owner_in_force: Subject,
    /// The Pod Security levels of the class.
    pod_security: PodSecurity,
}

impl NamespaceMetadata {
    /// The metadata of the namespace of `space`, which is deleted at `expires_at`.
    pub(super) fn new(space: &DeveloperSpace, resolved: &Resolved, expires_at: Option<DateTime<Utc>>) -> Self {
        let pod_security = resolved.pod_security.unwrap_or_default();
        let mut labels = resolved.metadata.labels.clone();
        labels.extend(pod_security::labels(pod_security));
        labels.extend(child_labels(space, &resolved.class_name));
        if resolved.network_enforced {
            labels.insert(names::LABEL_NETWORK_ENFORCED.to_owned(), "true".to_owned());
        }
        let mut annotations = resolved.metadata.annotations.clone();
        let own = [
            (names::ANNOTATION_SPACE_UID, space.metadata.uid.clone()),
            (names::ANNOTATION_EXPIRES_AT, expires_at.map(rfc3339)),
        ];
        annotations.extend(present(own));
        let in_force = space.status.as_ref().and_then(|status| status.owner.as_ref()).map(Subject::from);
        Self {
            ruled: Metadata { labels, annotations },
            requested: requested(space, resolved),
            new_owner: space.spec.owner.clone(),
            owner_in_force: in_force.unwrap_or_else(|| space.spec.owner.clone()),
            pod_security,
        }
    }

    /// Keeps the stricter of the class's Pod Security levels and `found`, the levels of an adopted namespace, and
    /// records `found` in an annotation.
    #[must_use]
    pub(crate) fn at_least(mut self, found: PodSecurity) -> Self {
        self.ruled.labels.extend(pod_security::labels(pod_security::stricter(self.pod_security, found)));
        let remembered = pod_security::to_annotation(found);
        self.ruled
            .annotations
            .extend(remembered.map(|levels| (names::ANNOTATION_ADOPTED_POD_SECURITY.to_owned(), levels)));
        self
    }

    /// The metadata to write while the spec is accepted: all of it.
    pub fn granted(self) -> WantedMetadata {
        let Self { ruled, requested, new_owner, owner_in_force: _, pod_security: _ } = self;
        WantedMetadata {
            written: requested.overridden_by(owner(&new_owner)).overridden_by(ruled),
            kept: kept(&Metadata::default()),
        }
    }

    /// The metadata to write while the spec is refused. Keys that the spec asks for are neither set nor removed.
    pub(crate) fn withheld(self) -> WantedMetadata {
        let Self { ruled, requested, new_owner: _, owner_in_force, pod_security: _ } = self;
        WantedMetadata { written: owner(&owner_in_force).overridden_by(ruled), kept: kept(&requested) }
    }
}

/// The keys that are neither written nor removed: those of `requested`, and the annotation with the UID of the replaced
/// namespace, which nothing reads once the namespace's own UID is recorded.
fn kept(requested: &Metadata) -> Keys {
    Keys::from_metadata(requested).and_annotation(names::ANNOTATION_REPLACES)
}

fn requested(space: &DeveloperSpace, resolved: &Resolved) -> Metadata {
    let contact = space.spec.contact.clone().unwrap_or_default();
    let mut labels = resolved.keys.labels.clone();
    let readable =
        |value: &Option<String>| value.clone().filter(|value| !value.is_empty() && syntax::is_label_value(value));
    labels.extend(present([
        (names::LABEL_TEAM, readable(&contact.team)),
        (names::LABEL_COST_CENTER, readable(&contact.cost_center)),
    ]));
    let Contact { team, email, chat, url, cost_center } = contact;
    let mut annotations = resolved.keys.annotations.clone();
    annotations.extend(present([
        (names::ANNOTATION_CONTACT_TEAM, team),
        (names::ANNOTATION_CONTACT_EMAIL, email),
        (names::ANNOTATION_CONTACT_CHAT, chat),
        (names::ANNOTATION_CONTACT_URL, url),
        (names::ANNOTATION_CONTACT_COST_CENTER, cost_center),
        (names::ANNOTATION_OPENSHIFT_DISPLAY_NAME, space.spec.display_name.clone()),
        (names::ANNOTATION_OPENSHIFT_DESCRIPTION, space.spec.description.clone()),
    ]));
    Metadata { labels, annotations }
}

fn owner(owner: &Subject) -> Metadata {
    let annotations = present([
        (names::ANNOTATION_OWNER, Some(owner.to_string())),
        (names::ANNOTATION_OPENSHIFT_REQUESTER, Some(owner.name.clone())),
    ]);
    Metadata { labels: BTreeMap::new(), annotations }
}

fn present<const N: usize>(entries: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::resolve;

    fn map<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
        entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// The metadata of the space `orchid-lab`, whose spec transfers it from Ada to Carol.
    fn metadata() -> NamespaceMetadata {
        let read = |object: Value| serde_json::from_value::<DeveloperSpace>(object).unwrap();
        let space = read(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "space-1"},
            "spec": {
                "owner": {"kind": "User", "name": "carol@example.com"}, "contact": {"team": "botany"},
                "labels": {"example.com/stage": "demo", "example.org/tier": "two"}, "annotations": {"example.com/note": "moist"},
            },
            "status": {"className": "greenhouse", "owner": {"kind": "User", "name": "ada@example.com"}, "conditions": []},
        }));
        let class = json!({
            "podSecurity": {"enforce": "baseline"}, "metadata": {"labels": {"example.com/floor": "ground"}, "allowedKeys": ["example.com/*"]},
        });
        let resolved = resolve(&space, "greenhouse", &serde_json::from_value(class).unwrap()).resolved;
        NamespaceMetadata::new(&space, &resolved, DateTime::from_timestamp(0, 0))
    }

    #[test]
    fn keys_that_a_refused_spec_sets_are_neither_written_nor_removed() {
        let written = Metadata {
            labels: map([
                ("app.kubernetes.io/managed-by", "developerspace-operator"),
                ("developerspace.dev/class", "greenhouse"),
                ("developerspace.dev/space", "orchid-lab"),
                ("example.com/floor", "ground"),
                ("pod-security.kubernetes.io/enforce", "baseline"),
            ]),
            annotations: map([
                ("developerspace.dev/expires-at", "1970-01-01T00:00:00Z"),
                ("developerspace.dev/owner", "User:ada@example.com"),
                ("developerspace.dev/space-uid", "space-1"),
                ("openshift.io/requester", "ada@example.com"),
            ]),
        };
        let requested = Metadata {
            labels: map([("developerspace.dev/team", "botany"), ("example.com/stage", "demo")]),
            annotations: map([("developerspace.dev/contact-team", "botany"), ("example.com/note", "moist")]),
        };
        let kept = Keys::from_metadata(&requested).and_annotation("developerspace.dev/replaces");
        assert_eq!(metadata().withheld(), WantedMetadata { written: written.clone(), kept });
        let new_owner = map([
            ("developerspace.dev/owner", "User:carol@example.com"),
            ("openshift.io/requester", "carol@example.com"),
        ]);
        let new_owner = Metadata { labels: map([]), annotations: new_owner };
        let kept = Keys::default().and_annotation("developerspace.dev/replaces");
        assert_eq!(
            metadata().granted(),
            WantedMetadata { written: written.overridden_by(requested).overridden_by(new_owner), kept }
        );
    }
}
