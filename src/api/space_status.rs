//! The status of a `DeveloperSpace`: the class, the owner and the terms in force, and the conditions. Only the operator writes it.

#![allow(clippy::struct_excessive_bools, reason = "each is a consent of its own")]

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::developer_space::{Subject, SubjectKind};

/// The state of a space as the operator last reported it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeveloperSpaceStatus {
    /// The metadata.generation that this status describes. -1: not reconciled yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The class in force, whose rules hold. It changes only when the space is admitted to the class that spec.className names; until then the Ready condition gives the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,

    /// The owner in force, for whom the space counts under the class's maxSpacesPerOwner. It changes when a new spec.owner is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerInForce>,

    /// The namespace that belongs to this space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceRef>,

    /// When the namespace is deleted, notices included. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,

    /// The number of renewals that counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewals: Option<i64>,

    /// The last renewal that counted, from which the ttl counts. It never moves back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renewed_at: Option<DateTime<Utc>>,

    /// The last warning of the expiry to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_warning: Option<Warning>,

    /// The notice that runs because a change of the class or the spec brought the end nearer than that notice, or into the past. The namespace is not deleted before it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<Notice>,

    /// The one notice that runs at the class's maxLifetime. No change by an owner restarts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_notice: Option<Notice>,

    /// The lifetime as last accepted: ttl, expiresAt and protected of the space, and the rules of its class. While the spec is refused, the space's part stays as it is; while the class
    /// is missing, all of it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,

    /// When the space was Ready for the first time. The time since metadata.creationTimestamp is the onboarding time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<DateTime<Utc>>,

    /// Ready, Expiring, Expired, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// A subject that was admitted as the owner.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerInForce {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,
    /// The subject's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The namespace of a ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// The lifetime of a space as it was last accepted.
#[allow(clippy::struct_excessive_bools, reason = "each is a field of its own in the API")]
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The ttl last accepted, `never` included. Absent where spec.expiresAt ends the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub ttl: Option<String>,
    /// The spec.expiresAt last accepted, where that ends the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The spec.protected last accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// The class's lifetime.maxTTL.
    #[serde(rename = "maxTTL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub max_ttl: Option<String>,
    /// The class's lifetime.maxLifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub max_lifetime: Option<String>,
    /// The class's lifetime.allowNever.
    #[serde(default)]
    pub allow_never: bool,
    /// The class's lifetime.allowProtected.
    #[serde(default)]
    pub allow_protected: bool,
    /// The class's allowRetain.
    #[serde(default)]
    pub allow_retain: bool,
    /// The class's lifetime.warnBefore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 40)))]
    pub warn_before: Vec<String>,
    /// The class's lifetime.retainExpired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub retain_expired: Option<String>,
}

/// A namespace, by name and identity.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRef {
    /// The namespace's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The namespace's UID: another namespace of the same name is not this space's.
    #[schemars(length(max = 63))]
    pub uid: String,
}

/// A warning that was given.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// When it was given.
    pub at: DateTime<Utc>,
    /// The threshold of the class's lifetime.warnBefore that it was given for, or the length of a notice.
    #[schemars(length(max = 40))]
    pub before: String,
    /// The expiry that it was given for. A warning of another expiry does not count.
    pub expires_at: DateTime<Utc>,
}

/// A notice that runs before an end.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The end by ttl, spec.expiresAt, maxTTL and maxLifetime, without the notice.
    pub of: DateTime<Utc>,
    /// The beginning of the notice.
    pub from: DateTime<Utc>,
    /// The end of the notice. The namespace is not deleted before.
    pub until: DateTime<Utc>,
}

impl From<&Subject> for OwnerInForce {
    fn from(subject: &Subject) -> Self {
        Self { kind: subject.kind, name: subject.name.clone(), namespace: subject.namespace.clone() }
    }
}

impl From<&OwnerInForce> for Subject {
    fn from(owner: &OwnerInForce) -> Self {
        Self { kind: owner.kind, name: owner.name.clone(), namespace: owner.namespace.clone() }
    }
}
