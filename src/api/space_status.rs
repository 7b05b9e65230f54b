//! The status of a `DeveloperSpace`: the class, the owner and the terms in force, and the conditions. Only the operator
//! writes it.

#![allow(clippy::struct_excessive_bools, reason = "each is a consent of its own")]

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::subject::{Subject, SubjectKind};

/// The state of a space as the operator last reported it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeveloperSpaceStatus {
    /// The metadata.generation that this status describes. -1: not reconciled yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Name of the class in force, whose rules apply. It changes only when the space is admitted to the class in
    /// spec.className; until then the Ready condition contains the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,

    /// The owner in force. The space counts towards the class's maxSpacesPerOwner for this owner. It changes when a new
    /// spec.owner is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerInForce>,

    /// The namespace that belongs to this space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceRef>,

    /// Time at which the namespace is deleted, including notices. Absent if the space does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,

    /// Number of renewals that took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewals: Option<i64>,

    /// Time of the last renewal that took effect. The ttl counts from this time. It never moves back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renewed_at: Option<DateTime<Utc>>,

    /// The last warning about the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_warning: Option<Warning>,

    /// The notice that runs because a change of the class or the spec moved the expiry nearer than that notice, or into
    /// the past, or because the class withdrew its consent. The namespace is not deleted before the notice ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<Notice>,

    /// The only notice that runs at the class's maxLifetime. Changes by the owner do not restart it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_notice: Option<Notice>,

    /// The last accepted lifetime: ttl, expiresAt and protected of the space, and the lifetime rules of its class.
    /// While the spec is refused, the values of the space remain unchanged; while the class does not exist, all values
    /// remain in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,

    /// Time at which the space became Ready for the first time. The time from metadata.creationTimestamp to it is the
    /// onboarding time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<DateTime<Utc>>,

    /// Conditions of the space: Ready, Expiring, Expired, Reconciling and Stalled.
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
    /// The last accepted ttl, including `never`. Absent if spec.expiresAt determines the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub ttl: Option<String>,
    /// The last accepted spec.expiresAt, if it determines the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The last accepted spec.protected.
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
    /// The namespace's UID. A namespace with the same name and another UID does not belong to this space.
    #[schemars(length(max = 63))]
    pub uid: String,
}

/// A warning that was given.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// Time at which the warning was issued.
    pub at: DateTime<Utc>,
    /// The threshold of the class's lifetime.warnBefore that the warning is for, or the length of a notice.
    #[schemars(length(max = 40))]
    pub before: String,
    /// The expiry that the warning is for. A warning about another expiry does not count.
    pub expires_at: DateTime<Utc>,
}

/// A notice that runs before an end.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The expiry according to ttl, spec.expiresAt, maxTTL and maxLifetime, without the notice.
    pub of: DateTime<Utc>,
    /// Start of the notice.
    pub from: DateTime<Utc>,
    /// End of the notice. The namespace is not deleted before this time.
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
