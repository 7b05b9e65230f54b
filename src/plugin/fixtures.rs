//! Fixtures for tests: a space, its class, and the current time.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::api::{DeveloperSpace, SpaceClass, Subject, SubjectKind, names};

/// A ready space of the owner nadia, with 1d4h left on the morning of the 24th.
pub(crate) fn a_space() -> DeveloperSpace {
    serde_json::from_value(json!({
        "apiVersion": format!("{}/v1alpha1", names::GROUP),
        "kind": "DeveloperSpace",
        "metadata": {"name": "orchid-lab", "generation": 2, "creationTimestamp": "2026-11-20T09:00:00Z"},
        "spec": {
            "owner": {"kind": "User", "name": "nadia@example.com"},
            "members": [{"kind": "Group", "name": "zoology", "role": "view"}],
            "contact": {"team": "botany", "email": "botany@example.com"},
        },
        "status": {
            "observedGeneration": 2,
            "className": "standard",
            "namespace": {"name": "orchid-lab", "uid": "uid-7"},
            "expiresAt": "2026-11-25T13:00:00Z",
            "renewals": 1,
            "lastRenewedAt": "2026-11-22T09:00:00Z",
            "readyAt": "2026-11-20T09:00:02Z",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Provisioned", "message": "all is in place",
                "lastTransitionTime": "2026-11-20T09:00:02Z", "observedGeneration": 2,
            }],
        },
    }))
    .unwrap()
}

/// The morning of the 24th.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

pub(crate) fn a_class() -> SpaceClass {
    serde_json::from_value(json!({
        "apiVersion": format!("{}/v1alpha1", names::GROUP), "kind": "SpaceClass", "metadata": {"name": "standard"},
        "spec": {"lifetime": {"warnBefore": ["2d", "1h"], "retainExpired": "3d"}},
    }))
    .unwrap()
}

pub(crate) fn user(name: &str) -> Subject {
    Subject { kind: SubjectKind::User, name: name.to_owned(), namespace: None }
}
